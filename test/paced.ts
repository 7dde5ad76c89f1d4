/** What is made in small steps, made in one. */
import type { Paced } from '../src/core/cover.ts'

export function finish<Value>(making: Paced<Value>): Value {
  for (;;) {
    const { done, value } = making.next()
    if (done) return value
  }
}

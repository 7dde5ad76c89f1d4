/**
 * Which test files begin first. A clone that has never run them does not know how long they take, and vitest would go by their
 * size: a short file that takes a minute would begin last, and one worker would be at it while the others have nothing to do.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Those that take a quarter of a minute and more, whatever their size. */
const LONGEST = [
  'e2e/debian',
  'e2e/lifecycle',
  'e2e/kernel',
  'e2e/console',
  'e2e/redis-faults',
  'reputation/lives',
  'e2e/canary',
  'e2e/words',
  'e2e/editor',
  'e2e/hosts',
  'e2e/governor',
  'e2e/activation',
  'e2e/postfix',
  'e2e/redis-access',
  'e2e/export',
  'e2e/joined',
].map((name) => join(import.meta.dirname, `${name}.test.ts`))

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const gone = LONGEST.filter((file) => !existsSync(file))
    if (gone.length > 0) throw new Error(`test/longest-first.ts names files that are not there: ${gone.join(', ')}`)
    const turnOf = ({ moduleId }: TestSpecification) => {
      const turn = LONGEST.indexOf(moduleId)
      return turn < 0 ? LONGEST.length : turn
    }
    return (await super.sort(files)).toSorted((a, b) => turnOf(a) - turnOf(b))
  }
}

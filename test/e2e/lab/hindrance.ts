/**
 * Why the lab cannot be opened here, or undefined: it takes root, namespaces, roots of their own for mail servers, and
 * apt-get. In CI that is a failure; elsewhere it is said, and the lab's tests are skipped.
 */
import { inject } from 'vitest'
import { noNamespaces } from '../../namespaces.ts'
import type { Program } from '../../setup.ts'
import { noPackages } from './packages.ts'
import { noRooms } from './room.ts'

/** @param file - for people, whose tests these are; `programs` are those that it wants */
export function hindranceOf(file: string, programs: readonly Program[]): string | undefined {
  const missing = inject('missing').filter((program) => programs.includes(program))
  const hindered = missing.length > 0 ? `missing: ${missing.join(', ')}` : (noNamespaces() ?? noRooms() ?? noPackages())
  if (hindered !== undefined && process.env['CI']) throw new Error(hindered)
  if (hindered !== undefined) process.stderr.write(`\nSkipped, ${file}: ${hindered}\n`)
  return hindered
}

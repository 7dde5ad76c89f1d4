/**
 * What a command ends with, where it has no codes of its own (README.md tells those).
 */

/** It was not done, and why is told. */
export const FAILED = 1
/** EX_USAGE of sysexits(3): the command line must be mended, here or by what the appliance says of it. */
export const USAGE = 64
/** EX_SOFTWARE: our own fault. */
export const SOFTWARE = 70

/** Says what went wrong, in the appliance's words, with its hint; gives the exit code: FAILED where no other is named. */
export type Complain = (body: unknown, code?: number) => number

/** @param status - with which the appliance refused what was asked of it */
export function exitCodeFor(status: number | undefined): number {
  return status === 400 ? USAGE : FAILED
}

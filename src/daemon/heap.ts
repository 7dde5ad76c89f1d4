/**
 * How V8 keeps the objects of a process that answers: whatever is new is young, and dies young.
 *
 * V8 watches which places in the code make objects that live long, and puts what they make later among the old ones at once
 * (allocation sites, --allocation-site-pretenuring). With us the same code makes what lives and what does not: while a
 * million decisions are loaded or a flood becomes records nearly all of it stays, and with each question afterwards none. An
 * answer's objects that are taken for old ones keep its strings alive, too, until all of the heap is looked through: tidying
 * up after the young ones took 10 to 20 ms instead of less than one, and each time a hundred askers waited for it.
 */
import { setFlagsFromString } from 'node:v8'

const NO_FORESIGHT = '--no-allocation-site-pretenuring'

/**
 * A held connection is an object that lives for an hour among many that die at once. V8 lets the space for young objects
 * grow to 16 MB and more in a flood, and keeps it; a small one costs some processor time, and saves more than half of the
 * memory. What a flood leaves behind each worker has collected when it is over.
 */
export const WORKER_FLAGS = [NO_FORESIGHT, '--max-semi-space-size=1', '--expose-gc']

/** For this process, from now on: before anything is loaded. */
export function takeAllForYoung(): void {
  setFlagsFromString(NO_FORESIGHT)
}

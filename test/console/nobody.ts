import type { Met } from '../../src/console/pages/client.ts'

/** A client that the decoys have nothing of. */
export const NOBODY: Met = { visits: [], here: { count: 0, some: [], silent: 0 } }

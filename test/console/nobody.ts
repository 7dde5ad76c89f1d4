import type { Met } from '../../src/console/pages/client.ts'

/** A client that the decoys have nothing of, and all who are here were looked at. */
export const NOBODY: Met = { visits: [], here: { connections: [], looked: 0, inAll: 0 } }

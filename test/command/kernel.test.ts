/** What a person reads about the kernel's half of the primary: numbers beside each other that differ say why. */
import { expect, test } from 'vitest'
import { page } from '../../src/command/kernel.ts'
import { screenOf } from '../../src/console/terminal.ts'
import type { KernelState } from '../../src/decoy/kernel.ts'

const NOON = Date.UTC(2026, 10, 24, 12)
const ON: KernelState = {
  state: 'on',
  error: null,
  addresses: ['192.0.2.66:25'],
  suspects: { 4: 1, 6: 0 },
  networks: { 4: 0, 6: 0 },
  tolls: { refused: { 4: 2, 6: 1 }, letIn: { 4: 0, 6: 0 } },
  touches: 1,
  repairs: 0,
  lastRead: NOON - 2000,
}
const shown = (view: Partial<KernelState>) =>
  page({ ...ON, ...view }, screenOf({} as NodeJS.WriteStream, {}), NOON).join(' ')

test.each<[string, Partial<KernelState>, string]>([
  [
    'fewer contacts than connections',
    {},
    '1 contact told since the start, last read 2026-11-24 11:59 UTC (2 s ago); several connections of a client between two looks are one contact',
  ],
  ['as many', { touches: 3 }, '3 contacts told since the start, last read '],
  [
    'none',
    { touches: 0, tolls: { ...ON.tolls, refused: { 4: 0, 6: 0 } } },
    '0 contacts told since the start, last read ',
  ],
  ['repaired', { touches: 3, repairs: 1 }, ' ago); repaired once '],
  ['repaired twice', { touches: 3, repairs: 2 }, ' ago); repaired 2 times '],
])('%s', (_, view, said) => {
  expect(shown(view)).toContain(said)
})

/** Clients about whom something stands, one for each word, and the decisions about them: for every way of asking. */
import type { Decide, Decision } from '../../src/reputation/decision.ts'

const NONE = {
  ticket: undefined,
  because: undefined,
  until: undefined,
  by: undefined,
  doubt: undefined,
  mode: 'enforce',
} as const
const RULED = { by: 'rules', ticket: 'ABCD-EFGH', because: 'talked 100% first' } as const
const RULINGS: Record<string, Partial<Decision>> = {
  '192.0.2.1': { ...RULED, verdict: 'block', effect: 'block' },
  '192.0.2.2': { ...RULED, verdict: 'defer', effect: 'defer' },
  '192.0.2.3': { ...RULED, verdict: 'observe', effect: 'observe' },
  '192.0.2.4': { ...RULED, verdict: 'allow', effect: 'pass' },
  '192.0.2.5': { ...RULED, verdict: 'block', effect: 'pass', doubt: 'stale' },
  '2001:db8:0:1::/64': { ...RULED, verdict: 'block', effect: 'block' },
}
export const decide: Decide = (client) => ({
  ...NONE,
  verdict: 'clean',
  effect: 'pass',
  client,
  ...RULINGS[client.key],
})

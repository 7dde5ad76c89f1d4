import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseClient, type Client } from '../../src/core/client.ts'
import type { Evidence, Kind } from '../../src/core/evidence.ts'
import { NO_FACTS, type Facts, HOUR_MS, tally, withSighting } from '../../src/core/facts.ts'
import { allPools, type Member, readWellKnown } from '../../src/core/pools.ts'
import { readRules } from '../../src/core/rules.ts'
import { judge } from '../../src/core/verdict.ts'
import { shippedRules } from '../rules.ts'

const RULES = shippedRules()
const NOW = Date.UTC(2026, 5, 1)
const CLIENT = parseClient('198.51.100.7') as Client
const OF_POOL: Member = { pool: 'big-mail', found: 'spf', at: NOW }

/** What was seen at the backup, the newest an hour ago: each of these in each of so many hours. */
function facts(kinds: readonly Kind[], hours: number, member: Member): Facts {
  let { own } = NO_FACTS
  for (let hour = 1; hour <= hours; hour++)
    for (const kind of kinds) {
      const at = NOW - hour * HOUR_MS
      const evidence: Evidence = { type: 'evidence', at, client: CLIENT.ip, role: 'backup', kind, session: `s${hour}` }
      own = withSighting(own, tally({ seq: hour, evidence }).fact, at, 1)
    }
  return { ...NO_FACTS, own, member }
}

const POLITE: readonly Kind[] = ['contact', 'recipient']
const RUDE: readonly Kind[] = ['contact', 'recipient', 'early-talk']

describe('a member of a pool', () => {
  test('is believed about the order of its visits; a stranger with the same visits is refused', () => {
    expect(judge(CLIENT, facts(POLITE, 200, undefined), RULES, NOW).word).toBe('block')
    const member = judge(CLIENT, facts(POLITE, 200, OF_POOL), RULES, NOW)
    expect(member).toMatchObject({ word: 'clean', score: 0, member: OF_POOL })
    expect(member.reasons.find(({ rule }) => rule === 'backup-first')).toMatchObject({ waived: 200, excuse: 'pool' })
  })

  test('weighs a part of what no mail server does, and still comes to a block by far more of it', () => {
    const stranger = judge(CLIENT, facts(RUDE, 1, undefined), RULES, NOW)
    const member = judge(CLIENT, facts(RUDE, 1, OF_POOL), RULES, NOW)
    const weight = (of: typeof stranger) => of.reasons.find(({ rule }) => rule === 'talks-first')?.weight ?? 0
    expect([stranger.word, member.word]).toEqual(['block', 'observe'])
    expect(weight(member)).toBeCloseTo(weight(stranger) * RULES.pools.factor)
    const all: Kind[] = [...RUDE, 'trap-recipient', 'message', 'pipelining', 'bare-newline', 'dictionary', 'auth']
    const much = judge(CLIENT, facts(all, 24, OF_POOL), RULES, NOW)
    expect(much.word).toBe('block')
  })

  test('clears when its own arithmetic says, not when that of a stranger would', () => {
    const verdict = judge(CLIENT, facts(RUDE, 2, OF_POOL), RULES, NOW)
    const clearsAt = verdict.clearsAt as number
    const later = (at: number) => judge(CLIENT, facts(RUDE, 2, OF_POOL), RULES, at).score
    expect(later(clearsAt - 120_000)).toBeGreaterThanOrEqual(RULES.thresholds.observe)
    expect(later(clearsAt + 60_000)).toBeLessThan(RULES.thresholds.observe)
  })

  test('is never worse off than anybody else, whatever was seen', () => {
    const rank = { allow: 0, clean: 0, observe: 1, defer: 2, block: 3 }
    const kinds = fc.uniqueArray(
      fc.constantFrom<Kind>('recipient', 'early-talk', 'trap-recipient', 'message', 'pipelining', 'false-helo', 'auth'),
    )
    fc.assert(
      fc.property(kinds, fc.integer({ min: 1, max: 40 }), (seen, hours) => {
        const [of, other] = [OF_POOL, undefined].map((member) =>
          judge(CLIENT, facts(['contact', ...seen], hours, member), RULES, NOW),
        )
        return rank[of?.word ?? 'block'] <= rank[other?.word ?? 'clean'] && (of?.score ?? 0) <= (other?.score ?? 0)
      }),
    )
  })
})

test('while nobody knows whose an address is, the order of its visits waits; what no mail server does counts in full', () => {
  const polite = judge(CLIENT, facts(POLITE, 200, 'unknown'), RULES, NOW)
  expect(polite).toMatchObject({ word: 'clean', member: undefined })
  expect(polite.reasons.find(({ rule }) => rule === 'backup-first')).toMatchObject({ excuse: 'identity' })
  expect(judge(CLIENT, facts(RUDE, 1, 'unknown'), RULES, NOW).word).toBe('block')
})

describe('pools in the rules', () => {
  const rules = (pools: string) =>
    readRules(
      'rules.yaml',
      readFileSync(new URL('../../rules.yaml', import.meta.url), 'utf8').replace(/\npools:[^]*?\n\n/, `\n${pools}\n\n`),
    )

  test('have a name, and a way to be known', () => {
    const read = rules(
      'pools: {list: [{name: one, spf: [_spf.One.test], because: x}, {name: one, names: [one.test], because: x}, {name: beef, names: [b.test], because: x}, {name: none, because: x}, {name: two, spf: ["*"], because: x}]}',
    )
    expect(read.ok ? [] : read.problems.map(({ message }) => message)).toEqual([
      'pools.list.1.name: a pool named one stands above already',
      'pools.list.2.name: could be part of an address: choose a longer name',
      'pools.list.3: how is it known? expected spf or names beside the name',
      expect.stringContaining('pools.list.4.spf.0: expected a domain like example.org'),
    ])
  })

  test('replace those of the list that ships, which they may also leave out', () => {
    const known = readWellKnown(
      'known.yaml',
      'senders:\n- {name: one, spf: [one.test], because: x, reviewed: 2026-11-24}\n- {name: two, spf: [two.test], because: x, reviewed: 2026-10-01}\n',
    )
    if (!known.ok) throw new Error('unsound')
    expect(new Date(known.wellKnown.reviewedAt).toISOString().slice(0, 10)).toBe('2026-10-01')
    const own = { name: 'one', spf: [], names: ['one.test'], because: 'ours' }
    const pools = { factor: 0.2, wellKnown: true, list: [own] }
    expect(allPools(pools, known.wellKnown).map(({ name, because }) => `${name} ${because}`)).toEqual([
      'one ours',
      'two x',
    ])
    expect(allPools({ ...pools, wellKnown: false }, known.wellKnown)).toEqual([own])
  })
})

import { describe, expect, test } from 'vitest'
import type { Kind } from '../../src/core/evidence.ts'
import {
  beginTransaction,
  CALLOUTS_MAX,
  endTransaction,
  nameRecipient,
  type Naming,
  newNaming,
  noteManner,
  NULL_RECIPIENTS_MAX,
  RECIPIENTS_MAX,
  type Shown,
} from '../../src/decoy/recipients.ts'

function name(naming: Naming, address: string): Shown[] {
  const [local = '', domain = ''] = address.split('@')
  return nameRecipient(naming, { local, domain, ours: domain === 'example.test', trap: local === 'trap' })
}

/** One whole transaction, politely ended. */
function transact(naming: Naming, sender: string, ...addresses: string[]): Shown[] {
  beginTransaction(naming, sender)
  return [...addresses.flatMap((address) => name(naming, address)), ...endTransaction(naming)]
}

const kindsOf = (shown: Shown[]) => shown.map(({ kind }) => kind)

describe('recipients', () => {
  test('are told as ours, as foreign, and as traps', () => {
    const shown = transact(newNaming(), 'a@b.example', 'x@example.test', 'y@elsewhere.example', 'trap@example.test')
    expect(shown).toEqual([
      { kind: 'recipient', detail: 'x@example.test' },
      { kind: 'foreign-recipient', detail: 'y@elsewhere.example' },
      { kind: 'recipient', detail: 'trap@example.test' },
      { kind: 'trap-recipient', detail: 'trap@example.test' },
    ])
  })

  test('more than a hundred in one session are a flood, however many transactions', () => {
    const naming = newNaming()
    for (let i = 0; i < RECIPIENTS_MAX; i++)
      expect(kindsOf(transact(naming, 'a@b.example', `user${i}@example.test`))).toEqual(['recipient'])
    expect(kindsOf(transact(naming, 'a@b.example', 'more@example.test'))).toEqual(['recipient', 'recipient-flood'])
  })
})

describe('a callout', () => {
  test.each(['', 'postmaster@verifier.example', 'Double-Bounce@verifier.example', 'postmaster'])(
    'from <%s>, about one recipient, is told as such and as nothing else',
    (sender) => {
      const shown = transact(newNaming(), sender, 'x@example.test')
      expect(shown).toEqual([{ kind: 'callout', detail: 'x@example.test' }])
    },
  )

  test('about a trap, which somebody forged as a sender, is no hit on the trap', () => {
    expect(kindsOf(transact(newNaming(), '', 'trap@example.test'))).toEqual(['callout'])
  })

  test('is not known before it ends', () => {
    const naming = newNaming()
    beginTransaction(naming, '')
    expect(name(naming, 'x@example.test')).toEqual([])
    expect(endTransaction(naming)).toEqual([{ kind: 'callout', detail: 'x@example.test' }])
    expect(endTransaction(naming)).toEqual([])
  })

  test('with a second recipient is none, and nothing is lost', () => {
    const shown = transact(newNaming(), '', 'trap@example.test', 'y@example.test')
    expect(kindsOf(shown)).toEqual(['recipient', 'trap-recipient', 'recipient'])
  })

  test.each<Kind>([
    'early-talk',
    'pipelining',
    'talk-over',
    'bare-newline',
    'foreign-protocol',
    'unknown-command',
    'misplaced-command',
    'auth',
    'message',
  ])('by somebody who shows %s is none, before or after', (kind) => {
    const before = newNaming()
    expect(noteManner(before, kind)).toEqual([])
    expect(kindsOf(transact(before, '', 'x@example.test'))).toEqual(['recipient'])
    const after = newNaming()
    beginTransaction(after, '')
    name(after, 'x@example.test')
    expect(kindsOf(noteManner(after, kind))).toEqual(['recipient'])
    expect(endTransaction(after)).toEqual([])
  })

  test.each<Kind>(['false-helo', 'changed-helo', 'tls-hello', 'dialect', 'contact'])('%s does not spoil it', (kind) => {
    const naming = newNaming()
    expect(noteManner(naming, kind)).toEqual([])
    expect(kindsOf(transact(naming, '', 'x@example.test'))).toEqual(['callout'])
  })

  test('more than a few in one session are no verifier', () => {
    const naming = newNaming()
    for (let i = 0; i < CALLOUTS_MAX; i++)
      expect(kindsOf(transact(naming, '', `user${i}@example.test`))).toEqual(['callout'])
    expect(kindsOf(transact(naming, '', 'more@example.test'))).toEqual(['recipient'])
  })

  test('a sender of its own makes it a delivery', () => {
    expect(kindsOf(transact(newNaming(), 'a@b.example', 'x@example.test'))).toEqual(['recipient'])
    expect(kindsOf(transact(newNaming(), 'notpostmaster@b.example', 'x@example.test'))).toEqual(['recipient'])
  })
})

describe('no sender, many recipients', () => {
  const users = (count: number) => Array.from({ length: count }, (_, i) => `user${i}@example.test`)

  test('in one transaction are told', () => {
    expect(kindsOf(transact(newNaming(), '', ...users(NULL_RECIPIENTS_MAX)))).not.toContain('null-sender-many')
    expect(kindsOf(transact(newNaming(), '', ...users(NULL_RECIPIENTS_MAX + 1)))).toContain('null-sender-many')
  })

  test('with a sender, or one bounce after the other, are not', () => {
    expect(kindsOf(transact(newNaming(), 'a@b.example', ...users(50)))).not.toContain('null-sender-many')
    const naming = newNaming()
    const bounces = users(50).flatMap((user) => transact(naming, '', user))
    expect(kindsOf(bounces)).not.toContain('null-sender-many')
  })
})

test('a dictionary is told for names of ours only', () => {
  const roles = 'admin info sales test root webmaster support billing jobs news'.split(' ')
  const at = (domain: string) => transact(newNaming(), 'a@b.example', ...roles.map((role) => `${role}@${domain}`))
  expect(at('example.test').find(({ kind }) => kind === 'dictionary')?.detail).toBe(
    '10 names that many domains have, the last news',
  )
  expect(kindsOf(at('elsewhere.example'))).not.toContain('dictionary')
})

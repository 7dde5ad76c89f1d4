/** How much is kept of the people whom clients name: what the operator asks for, and judgement stays the same. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KIND_NAMES } from '../../src/core/evidence.ts'
import { discreet, discreetAddress, KEEPINGS, type Keeping } from '../../src/decoy/discretion.ts'
import { openHouse, PROXIED } from './visitors.ts'

const LOGIN = Buffer.from('\0hildegard@mail.test\0tr0ub4dor').toString('base64')
const NOSY = [
  'RCPT TO:<hildegard@example.test>',
  'EHLO bot.example',
  'VRFY hildegard',
  'MAIL FROM:<hildegard@mail.test>',
  'RCPT TO:<hildegard@example.test>',
  'RCPT TO:<hildegard@elsewhere.test>',
  'RCPT TO:<trap@example.test>',
  `AUTH PLAIN ${LOGIN}`,
  'QUIT',
]
const GUESSED = ['root', 'admin', 'info', 'sales', 'office', 'test', 'contact', 'support', 'billing', 'webmaster', 'hr']

/** A rude bot, a guesser and a verifier: all that is told of them. */
async function visits(keepAddresses: Keeping) {
  const house = await openHouse({ offers: { auth: true, tls: undefined, keepBytes: 0, keepAddresses } })
  const bot = house.call('proxy')
  bot.socket.write(`${PROXIED}MAIL FROM:<hildegard@mail.test>\r\n`)
  await bot.walk(...NOSY)
  await house.empty()
  const guesser = house.call()
  await guesser.walk(
    'EHLO b.example',
    'MAIL FROM:<x@b.example>',
    ...GUESSED.map((it) => `RCPT TO:<${it}@example.test>`),
  )
  guesser.socket.destroy()
  await house.empty()
  const verifier = house.call()
  await verifier.walk('EHLO verifier.example', 'MAIL FROM:<>', 'RCPT TO:<hildegard@example.test>', 'QUIT')
  await house.empty()
  const details = new Map(house.evidence.map(({ kind, detail }) => [kind, detail]))
  return { house, details, all: JSON.stringify([house.evidence, house.happenings]) }
}

test('whole: who was named, and who said to send', async () => {
  const { details, all } = await visits('whole')
  expect(details.get('recipient')).toBe('root@example.test')
  expect(details.get('callout')).toBe('hildegard@example.test')
  expect(details.get('auth-name')).toBe('hildegard@mail.test')
  expect(details.get('early-talk')).toBe('MAIL FROM:<hildegard@mail.test>')
  expect(details.get('dictionary')).toMatch(/, the last [a-z]+$/)
  expect(all).toContain('"sender":"hildegard@mail.test"')
})

test('domain: no person, but where they are at home; traps are nobody', async () => {
  const { details, all } = await visits('domain')
  expect(all).not.toMatch(/hildegard/i)
  expect(Object.fromEntries(details)).toMatchObject({
    recipient: '*@example.test',
    'foreign-recipient': '*@elsewhere.test',
    'trap-recipient': 'trap@example.test',
    callout: '*@example.test',
    'auth-name': '*@mail.test',
    'early-talk': 'MAIL',
  })
  expect(details.get('dictionary')).toMatch(/^10 [a-z ]+$/)
  expect(all).toContain('"sender":"*@mail.test"')
})

test('none: neither', async () => {
  const { details, all } = await visits('none')
  expect(all).not.toMatch(/hildegard|mail\.test|elsewhere/i)
  for (const kind of ['recipient', 'foreign-recipient', 'callout', 'auth-name'] as const) {
    expect(details.has(kind)).toBe(true)
    expect(details.get(kind)).toBeUndefined()
  }
  expect(details.get('trap-recipient')).toBe('trap@example.test')
  expect(all).toContain('"sender":"*"')
})

test('what counts is the same, however little is kept', async () => {
  const told = await Promise.all(
    KEEPINGS.map(async (keeping) => {
      const { house } = await visits(keeping)
      return house.evidence.map(({ kind, stage, role }) => `${role} ${kind} ${stage}`).toSorted()
    }),
  )
  expect(told[1]).toEqual(told[0])
  expect(told[2]).toEqual(told[0])
})

test('no part of an address stays that was to go, whatever it is made of', () => {
  const local = fc.string({ minLength: 1, maxLength: 120 }).map((text) => `Q${text.replaceAll('@', '')}`)
  fc.assert(
    fc.property(local, fc.constantFrom('recipient', 'foreign-recipient', 'callout', 'auth-name'), (name, kind) => {
      const sighting = { kind, stage: 'rcpt', detail: `${name}@example.test` } as const
      expect(discreet(sighting, 'domain')).toEqual({ kind, stage: 'rcpt', detail: '*@example.test' })
      expect(discreet(sighting, 'none')).toEqual({ kind, stage: 'rcpt' })
      // Cut before the domain.
      expect(discreet({ ...sighting, detail: `${name}...` }, 'domain')).toEqual({ kind, stage: 'rcpt' })
      expect(discreetAddress(`${name}@example.test`, 'none')).toBe('*')
    }),
  )
  expect(KEEPINGS.map((keeping) => discreetAddress('', keeping))).toEqual(['', '', ''])
})

test('a sighting without a detail stays as it is', () => {
  for (const kind of KIND_NAMES)
    for (const keeping of KEEPINGS) expect(discreet({ kind, stage: 'rcpt' }, keeping)).toEqual({ kind, stage: 'rcpt' })
})

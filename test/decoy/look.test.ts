import { describe, expect, test } from 'vitest'
import { followed, hostOf, type Look, lookOf } from '../../src/decoy/look.ts'

const NAME = 'mx9.example.org'
const asReal = (banner: string, ehlo: string[] = []) =>
  lookOf(NAME, undefined, () => ({ banner, ehlo, greetingMs: 7 }))()

describe('a banner', () => {
  test.each([
    ['mx.example.org ESMTP Postfix (Debian/GNU)', 'mx9.example.org ESMTP Postfix (Debian/GNU)'],
    ['mx.example.org', 'mx9.example.org'],
    ['mx.example.org ESMTP mx.example.org ready', 'mx9.example.org ESMTP mx9.example.org ready'],
    ['mx.example.org ESMTP Exim 4.96 Sat, 28 Nov 2026 22:54:41 +0000', 'mx9.example.org ESMTP Exim 4.96'],
    [
      'mx.example.org ESMTP Sendmail 8.17/8.17; Sat, 7 Nov 2026 22:54:41 GMT',
      'mx9.example.org ESMTP Sendmail 8.17/8.17',
    ],
    [
      'a.example.org Microsoft ESMTP MAIL Service ready at Sat, 28 Nov 2026 22:54:41 +0100 (CET)',
      'mx9.example.org Microsoft ESMTP MAIL Service ready',
    ],
    ['ESMTP ready', 'ESMTP ready'],
    ['', ''],
  ])('%j becomes %j', (banner, ours) => {
    expect(asReal(banner).banner).toBe(ours)
  })

  test("is Postfix's while nobody was seen, and the settings' own where they have one", () => {
    expect(lookOf(NAME)().banner).toBe('mx9.example.org ESMTP Postfix')
    const wish = { banner: 'mail.example.org at your service', ehlo: ['SIZE 1'] }
    expect(lookOf(NAME, wish, () => ({ banner: 'mx.example.org', ehlo: [] }))()).toMatchObject(wish)
  })
})

test('of what the real MX offers only that is offered which costs an honest sender nothing', () => {
  const postfix = [
    'PIPELINING',
    'SIZE 10240000',
    'VRFY',
    'ETRN',
    'XCLIENT NAME',
    'ENHANCEDSTATUSCODES',
    '8BITMIME',
    'DSN',
  ]
  expect(followed([...postfix, 'SMTPUTF8', 'CHUNKING'])).toEqual(['ENHANCEDSTATUSCODES', '8BITMIME', 'DSN', 'SMTPUTF8'])
  expect(followed(['smtputf8', 'STARTTLS', 'AUTH PLAIN'])).toEqual(['SMTPUTF8', '8BITMIME'])
  expect(followed([])).toEqual(['8BITMIME', 'SMTPUTF8'])
  expect(asReal('mx.example.org', postfix).ehlo).toEqual(['ENHANCEDSTATUSCODES', '8BITMIME', 'DSN', 'SMTPUTF8'])
})

test('a look is the same object until the real MX looks otherwise', () => {
  let real: Look | undefined
  const look = lookOf(NAME, undefined, () => real)
  const first = look()
  expect(look()).toBe(first)
  real = { banner: 'mx.example.org Honest', ehlo: [], greetingMs: 40 }
  expect(look()).toEqual({ banner: 'mx9.example.org Honest', ehlo: ['8BITMIME', 'SMTPUTF8'], greetingMs: 40 })
  expect(look()).toBe(look())
})

test('a host is named by the first word of a banner, if that is the name of one', () => {
  expect(hostOf('mx.example.org ESMTP', NAME)).toBe('mx.example.org')
  for (const banner of ['ESMTP ready', 'mx ESMTP', '', 'Hello, this is mx.example.org'])
    expect(hostOf(banner, NAME)).toBe(NAME)
})

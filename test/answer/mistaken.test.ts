import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mistakeOf, notJson } from '../../src/answer/mistaken.ts'
import { type Route, ROUTES } from '../../src/answer/routes.ts'

const told = (route: Route, body: unknown) => {
  const read = route.body?.safeParse(body, { reportInput: true })
  if (!route.body || !read?.error) throw new Error('nothing is wrong with it')
  return mistakeOf(read.error, route.body, 'the body')
}

describe('a word with mistakes', () => {
  const sound = { word: 'block', target: '192.0.2.1', because: 'a test' }
  test.each<[string, unknown, string, string?]>([
    ['no reason', { ...sound, because: undefined }, 'because: missing; expected a word or two'],
    ['a reason that is none', { ...sound, because: 7 }, 'because: expected a word or two, got 7'],
    ['an empty one', { ...sound, because: ' ' }, 'because: expected a word or two, got nothing'],
    [
      'a long one',
      { ...sound, because: 'x'.repeat(301) },
      `because: expected a text of at most 300 characters, got "${'x'.repeat(56)}...`,
    ],
    [
      'another word',
      { ...sound, word: 'blokc' },
      'word: expected allow or block or release or enlist or discard, got "blokc"',
      'did you mean block?',
    ],
    ['no target', { ...sound, target: undefined }, 'target: missing; expected an IP address, a CIDR or a pool'],
    [
      'a list',
      { ...sound, target: ['192.0.2.1'] },
      'target: expected an IP address, a CIDR or a pool, got ["192.0.2.1"]',
    ],
    [
      'a span in other words',
      { ...sound, for: '7days' },
      'for: expected a time span like 15m, 24h or 7d, got "7days"',
      'did you mean 7d?',
    ],
    [
      'a span without a unit',
      { ...sound, for: 7 },
      'for: expected a time span like 15m, 24h or 7d, got 7',
      'did you mean 7s, 7m, 7h or 7d?',
    ],
    [
      'a yes in quotes',
      { ...sound, force: 'yes' },
      'force: expected true or false, got "yes"',
      'did you mean true, without quotes?',
    ],
    ['a field too many', { ...sound, until: 'noon' }, 'until: no such field'],
    // Who misspells a field has not forgotten it.
    [
      'a field misspelt',
      { word: 'block', target: '192.0.2.1', becuase: 'a test' },
      'becuase: no such field',
      'did you mean because?',
    ],
    [
      'a list of words',
      [sound],
      'the body: expected a JSON object, got [{"word":"block","target":"192.0.2.1","because":"a test"}]',
    ],
    ['nothing', undefined, 'the body: missing; expected a JSON object'],
  ])('%s', (_, body, error, hint) => {
    expect(told(ROUTES.say, body)).toEqual(hint === undefined ? { error } : { error, hint })
  })

  test('all are told at once, each with its hint, and as one sentence', () => {
    const { error, errors } = told(ROUTES.say, { word: 'alow', target: '300.1.2.3', for: '7days', forse: true })
    expect(errors).toEqual([
      'word: expected allow or block or release or enlist or discard, got "alow" (did you mean allow?)',
      'target: expected an IP address, a CIDR or a pool, got "300.1.2.3": 300 is above 255',
      'for: expected a time span like 15m, 24h or 7d, got "7days" (did you mean 7d?)',
      'because: missing; expected a word or two',
      'forse: no such field (did you mean force?)',
    ])
    expect(error).toBe(errors?.join('; '))
  })
})

test('what is no JSON is told as that, and where it stops being any', () => {
  const said = (text: string) => {
    try {
      JSON.parse(text)
    } catch (error) {
      return notJson(text, error)
    }
    throw new Error('it is JSON')
  }
  expect(said('[1')).toEqual({
    error: 'the body: expected JSON, got "[1"',
    hint: expect.stringContaining('position 2') as string,
  })
  expect(said('word=allow').error).toBe('the body: expected JSON, got "word=allow"')
})

/** Of the library that reads them. */
const FOREIGN =
  /Invalid|Unrecognized|Too (?:small|big)|received|undefined|null"|\bexpected (?:string|object|array|boolean)\b/

test('whatever is sent to whichever route, it is told in our words', () => {
  const routes = Object.values<Route>(ROUTES).filter(({ body }) => body)
  const names = ['word', 'target', 'for', 'because', 'author', 'force', 'on', 'rights', 'source', 'x']
  const value = fc.oneof(
    fc.integer(),
    fc.boolean(),
    fc.constantFrom('', 'allow', '7 days', '192.0.2.1'),
    fc.constant([]),
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...routes),
      fc.oneof(fc.dictionary(fc.constantFrom(...names), value), value),
      (route, body) => {
        const read = route.body?.safeParse(body, { reportInput: true })
        if (!read?.error) return
        const { error, errors = [error] } = told(route, body)
        for (const each of errors) {
          expect(each).toMatch(/^[a-z ]+: (?:missing; )?(?:expected|no such field|there is|")/)
          expect(each).not.toMatch(FOREIGN)
        }
      },
    ),
  )
})

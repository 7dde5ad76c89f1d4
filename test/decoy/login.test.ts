import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { userNameOf } from '../../src/decoy/login.ts'

/** As the library reads PLAIN. */
function plain(token: string) {
  const [authzid = '', authcid = '', password = ''] = token.split('\0')
  return userNameOf({ username: authcid || authzid, authzid, authcid, password })
}

describe('a name is kept', () => {
  test.each([
    ['alice', 'wonderland7'],
    ['alice@example.test', 'wonderland7'],
    ['Alice', 'x'],
    ['ADMIN', 'Admin2024!'],
    ['user7', 'p4ssword'],
    ['j.r.r.tolkien+lists@example.test', 'ring'],
  ])('%s beside %s', (username, password) => {
    expect(userNameOf({ username, password })).toBe(username)
  })

  test.each([
    ['\0alice\0wonderland7', 'alice'],
    ['alice\0alice\0wonderland7', 'alice'],
    ['alice\0\0wonderland7', 'alice'],
  ])('of PLAIN %j', (token, name) => {
    expect(plain(token)).toBe(name)
  })
})

describe('nothing is kept', () => {
  test.each([
    ['the password alone', { username: '', password: 'secret' }],
    ['a name without a password', { username: 'alice', password: '' }],
    ['a name that is its password', { username: 'admin', password: 'ADMIN' }],
    ['a name that holds its password', { username: 'alice.secret', password: 'secret' }],
    ['an address where the password belongs', { username: 'hunter', password: 'alice@example.test' }],
    ['a name with digits beside letters alone', { username: 'hunter2', password: 'alice' }],
    ['what looks like a password', { username: 'Tr0ub4dor&3', password: 'correcthorse' }],
    ['letters of both cases, as noise has', { username: 'aGfX', password: 'correcthorse' }],
    ['bytes beyond ASCII', { username: 'caf\u00e9', password: 'correcthorse' }],
    ['a long text', { username: 'a'.repeat(65), password: 'correcthorse' }],
    ['a token of another mechanism', { username: 'user\u0001auth', password: 'x' }],
  ])('of %s', (_name, login) => {
    expect(userNameOf(login)).toBeUndefined()
  })

  test('of PLAIN whose first NUL was lost, so that the password stands where the name belongs', () => {
    expect(plain('alice\0wonderland\0')).toBeUndefined()
    expect(plain('alice\0wonderland\0x')).toBeUndefined()
  })
})

test('whatever the log-in, what is kept does not hold the password', () => {
  const word = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('alice', 'a@b.example', 'secret7', 'Secret'))
  fc.assert(
    fc.property(word, word, word, word, (username, password, authzid, authcid) => {
      const kept = userNameOf({ username, password, authzid, authcid })
      if (kept !== undefined) expect(kept.toLowerCase()).not.toContain(password.toLowerCase())
      if (kept !== undefined) expect(kept).toMatch(/^[\x21-\x7e]{3,}$/)
    }),
    { numRuns: 2000 },
  )
})

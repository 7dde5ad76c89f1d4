import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { spellProblem } from '../../src/core/document.ts'
import { readSettings } from '../../src/settings/settings.ts'
import type { RedisSettings } from '../../src/settings/store-settings.ts'
import { certificateFiles } from '../certificate.ts'
import { folder } from '../folders.ts'

describe('the store', () => {
  test('without a word about it is the embedded one', () => {
    expect(redisOf('{}')).toBeUndefined()
    expect(redisOf('{ max-age: 1m }')).toBeUndefined()
  })

  test.each([
    ['/run/redis/redis.sock', { at: { path: '/run/redis/redis.sock' } }],
    ['unix:/run/redis.sock', { at: { path: '/run/redis.sock' } }],
    ['redis://redis.example.org', { at: { host: 'redis.example.org', port: 6379 }, database: 0 }],
    ['redis://[2001:db8::6]:7000/3', { at: { host: '2001:db8::6', port: 7000 }, database: 3 }],
    [
      'redis://ann:p%40ss%25@127.0.0.1:6379/',
      { user: 'ann', password: 'p@ss%', at: { host: '127.0.0.1', port: 6379 } },
    ],
    ['rediss://:secret@redis.example.org', { user: undefined, password: 'secret', tls: {} }],
  ])('at %s', (url, expected) => {
    expect(redisOf(`{ url: "${url}" }`)).toMatchObject({ commandTimeoutMs: 500, ...expected })
  })

  test.each([
    '',
    'redis://',
    'http://redis/',
    'redis:6379',
    '//socket',
    'redis://h/one',
    'redis://h?x=1',
    'redis://h:p',
  ])('cannot be at "%s", and the sentence says where it could', (url) => {
    expect(problemsOf(`{ url: "${url}" }`)).toEqual([
      expect.stringMatching(/^decoymx\.yaml:1:\d+: store\.url: expected redis:\/\/HOST:PORT/),
    ])
    if (url !== '')
      expect(problemsOf('{}', { DECOYMX_REDIS_URL: url })).toEqual([
        expect.stringMatching(/^DECOYMX_REDIS_URL:1:1: expected redis:\/\/HOST:PORT/),
      ])
  })

  test('may be the master that Sentinels name, or a Cluster, with one time-out for all', () => {
    const sentinel = `{ master: mail, at: ["s1.example.org:26379", "[::1]:26380"], user: watch, password: w }`
    expect(
      redisOf(`{ sentinel: ${sentinel}, user: decoymx, password: p, database: 2, command-timeout: 40ms }`),
    ).toEqual({
      at: {
        master: 'mail',
        sentinels: [
          { host: 's1.example.org', port: 26379 },
          { host: '::1', port: 26380 },
        ],
        user: 'watch',
        password: 'w',
      },
      user: 'decoymx',
      password: 'p',
      database: 2,
      tls: undefined,
      commandTimeoutMs: 40,
      files: [],
    })
    expect(
      redisOf('{ cluster: ["10.0.0.1:6379", "10.0.0.2:6379"], tls: { server-name: redis.example.org } }'),
    ).toMatchObject({
      at: {
        cluster: [
          { host: '10.0.0.1', port: 6379 },
          { host: '10.0.0.2', port: 6379 },
        ],
      },
      tls: { servername: 'redis.example.org' },
    })
  })

  test('url and secrets come from the environment, or from files, before the settings', () => {
    const path = folder()
    for (const [name, text] of Object.entries({ url: 'redis://from-file\n', password: 'p-file\n' }))
      writeFileSync(join(path, name), text)
    const settings = '{ url: "redis://from-settings", password: p-settings }'
    const hostWith = (env: NodeJS.ProcessEnv) => {
      const { at, password } = redisOf(settings, env) as RedisSettings
      return [(at as { host: string }).host, password]
    }
    expect(hostWith({})).toEqual(['from-settings', 'p-settings'])
    expect(hostWith({ DECOYMX_REDIS_URL_FILE: join(path, 'url') })).toEqual(['from-file', 'p-settings'])
    expect(hostWith({ DECOYMX_REDIS_URL: 'redis://from-env' })).toEqual(['from-env', 'p-settings'])
    expect(hostWith({ DECOYMX_REDIS_PASSWORD_FILE: join(path, 'password') })).toEqual(['from-settings', 'p-file'])
    expect(hostWith({ DECOYMX_REDIS_PASSWORD: 'p-env' })).toEqual(['from-settings', 'p-env'])
    expect(redisOf(`{ url-file: ${join(path, 'url')}, password-file: ${join(path, 'password')} }`)).toMatchObject({
      at: { host: 'from-file' },
      password: 'p-file',
    })
    expect(problemsOf('{}', { DECOYMX_REDIS_URL_FILE: join(path, 'gone') })).toEqual([
      expect.stringMatching(/gone:1:1: cannot be read: ENOENT/),
    ])
  })

  test('every mistake is told, at its key', () => {
    const wrong = `store:
  url: redis://ann@redis
  sentinel: { master: mail, at: ["10.0.0.1:26379"] }
  cluster: ["10.0.0.1:6379"]
  user: bob
  password: one
  password-file: /two
  database: 1
  tls: { certificate: c.pem }
`
    const file = join(folder(), 'decoymx.yaml')
    writeFileSync(file, wrong)
    const read = readSettings(file, {})
    expect(read.ok ? [] : read.problems.map(({ line, message }) => `${line} ${message}`).toSorted()).toEqual([
      '3 store.sentinel: the store has one place, and url names it already',
      '4 store.cluster: the store has one place, and url names it already',
      '5 store.user: the url has a user already',
      '7 store.password-file: there is a password already',
      '8 store.database: with a url it stands there: .../DATABASE',
      '9 store.tls: certificate and key belong together: one of them is missing',
      '9 store.tls: the url asks for no TLS: write rediss:// there',
    ])
    expect(problemsOf('{ cluster: ["redis", "10.0.0.1:0"] }')).toEqual([
      expect.stringContaining('store.cluster.0: expected HOST:PORT'),
      expect.stringContaining('store.cluster.1: expected HOST:PORT'),
    ])
    expect(problemsOf('{ cluster: ["h:1"] }', { DECOYMX_REDIS_URL: '/s' })).toEqual([
      'DECOYMX_REDIS_URL:1:1: the settings name store.cluster already: leave one of them out',
    ])
    expect(problemsOf('{ user: ann }', { DECOYMX_REDIS_URL: 'redis://bob@h' })).toEqual([
      'DECOYMX_REDIS_URL:1:1: the url has a user already',
    ])
    expect(problemsOf('{ command-timeout: 1ms }')).toEqual([
      expect.stringContaining('expected a span from 10ms to 10s'),
    ])
  })

  test('a password never gets into a message', () => {
    for (const url of ['http://user:hunter2@redis', 'redis://user:hunter2@redis/one', 'redis://:hunter2%@redis'])
      expect(problemsOf(`{ url: "${url}" }`).join()).toMatch(/^(?!.*hunter2).*expected redis/)
  })

  test.skipIf(inject('missing').includes('openssl'))('certificates are read before anybody relies on them', () => {
    const { certificate, key } = certificateFiles()
    const tls = (keys: string) => `{ url: "rediss://redis", tls: { ${keys} } }`
    const read = redisOf(tls(`ca: ${certificate}, certificate: ${certificate}, key: ${key}`))
    expect(read?.tls).toEqual({
      ca: expect.stringMatching(/^-----BEGIN CERT/),
      cert: expect.stringMatching(/^-----BEGIN CERT/),
      key: expect.stringMatching(/^-----BEGIN PRIVATE/),
    })
    expect(problemsOf(tls(`ca: ${key}`))).toEqual([`${key}:1:1: expected certificates in PEM form`])
    expect(problemsOf(tls('ca: /nonexistent/ca.pem'))).toEqual([
      expect.stringMatching(/^\/nonexistent\/ca\.pem:1:1: cannot be read/),
    ])
    expect(problemsOf(tls(`certificate: ${key}, key: ${key}`))).toEqual([
      `${key}:1:1: expected a certificate in PEM form`,
    ])
  })
})

function read(store: string, env: NodeJS.ProcessEnv) {
  const file = join(folder(), 'decoymx.yaml')
  writeFileSync(file, `store: ${store}\n`)
  return { file, outcome: readSettings(file, env) }
}

function redisOf(store: string, env: NodeJS.ProcessEnv = {}): RedisSettings | undefined {
  const { outcome } = read(store, env)
  if (!outcome.ok) throw new Error(outcome.problems.map(spellProblem).join('\n'))
  return outcome.settings.store.redis
}

function problemsOf(store: string, env: NodeJS.ProcessEnv = {}): string[] {
  const { file, outcome } = read(store, env)
  return outcome.ok ? [] : outcome.problems.map((problem) => spellProblem(problem).replace(file, 'decoymx.yaml'))
}

import { readFileSync } from 'node:fs'
import { describe, expect, inject, test } from 'vitest'
import { certificateFindings } from '../../src/command/certificate-check.ts'
import { readSettings, type Settings } from '../../src/settings/settings.ts'
import { certificateFiles } from '../certificate.ts'

const DAY_MS = 86_400_000

describe.skipIf(inject('missing').includes('openssl'))('certificates', () => {
  const read = readSettings(undefined, {})
  if (!read.ok) throw new Error('the defaults are sound')
  const { decoys } = read.settings
  const at = { host: '127.0.0.1', port: 6379 }
  const redis = (tls: object) => ({ 'max-age': 0, redis: { at, tls, commandTimeoutMs: 500, files: [] } })
  const starttls = (tls: object) => ({ ...decoys, backup: { ...decoys.backup, tls } }) as Settings['decoys']

  test('where there are none, nothing is said', () => {
    expect(certificateFindings({ store: redis({}), decoys }, Date.now())).toEqual([])
    expect(certificateFindings(read.settings, Date.now())).toEqual([])
  })

  test.each([
    ['long before', -300, 'ok', 'ok'],
    ['days before', 0, 'warn', 'warn'],
    ['after', 3, 'fail', 'warn'],
  ])('%s their end (%d days from now): the store %s, STARTTLS %s', (_, days, ofStore, ofDecoy) => {
    // Good for two days.
    const files = certificateFiles()
    const text = readFileSync(files.certificate, 'utf8')
    const found = certificateFindings(
      { store: redis({ ca: text, cert: text, key: '' }), decoys: starttls(files) },
      Date.now() + days * DAY_MS,
    )
    expect(found.map(({ level, seen }) => [level, seen.split(' ')[0]])).toEqual([
      [ofStore, 'store.tls.ca'],
      [ofStore, 'store.tls.certificate'],
      [ofDecoy, 'decoys.backup.tls.certificate'],
    ])
    for (const { level, next } of found) expect(next === null).toBe(level === 'ok')
  })

  test('of several that are believed, the one that lasts longest counts', () => {
    const [old, now] = [certificateFiles('a.example', 2), certificateFiles('b.example', 400)].map(({ certificate }) =>
      readFileSync(certificate, 'utf8'),
    )
    for (const ca of [`${old}${now}`, `${now}\n${old}`])
      expect(certificateFindings({ store: redis({ ca }), decoys }, Date.now())).toMatchObject([{ level: 'ok' }])
  })
})

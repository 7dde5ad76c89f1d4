import { readFileSync } from 'node:fs'
import { describe, expect, inject, test } from 'vitest'
import { certificateFindings } from '../../../src/command/health/certificate-check.ts'
import { certificateEnds } from '../../../src/settings/certificate.ts'
import { certificateFiles } from '../../certificate.ts'

const DAY_MS = 86_400_000

describe.skipIf(inject('missing').includes('openssl'))('certificates', () => {
  test('where there are none, or none that can be read, nothing is said', () => {
    expect(certificateFindings(certificateEnds(undefined, undefined), Date.now())).toEqual([])
    expect(certificateEnds({}, undefined)).toEqual([])
    expect(certificateEnds({ ca: 'no certificate' }, { certificate: '/nowhere/cert.pem', key: '' })).toEqual([])
  })

  test.each([
    ['long before', -300, 'ok', 'ok'],
    ['days before', 0, 'warn', 'warn'],
    ['after', 3, 'fail', 'warn'],
  ])('%s their end (%d days from now): the store %s, STARTTLS %s', (_, days, ofStore, ofDecoy) => {
    // Good for two days.
    const files = certificateFiles()
    const text = readFileSync(files.certificate, 'utf8')
    const found = certificateFindings(certificateEnds({ ca: text, cert: text }, files), Date.now() + days * DAY_MS)
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
      expect(certificateFindings(certificateEnds({ ca }, undefined), Date.now())).toMatchObject([{ level: 'ok' }])
  })
})

/**
 * How long the certificates that this host shows or believes are good for: nobody else tells before the day on which they are not.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { span } from '../console/terminal.ts'
import type { Instant } from '../core/evidence.ts'
import type { Settings } from '../settings/settings.ts'
import { fail, type Finding, ok, warn } from './finding.ts'

/** Whoever renews certificates of 90 days does it with 30 left: two weeks before the end something has failed. */
const SOON_MS = 14 * 86_400_000
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

type Held = {
  readonly key: string
  readonly text: string
  readonly loss: 'warn' | 'fail'
  readonly costs: string
}

export function certificateFindings({ store, decoys }: Pick<Settings, 'store' | 'decoys'>, now: Instant): Finding[] {
  const { ca, cert } = store.redis?.tls ?? {}
  const starttls = decoys.backup.tls?.certificate
  const held: Held[] = []
  const away = 'the store does not let us in then, and is away for us'
  if (ca !== undefined) held.push({ key: 'store.tls.ca', text: ca, loss: 'fail', costs: away })
  if (cert !== undefined) held.push({ key: 'store.tls.certificate', text: cert, loss: 'fail', costs: away })
  if (starttls !== undefined)
    held.push({
      key: 'decoys.backup.tls.certificate',
      text: readFileSync(starttls, 'utf8'),
      loss: 'warn',
      costs: 'mail servers encrypt without looking at it; who looks may tell a decoy by it',
    })
  return held.flatMap((each) => foundOf(each, now))
}

function foundOf({ key, text, loss, costs }: Held, now: Instant): Finding[] {
  const ends = (text.match(PEM) ?? []).map((pem) => new X509Certificate(pem).validToDate.getTime())
  // Of what is shown the first is ours. Of those believed the one that lasts longest: an old one may stand beside its follower.
  const end = key.endsWith('.ca') ? Math.max(...ends) : ends[0]
  if (end === undefined || !Number.isFinite(end)) return []
  const day = new Date(end).toISOString().slice(0, 10)
  const next = `renew it (${costs}); the file is read again when it changes`
  if (end <= now) return [(loss === 'fail' ? fail : warn)('tls', `${key} ended on ${day}`, next)]
  const seen = `${key} is good until ${day}, ${span(end - now)}`
  return [end - now < SOON_MS ? warn('tls', seen, next) : ok('tls', seen)]
}

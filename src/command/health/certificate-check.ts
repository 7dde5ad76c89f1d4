/**
 * How long the certificates that this host shows or believes are good for: nobody else tells before the day on which they are not.
 */
import type { Instant } from '../../core/evidence.ts'
import { span } from '../../core/span.ts'
import type { CertificateEnd } from '../../settings/certificate.ts'
import { fail, type Finding, ok, warn } from './finding.ts'

/** Whoever renews certificates of 90 days does it with 30 left: two weeks before the end something has failed. */
const SOON_MS = 14 * 86_400_000

const AWAY = 'the store does not let us in then, and is away for us'
const LOSS: Readonly<Record<CertificateEnd['setting'], { readonly ended: typeof fail; readonly costs: string }>> = {
  'store.tls.ca': { ended: fail, costs: AWAY },
  'store.tls.certificate': { ended: fail, costs: AWAY },
  'decoys.backup.tls.certificate': {
    ended: warn,
    costs: 'mail servers encrypt without looking at it; who looks may tell a decoy by it',
  },
}

export function certificateFindings(ends: readonly CertificateEnd[], now: Instant): Finding[] {
  return ends.map(({ setting, notAfter }) => {
    const { ended, costs } = LOSS[setting]
    const day = notAfter.slice(0, 10)
    const leftMs = Date.parse(notAfter) - now
    const next = `renew it (${costs}); the file is read again when it changes`
    if (leftMs <= 0) return ended('tls', `${setting} ended on ${day}`, next)
    if (leftMs < SOON_MS) return warn('tls', `${setting} ends on ${day}, in ${span(leftMs)}`, next)
    return ok('tls', `${setting} is good until ${day}, ${span(leftMs)}`)
  })
}

/**
 * What askers were told, in log and metrics: by the policy service, the tables, the milter and the DNSBL.
 *
 * What the canary asks is in no figure about mail.
 */
import type { DnsblHappening } from '../answer/dnsbl.ts'
import type { Language, LookupHappening } from '../answer/lookup.ts'
import type { MilterHappening } from '../answer/milter.ts'
import type { PolicyHappening } from '../answer/policy.ts'
import type { SampleHappening } from '../answer/sample.ts'
import type { Log } from '../console/log.ts'
import type { Metrics } from '../console/metrics.ts'
import { isCanary } from '../core/canary.ts'
import type { Decision } from '../reputation/decision.ts'
import { tellingOfHangUps } from './hang-ups.ts'

export function tellingOfAnswers(log: Log, metrics: Metrics, now: () => number) {
  const hungUp = tellingOfHangUps(log, now)
  const answered = (
    asker: 'policy' | 'dnsbl' | 'milter' | Language['name'],
    { client, effect, verdict, doubt }: Decision,
  ) => {
    if (isCanary(client.ip)) return
    metrics.answers.inc({ asker, answer: effect })
    if (doubt) metrics.doubts.inc({ asker, doubt })
    else if (effect !== verdict && verdict !== 'clean' && verdict !== 'allow')
      metrics.wouldHaveBeen.inc({ asker, answer: verdict })
  }

  const refused = (asker: string, { client, effect, ticket }: Decision, said: string = effect) => {
    if (effect === 'block' || effect === 'defer')
      log[levelOf(client.ip)]({ client: client.ip, ticket }, `${asker}: ${said}`)
  }

  return {
    policy: (it: PolicyHappening): void => {
      switch (it.what) {
        case 'answered':
          refused('policy', it.decision, it.action)
          return answered('policy', it.decision)
        case 'unreadable':
          log.warn({ address: it.address }, 'policy: asked about something that is no address; answered DUNNO')
          return metrics.policyTrouble.inc({ reason: 'unreadable' })
        case 'closed':
          hungUp('policy', it)
          return metrics.policyTrouble.inc({ reason: it.reason })
        case 'failed':
          log.error({ error: it.error }, 'policy: a bug of ours')
          return metrics.policyTrouble.inc({ reason: 'failed' })
      }
    },

    lookup: (asker: Language['name'], it: LookupHappening): void => {
      switch (it.what) {
        case 'answered':
          refused(asker, it.decision)
          return answered(asker, it.decision)
        case 'closed':
          hungUp(asker, it)
          return metrics.lookupTrouble.inc({ asker, reason: it.reason })
        case 'failed':
          log.error({ error: it.error }, `${asker}: a bug of ours`)
          return metrics.lookupTrouble.inc({ asker, reason: 'failed' })
      }
    },

    milter: (it: MilterHappening): void => {
      switch (it.what) {
        case 'answered':
          refused('milter', it.decision)
          return answered('milter', it.decision)
        case 'closed':
          hungUp('milter', it)
          return metrics.milterTrouble.inc({ reason: it.reason })
        case 'failed':
          log.error({ error: it.error }, 'milter: a bug of ours')
          return metrics.milterTrouble.inc({ reason: 'failed' })
      }
    },

    dnsbl: (it: DnsblHappening): void => {
      switch (it.what) {
        case 'answered':
          if (it.decision) answered('dnsbl', it.decision)
          return metrics.queries.inc({ over: it.over, rcode: it.rcode })
        case 'ignored':
        case 'limited':
        case 'unsent':
          return metrics.dnsblTrouble.inc({ reason: it.what })
        case 'closed':
          return metrics.dnsblTrouble.inc({ reason: it.reason })
        case 'failed':
          log.error({ error: it.error }, 'dnsbl: a bug of ours')
          return metrics.dnsblTrouble.inc({ reason: 'failed' })
      }
    },

    sample: ({ what, share }: SampleHappening): void => {
      if (what === 'overfull')
        log.error({ share }, 'dnsbl: so much of the world is listed that nobody is told so: is a block too wide?')
      else log.info({ share }, 'dnsbl: what is listed can be believed again')
    },
  }
}

/** What we play to ourselves is for those who look closely. */
export function levelOf(ip: string): 'debug' | 'info' {
  return isCanary(ip) ? 'debug' : 'info'
}

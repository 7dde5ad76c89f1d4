/**
 * What happens in the rooms, told in two ways: log lines for people, metrics for machines.
 *
 * Every happening that a room can report has its place here; the compiler says when one has none.
 */
import type { Log } from '../console/log.ts'
import type { MailLog } from '../console/mail-log.ts'
import type { Metrics } from '../console/metrics.ts'
import { seldom } from '../console/seldom.ts'
import { counted } from '../console/terminal.ts'
import type { Session } from '../core/session.ts'
import { type Problem, spellProblem } from '../core/document.ts'
import { isCanary } from '../core/canary.ts'
import type { Rules } from '../core/rules.ts'
import type { KernelHappening } from '../decoy/kernel.ts'
import type { DecoyHappening } from '../decoy/happenings.ts'
import type { Rejudged, ReputationHappening } from '../reputation/reputation.ts'
import { levelOf, tellingOfAnswers } from './answers-telling.ts'
import type { CanaryView } from './canary.ts'
import { tellingOfCrew } from './crew-telling.ts'
import { type PoolHappening, troubleLine } from './pooling.ts'
import { type ReloadHappening, spellEffect } from './reloading.ts'
import type { FirewallHappening } from './firewall.ts'
import { tellingOfRoom } from './fullness.ts'
import { type Door, type DoorHappening, viewOf } from './sockets.ts'
import { shortfalls } from './status-view.ts'
import type { WatchHappening } from './watching.ts'

export type Tell = ReturnType<typeof teller>

export function teller(log: Log, metrics: Metrics, now: () => number, mailLog?: MailLog) {
  let unreachable = false
  const misreadings = seldom(now)
  const losses = seldom(now)
  let [unsaidLost, saidLost] = [0, false]
  const room = tellingOfRoom(log, metrics, now)

  /** Every session has a dialect, and its own line tells it. */
  const levelOfSeen = ({ client, kind }: { client: string; kind: string }) =>
    kind === 'dialect' ? 'debug' : levelOf(client)

  return {
    /** Of `closed` the sums are those of all `times`. */
    decoy: (it: DecoyHappening, times = 1): void => {
      switch (it.what) {
        case 'opened':
          return metrics.connections.inc({ role: it.role, via: it.via, regard: it.regard }, times)
        case 'closed':
          metrics.sessions.inc({ role: it.role, outcome: it.outcome }, times)
          metrics.heldSeconds.inc({ role: it.role }, it.heldMs / 1000)
          metrics.receivedBytes.inc({ role: it.role }, it.bytesIn)
          return metrics.sentBytes.inc({ role: it.role }, it.bytesOut)
        case 'ended':
          if (!isCanary(it.session.client)) mailLog?.write(it.session, now())
          return log[levelOf(it.session.client)](told(it.session), `session: ${it.session.role}`)
        case 'refused':
          if (it.reason === 'total') room.full(it.role, times)
          return metrics.refused.inc({ role: it.role, reason: it.reason }, times)
        case 'misread': {
          // Counted as refused already.
          const leftOut = misreadings(`${it.role} ${it.peer}`)
          if (leftOut === undefined) return
          const { peer, where, because } = it
          return log.warn(
            { peer, where, because, ...(leftOut > 0 ? { leftOut } : {}) },
            `${it.role} decoy: no PROXY header from a peer in proxy-from`,
          )
        }
        case 'fault':
          metrics.decoyFaults.inc({ role: it.role })
          return log.error({ error: it.error }, `${it.role} decoy: the SMTP library met an error without a name`)
      }
    },

    crew: tellingOfCrew(log, metrics),

    crowded: room.crowded,
    pressed: room.pressed,
    turnedAway: room.turnedAway,

    /** Events that a worker could not hand over in time. */
    lost: (events: number): void => {
      metrics.journalLost.inc(events)
      log.error({ lost: events }, 'evidence: the disk is too slow for the workers')
    },

    firewall: (it: FirewallHappening): void => {
      metrics.firewallUpdates.inc({ result: it.what })
      switch (it.what) {
        case 'followed':
          return log.debug({ entries: it.entries }, 'firewall: the sets follow the decisions')
        case 'emptied':
          return log.warn('firewall: nobody is in the sets, for our copy of the decisions is too old')
        case 'removed':
          return log.warn('firewall: the table inet decoymx_list was removed, and stays so until it is loaded again')
        case 'full':
          return log.error({ entries: it.entries }, `firewall: not put into the sets: more than ${it.most} entries`)
        case 'failed':
          return log.error({ error: it.error }, 'firewall: cannot follow the decisions; what is in the sets runs out')
      }
    },

    kernel: (it: KernelHappening): void => {
      switch (it.what) {
        case 'on':
          return log.info({ suspects: it.suspects }, 'kernel: refuses strangers at the primary')
        case 'off':
          return log.info('kernel: refuses nobody; our table is removed')
        case 'followed':
          return log.debug({ suspects: it.suspects }, 'kernel: follows the decisions')
        case 'failed':
          metrics.kernelTrouble.inc({ reason: it.why })
          return log.error(
            { error: it.error },
            'kernel: cannot refuse strangers at the primary; the decoy accepts and resets them instead',
          )
        case 'repaired':
          metrics.kernelTrouble.inc({ reason: it.why })
          return log.warn(
            `kernel: our table was ${it.why === 'missing' ? 'removed' : 'changed'} by somebody else; it stands again`,
          )
        case 'full':
          metrics.kernelTrouble.inc({ reason: `full-${it.set}` })
          return log.warn(`kernel: ${KERNEL_FULL[it.set]}`)
        case 'read':
          for (const family of [4, 6] as const) {
            metrics.kernelConnections.inc({ family: `${family}`, met: 'refused' }, it.tolls.refused[family])
            metrics.kernelConnections.inc({ family: `${family}`, met: 'let-in' }, it.tolls.letIn[family])
          }
      }
    },

    ...tellingOfAnswers(log, metrics, now),

    reputation: ({ from, it }: ReputationHappening): void => {
      if (from === 'journal') {
        if (it.what === 'write-failed') {
          metrics.journalLost.inc(it.lost)
          unsaidLost += it.lost
          if (losses(it.error) === undefined) return
          log.error({ lost: unsaidLost, error: it.error }, 'journal: cannot be written')
          ;[unsaidLost, saidLost] = [0, true]
        } else if (it.what === 'writes-again') {
          // A disk that is full and not full by turns has a line for each minute's first.
          if (saidLost) log.info({ lost: it.lost }, 'journal: can be written again')
          saidLost = false
        } else log.warn({ file: it.file, lines: it.lines }, 'journal: unreadable lines were passed over')
      } else if (from === 'store') {
        if (it.what === 'up') return log.info('store: works')
        metrics.storeTrouble.inc({ kind: it.what })
        const { what, ...rest } = it
        log.warn(rest, `store: ${STORE_WORDS[what]}`)
      } else if (from === 'ledger') {
        if (it.what === 'unreachable' && !unreachable)
          log.warn({ error: it.error }, 'decisions: the store does not answer; the last known ones are used')
        unreachable = it.what === 'unreachable'
        if (it.what === 'loaded') log.debug({ rulings: it.rulings }, 'decisions: loaded')
        if (it.what === 'changed') changed(it.ruling, it.before)
      } else intake(it)
    },

    door: (it: DoorHappening): void => {
      if (it.what === 'open') log.debug(`${it.door} listens on ${it.address}`)
      else if (it.what === 'stuck')
        log.warn({ error: it.error }, `${it.door}: a client could not come in at ${it.address}`)
      else
        log.error(
          `${it.door} cannot listen on ${it.address}: ${it.error} (tried again, unless no address at all opens)`,
        )
    },

    reload: (it: ReloadHappening): void => {
      switch (it.what) {
        case 'refused':
          metrics.reloads.inc({ outcome: it.why })
          for (const problem of it.problems) log.error(spellProblem(problem))
          return log.error(`rules: ${counted(it.problems.length, 'problem')}; the old rules stay`)
        case 'saved':
          return log.info({ by: it.by, before: it.before, digest: it.digest }, `rules: saved by ${it.by}`)
        case 'effect':
          return log.info({ ...it.effect, digest: it.digest }, `rules: ${spellEffect(it.effect)}`)
        case 'loaded':
          metrics.reloads.inc({ outcome: 'sound' })
          return log.info(`rules: ${it.rules.list.length} from ${it.rules.file}, mode ${it.rules.mode}`)
      }
    },

    /** A file beside settings and rules was read anew. */
    reread: (what: string, holds: string, problems: readonly Problem[]): void => {
      for (const problem of problems) log.error(spellProblem(problem))
      if (problems.length > 0) log.error(`${what}: not taken; what the file said before stays`)
      else log.info(`${what}: ${holds}`)
    },

    rejudged: (outcome: Rejudged): void => {
      log.info(outcome, 'rules: standing decisions judged again')
    },

    ready: (doors: readonly Door[], rules: Rules, logIn: string): void => {
      for (const { name, bound } of doors) if (bound) log.info(`${name.padEnd(22)} ${bound}`)
      const web = doors.find(({ name, bound }) => name === 'HTTP' && bound)?.bound
      if (web) log.info(`console: http://${web}/ to look; ${logIn} logs in, too`)
      for (const sentence of shortfalls(doors.map(viewOf))) log.warn(`slower than it could be: ${sentence}`)
      const shut = doors.filter(({ bound }) => bound === undefined)
      const untried = shut.filter(({ error }) => error === undefined).length
      if (shut.length === 0) return log.info(`ready, mode ${rules.mode}`)
      const but = [
        ...(shut.length > untried ? [`${shut.length - untried} could not be opened`] : []),
        ...(untried > 0 ? [`${untried} wait for a worker that is late`] : []),
      ]
      log.warn(`ready, mode ${rules.mode}, but of ${doors.length} listeners ${but.join(' and ')}`)
    },

    pools: (it: PoolHappening): void => {
      switch (it.what) {
        case 'identified':
          metrics.identities.inc({ outcome: it.outcome })
          return log.debug({ client: it.client.ip, outcome: it.outcome }, 'pools: DNS was asked whose a client is')
        case 'changed':
          const { networks, own } = it
          return log[networks + own > 0 ? 'info' : 'debug']({ networks, own }, 'pools: big senders are known anew')
        case 'trouble':
          metrics.spfFailures.inc(it.it.where.length)
          return log.warn(...troubleLine(it.it))
      }
    },

    canary: ({ state, because, shownMs, checks }: CanaryView): void => {
      if (state === 'off' || state === 'unplayed') return
      metrics.canaryPlays.inc({ outcome: state })
      if (state === 'sound') return log.info({ shownMs }, `canary: sound, in ${checks.length} ways`)
      if (state === 'paused') return log.warn({ because }, 'canary: cannot be played now')
      const wrong = checks.filter(({ ok }) => !ok).map(({ way, seen }) => `${way}: ${seen}`)
      log.error({ because, ...(wrong.length > 0 ? { wrong } : {}) }, 'canary: a bot is not refused, or honest mail is')
    },

    watch: (it: WatchHappening): void => {
      if (it.what === 'found') return log.info(`witness: DNS names the real MXs ${it.names.join(', ') || '(none)'}`)
      if (it.what === 'dns') {
        metrics.realMxDnsFailures.inc()
        return log.warn({ error: it.error }, `witness: the MX records of ${it.domain} could not be read`)
      }
      const { mx, outcome, because } = it
      if (mx !== undefined) {
        const sentence = `witness: ${mx} is ${outcome}: ${because}`
        return outcome === 'up' ? log.info(sentence) : log.warn(sentence)
      }
      if (outcome === 'up') return log.info('witness: the real MX is up')
      const whole = outcome === 'partial' ? 'some real MXs take no mail' : `the real MX is ${outcome}`
      log.warn(`witness: ${whole}${because ? ` (${because})` : ''}; the order of visits counts for nothing meanwhile`)
    },

    end: (signal: string): void => log.info(`ending: ${signal}`),

    trouble: (where: string, error: Error): void => {
      log.error({ error: error.message }, `${where}: failed`)
    },
  }

  function changed(ruling: Changed['ruling'], before: Changed['before']): void {
    if (!ruling) {
      if (before)
        log[levelOf(before.target)](
          { client: before.target, ticket: before.ticket },
          `decision: ${before.word} of ${before.target} ended`,
        )
      return
    }
    // A word of the operator's may be put into effect twice: ahead of its turn, and again when its turn comes.
    if (before?.by === 'operator' && before.ticket === ruling.ticket && before.word === ruling.word) return
    if (!isCanary(ruling.target)) metrics.rulings.inc({ by: ruling.by, word: ruling.word })
    if (before?.word === ruling.word && before.by === 'rules') return
    const { target: client, ticket, because, author } = ruling
    log[levelOf(client)](
      { client, ticket, because, ...(author ? { author } : {}) },
      `decision: ${ruling.word} ${client}`,
    )
  }

  function intake(it: Extract<ReputationHappening, { from: 'intake' }>['it']): void {
    switch (it.what) {
      case 'counted': {
        const { role, kind, client, detail, times } = it.evidence
        if (!isCanary(client)) metrics.evidence.inc({ role, kind }, times ?? 1)
        const more = { ...(detail === undefined ? {} : { detail }), ...(times === undefined ? {} : { times }) }
        return log[levelOfSeen(it.evidence)]({ client, ...more }, `seen: ${role} ${kind}`)
      }
      case 'waived': {
        const { role, kind, client, times } = it.evidence
        if (!isCanary(client)) metrics.waived.inc({ why: it.why })
        const more = times === undefined ? {} : { times }
        return log[levelOfSeen(it.evidence)]({ client, why: it.why, ...more }, `waived: ${role} ${kind}`)
      }
      case 'pending':
        return
      case 'governed':
        metrics.governed.inc({ why: it.why })
        if (it.waiting === 1) log.warn('governor: new listings wait; see "decoymx governor"')
        return log.info({ client: it.client, why: it.why }, 'governor: a listing waits')
      case 'blocked':
        return log.warn({ error: it.error }, 'evidence: waits in the journal, the store does not take it')
      case 'flowing':
        return log.info('evidence: flows again')
    }
  }
}

/** A finished dialogue as fields of a log line; what was seen by kind. */
function told(session: Session) {
  const kinds: Partial<Record<string, string>> = {}
  for (const { kind, detail = '' } of session.seen) kinds[kind] = detail
  return { ...session, heldMs: undefined, seconds: Math.round(session.heldMs / 10) / 100, seen: kinds }
}

type Changed = Extract<Extract<ReputationHappening, { from: 'ledger' }>['it'], { what: 'changed' }>

const KERNEL_FULL = {
  suspects: 'the set of suspects is full; the rest is refused like strangers, and not held',
  networks: "the set of the operator's blocked networks is full; the rest is refused like strangers, and not held",
  refused: 'more clients were refused than can be remembered; some contacts are not known',
} as const

const STORE_WORDS = {
  down: 'away; evidence waits in the journal',
  corrupt: 'the database was damaged; it is set aside, and filled again from the journal',
  'flush-failed': 'cannot be written; what is new is kept in memory and tried again',
  ignored: 'something unreadable was passed over',
  rewound: 'has lost events; they are taken from the journal again',
} as const

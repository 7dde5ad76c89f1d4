/**
 * What the running appliance knows of its own health, as findings with a next step each: `status` remarks on those that are not
 * well, `doctor` tells them all, and tries the chain beside. So both call the same box the same.
 *
 * What costs mail, or evidence, or refuses nobody is a failure; what still works, but not as it should, a warning; and what is
 * only slower than it could be a note, which is told and is no alarm: on some hosts it can never be otherwise.
 */
import { span } from '../../core/span.ts'
import { counted } from '../../console/terminal.ts'
import { shortfalls, type StatusView } from '../../daemon/status-view.ts'
import { otherBoxes } from './box-check.ts'
import { certificateFindings } from './certificate-check.ts'
import { fail, type Finding, note, ok, warn } from './finding.ts'
import { BOUNDS } from '../governor.ts'
import { examinePools } from './pool-check.ts'
import { keepingFindings } from './store-check.ts'

/** So many events may be on their way before it is remarked on. */
const WAITING_MAX = 1000

/** In the order of the chain. The canary is apart: the doctor has it played. */
export function knownOf(view: StatusView, now: number): Finding[] {
  return [
    ...running(view),
    ...written(view),
    ...journal(view),
    ...store(view),
    ...certificateFindings(view.certificates, now),
    ...otherBoxes(view),
    ...listeners(view),
    ...speed(view),
    ...workers(view, now),
    ...fullness(view),
    ...files(view.room, Math.max(1, view.workers.wanted)),
    ...witness(view),
    ...(isTrial(view) && !view.pools.dns
      ? [ok('pools', `DNS is not asked whose a client is: ${TRIAL}`)]
      : examinePools(view.pools, now)),
    ...kernel(view),
    ...governor(view),
  ]
}

/** Names below .test are nobody's (RFC 2606): what a real network needs is not missed there. */
function isTrial({ rules }: Pick<StatusView, 'rules'>): boolean {
  return rules.domains.every((domain) => /(?:^|\.)test$/.test(domain))
}

const TRIAL = 'the protected domains are for trying out'

function running({ version, pid, mode, reputation }: StatusView): Finding[] {
  const { ledger } = reputation
  const fresh = ok('appliance', `version ${version} runs, pid ${pid}, mode ${mode}`)
  if (ledger === 'fresh') return [fresh]
  return [
    fresh,
    fail('appliance', `the copy of the decisions is ${ledger}: nobody is refused`, 'is the store reachable?'),
  ]
}

/** What a person wrote, and is not in use, or would keep it from starting again. */
function written({ rules, files: read }: StatusView): Finding[] {
  const [old] = rules.problems
  const [next] = read.problems.filter((each) => !rules.problems.includes(each))
  return [
    ...(old === undefined
      ? []
      : [
          warn(
            'rules',
            `the rules file is unsound, the old rules stay: ${old}`,
            'decoymx check shows all; mended, the file is loaded by itself, or by decoymx reload',
          ),
        ]),
    ...(next === undefined
      ? []
      : [warn('settings', `it would not start again with its files as they are now: ${next}`, CHECK)]),
  ]
}

const CHECK = 'decoymx check shows all of it'

function journal({ reputation: { journalTrouble } }: StatusView): Finding[] {
  if (!journalTrouble) return []
  const { error, since, lost } = journalTrouble
  return [
    fail(
      'journal',
      `evidence is lost, ${counted(lost, 'event')} since ${new Date(since).toISOString()}: the journal cannot be written (${error}). What stands still stands`,
      'make room on that disk',
    ),
  ]
}

/** What is wrong with the store, how long answers do without it, and that nothing is lost by it where the journal has it all. */
function store({ reputation, keeping }: StatusView): Finding[] {
  const { store: kind, storeHealth, blocked, waiting, ledger, ledgerAgeMs, ledgerMaxAgeMs, journalTrouble } = reputation
  const { state, error, since } = storeHealth
  const left = ledger === 'fresh' ? ledgerMaxAgeMs - ledgerAgeMs : 0
  const stands = left > 0 ? `the last known decisions are used for another ${span(left)}` : 'nobody is refused'
  const keeps = `${counted(waiting, 'event')} in the journal until then${journalTrouble ? '; what the journal could not take is lost' : ', none is lost'}`
  if (state !== 'up') {
    const trouble = kind === 'embedded' ? 'cannot be written' : state === 'hung' ? 'hangs' : 'is away'
    const next =
      kind === 'embedded'
        ? 'is the disk full, or the state directory no longer ours?'
        : 'is it up, and in reach? docs/redis.md'
    return [warn('store', `the store ${trouble} since ${since}: ${error}; ${stands}; ${keeps}`, next)]
  }
  if (blocked !== null)
    return [warn('store', `the store takes no evidence: ${blocked}; ${keeps}`, 'see what it says, and docs/redis.md')]
  if (waiting > WAITING_MAX)
    return [
      warn('store', `${counted(waiting, 'event')} wait in the journal for the store`, 'is it slow, or was it away?'),
    ]
  return keeping === null ? [] : keepingFindings(keeping)
}

function listeners({ doors }: StatusView): Finding[] {
  const shut = doors.filter(({ open }) => !open)
  if (shut.length === 0) return [ok('listeners', `all ${doors.length} are open`)]
  return shut.map(({ name, address, error }) =>
    fail(
      'listeners',
      `${name} ${address}: ${error ?? 'not open yet'}`,
      'free the address; it is tried again by itself',
    ),
  )
}

/** What works, but takes more processor time than it would with koffi, which is optional. */
function speed({ doors }: StatusView): Finding[] {
  return shortfalls(doors).map((seen) =>
    note(
      'speed',
      `slower than it could be: ${seen}`,
      'install it with its optional packages (npm ci without --omit=optional), or say decoys.bare: false, dnsbl.bursts: false',
    ),
  )
}

function workers({ workers: { wanted, pids, late, ends, lastEnd } }: StatusView, now: number): Finding[] {
  const missing = wanted - pids.length
  const last = lastEnd && now - Date.parse(lastEnd.at) < ENDED_LATELY_MS ? lastEnd : undefined
  const ended =
    last &&
    `worker ${last.worker} ended ${span(now - Date.parse(last.at))} ago (${last.how}), ${ends === 1 ? 'the first' : `one of ${ends}`} since the start`
  if (missing > 0)
    return [
      warn('workers', `${missing} of ${wanted} workers are not running${ended ? `: ${ended}` : ''}`, WORKERS_NEXT),
    ]
  const isLate = late.length === 1 ? `worker ${late[0]} is` : `workers ${late.join(', ')} are`
  if (late.length > 0)
    return [
      warn('workers', `${isLate} not ready yet, as on a slow or busy host${ended ? `: ${ended}` : ''}`, LATE_NEXT),
    ]
  return ended ? [warn('workers', `${ended}; it runs again`, WORKERS_NEXT)] : []
}

/** A worker's end is remarked on so long, though another took its place. */
const ENDED_LATELY_MS = 3_600_000
const LATE_NEXT =
  'where it is not within minutes, it is ended, and another begins; docs/runbooks.md#decoymxworkersmissing'
const WORKERS_NEXT = 'the log has what came before; docs/runbooks.md#decoymxworkersmissing'

/** Told for a minute: a decoy was full, and just then nobody was held who could make room. It may have plenty by now. */
function fullness({ room: { turnedAway } }: StatusView): Finding[] {
  if (turnedAway === 0) return []
  const many = turnedAway === 1 ? '1 connection was' : `${turnedAway} connections were`
  return [
    warn(
      'room',
      `the decoys were full: ${many} turned away in the last minute, for nobody was held then who could make room`,
      'make more of it: decoys.limits.connections, the open-file limit, decoys.workers (docs/runbooks.md#decoymxdecoyfull)',
    ),
  ]
}

/** Does the open-file limit allow as many connections as the settings ask for? */
export function files(
  { possible, wanted }: Pick<StatusView['room'], 'possible' | 'wanted'>,
  processes: number,
): Finding[] {
  const seen = `the open-file limit allows ${possible} connections, the settings ask for ${wanted}`
  if (possible >= wanted) return [ok('files', seen)]
  const limit = Math.ceil(wanted / processes) + FILES_BESIDE
  return [
    warn(
      'files',
      seen,
      `raise it (systemd: LimitNOFILE=${limit}), have more decoys.workers, or lower decoys.limits.connections`,
    ),
  ]
}

/** Files that a process opens beside connections. */
const FILES_BESIDE = 256

function witness(view: StatusView): Finding[] {
  const { realMx, kernel: decoys } = view
  // Whoever has no decoys looks at no real MX.
  if (!realMx && !decoys) return []
  if (!realMx && isTrial(view)) return [ok('witness', `${view.witness} (${TRIAL})`)]
  if (!realMx)
    return [
      warn(
        'witness',
        view.witness,
        'name your real MX in real-mx.greet: an outage of it makes honest senders look guilty',
      ),
    ]
  const { outcome, since, mxs, outage } = realMx
  if (outcome === 'up') return [ok('witness', `the real MX is up since ${since}; ${view.witness}`)]
  const next = 'is it down, or out of reach of this host? Is real-mx in the settings right?'
  if (mxs.length === 0)
    return [warn('witness', 'no real MX is known to the witness, so no order of visits counts', next)]
  return [
    ...mxs
      .filter((each) => each.outcome !== 'up')
      .map((each) =>
        warn('witness', `the real MX ${each.name} is ${each.outcome} since ${each.since}: ${each.because}`, next),
      ),
    ...(outage
      ? [
          warn(
            'witness',
            'no real MX takes mail: the backup tells everybody 421, so that mail waits at its sender',
            'mend the real MX; nothing is to be done here',
          ),
        ]
      : []),
  ]
}

/** What is known without knocking. */
function kernel({ kernel: now, kernelWanted }: StatusView): Finding[] {
  if (now?.state === 'failed')
    return [
      warn(
        'kernel',
        `the kernel cannot refuse strangers at the primary, the decoy resets them: ${now.error}`,
        'grant the right (docs/primary.md), or say kernel: false',
      ),
    ]
  if (kernelWanted && now?.state === 'off')
    return [
      warn(
        'kernel',
        'the kernel was told to refuse nobody, though the settings want it: the decoy resets strangers itself',
        'decoymx kernel on',
      ),
    ]
  return []
}

function governor({ reputation }: StatusView): Finding[] {
  return (['standing', 'held', 'minute', 'network'] as const).flatMap((why) => {
    const waiting = reputation.governor[why]
    if (waiting === 0) return []
    const what = waiting === 1 ? '1 new listing waits' : `${waiting} new listings wait`
    return [warn('governor', `governor: ${what}: ${BOUNDS[why]}`, 'see decoymx governor')]
  })
}

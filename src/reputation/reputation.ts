/**
 * The door of the room: opens the journal and the chosen store, joins intake, ledger and decision, and hands back what the
 * rest of the house needs. Outside, only this file (and the types of decision.ts) is opened.
 */
import { join } from 'node:path'
import { isPlayed } from '../core/canary.ts'
import type { Client } from '../core/client.ts'
import type { Entry, Event, Evidence, Instant, Role, Witness, Word } from '../core/evidence.ts'
import { contactsOf, countKinds, type Counts, type Facts, NO_FACTS } from '../core/facts.ts'
import type { Freeze, Watch } from '../core/outage.ts'
import type { Member } from '../core/pools.ts'
import type { Prefix, Prefixes } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import { type Unmet, unmetBy, type Verdict } from '../core/verdict.ts'
import { Announcer, type News } from './copy.ts'
import { type Decide, type Decision, decider, sinceOf } from './decision.ts'
import { openEmbedded } from './embedded.ts'
import { GoodListed } from './good-listed.ts'
import { type Bounds, newGovernor, stillWaiting, type Waiting, type Why, WHYS } from './governor.ts'
import { Intake, type IntakeHappening } from './intake.ts'
import { entriesIn, Journal, type JournalHappening, type JournalTrouble } from './journal.ts'
import { Judged } from './judged.ts'
import { Ledger, type LedgerHappening, type RulingCounts, type Ticketed } from './ledger.ts'
import { Neighbours } from './neighbours.ts'
import { openRedis } from './redis.ts'
import type { RedisAccess } from './redis-connection.ts'
import type { Effect } from './effect.ts'
import { judgeKnown, type Rejudged, released } from './rulings.ts'
import type { Newest, Search } from './search.ts'
import type { Neighbour, Ruling, Store, StoreHappening, StoreHealth } from './store.ts'

export type { Waiting, Why } from './governor.ts'
export type { Effect } from './effect.ts'
export type { Rejudged } from './rulings.ts'
export type { Host, RedisAccess } from './redis-connection.ts'
export { type News, openCopy } from './copy.ts'
export { readKeeping, type RedisKeeping } from './redis-keeping.ts'
export type { Newest, Search } from './search.ts'
export type { Ruling } from './store.ts'

export type ReputationHappening =
  | { readonly from: 'journal'; readonly it: JournalHappening }
  | { readonly from: 'store'; readonly it: StoreHappening }
  | { readonly from: 'ledger'; readonly it: LedgerHappening }
  | { readonly from: 'intake'; readonly it: IntakeHappening }

export type ReputationOptions = {
  /** Where the journal and the embedded store live. */
  readonly folder: string
  /** Undefined: the embedded store, in `folder`. */
  readonly redis: (RedisAccess & { readonly commandTimeoutMs: number }) | undefined
  readonly keepMs: number
  readonly journalBytesMax: number
  /** Older than this, our copy of the rulings is not used to refuse anyone. */
  readonly maxAgeMs: number
  readonly watch: Watch
  /** How many may be listed anew, before a person is asked. */
  readonly governor: Bounds
  readonly rules: () => Rules
  /** A short print of those in force, for the other boxes at a shared store; undefined until some are. */
  readonly digest?: (() => string | undefined) | undefined
  /** The pool of senders that a client belongs to, from memory. */
  readonly memberOf: (client: Client) => Member
  /** Nobody knows yet whose this client is, and it would be listed: to be asked, and told by `identified`. */
  readonly identify: (client: Client) => void
  readonly now: () => Instant
  readonly tell: (happening: ReputationHappening) => void
}

/** Everything known about a client now: what we tell askers, what the rules make of the facts, and the facts. */
export type Explanation = {
  readonly decision: Decision
  /** When what stands was made; undefined: nothing does, or an entry of the rules file. */
  readonly since: Instant | undefined
  /** Undefined when the store did not give the facts in time: then no fact and no contact is known, though none is told. */
  readonly verdict: Verdict | undefined
  /** The rules that would weigh, but for their condition. */
  readonly unmet: readonly Unmet[]
  /** Without the facts: when our copy of the decisions is too old to refuse anybody, unless the store answers before. */
  readonly trustedUntil: Instant | undefined
  readonly facts: Facts
  readonly contacts: Record<Role, number>
  /** Neighbours count as seen, too. */
  readonly networkContacts: Record<Role, number>
  /** What was seen of it at the backup and waits for the next look at the real MX. */
  readonly pending: readonly Evidence[]
  /** Why the order of visits counts for nothing now; undefined while it counts. */
  readonly freeze: Freeze | undefined
  /** What anybody does is lost now, and so may be what this client did; null while the journal can be written. */
  readonly journalTrouble: JournalTrouble | null
}

export type ReputationState = {
  readonly store: Store['kind']
  readonly storeHealth: Pick<StoreHealth, 'state' | 'error'> & { readonly since: string }
  readonly ledger: Ledger['state']
  readonly ledgerAgeMs: number
  /** Older than this, it refuses nobody. */
  readonly ledgerMaxAgeMs: number
  /** Events in the journal that the store has not yet. */
  readonly waiting: number
  /** The journal cannot be written, since when, and what was lost by that; null while it can. */
  readonly journalTrouble: JournalTrouble | null
  /** Why it does not take them; null while they flow. */
  readonly blocked: string | null
  /** Why the order of visits counts for nothing now, and until when, if known; null while it counts. */
  readonly freeze: { readonly why: Freeze['why']; readonly until: string | null } | null
  readonly rulings: RulingCounts
  /** How many listings wait, by the bound they met. */
  readonly governor: Readonly<Record<Why, number>>
  /** The other boxes at a shared store, and which rules each has in force. */
  readonly neighbours: readonly Neighbour[]
}

export type Reputation = {
  /** The box's name in the shared store. */
  readonly box: string
  /** Takes evidence and probes; settles once on disk. */
  readonly witness: Witness
  readonly decide: Decide
  /**
   * The operator's word: `applied` once it is in effect everywhere, else it waits for the store; what lets somebody pass
   * is in effect here at once.
   */
  readonly say: (word: Word) => Promise<'applied' | 'waiting' | 'lost'>
  readonly explain: (client: Client) => Promise<Explanation>
  /** The clients that the rules list. */
  readonly listed: () => Iterable<Client>
  /** All that stand, each made when it is come to: of a million no list is made. */
  readonly rulings: () => Iterable<Ruling>
  /** For how many clients each reason of the rules decides now, where neither an operator nor these networks do. */
  readonly reasons: (allow: Pick<Prefixes<unknown>, 'find' | 'findFourth'>) => Map<string, number>
  /** Of those that are looked for the newest, at most so many. */
  readonly newest: (search: Search, most: number) => Newest
  /** Gives a copy elsewhere its news, from now on; the answer ends that. */
  readonly announce: (send: (news: News) => void) => () => void
  /** The decision that was given this ticket, also if it has ended since this process began. */
  readonly ofTicket: (ticket: string) => Ticketed | undefined
  /** What these rules would change, if they took the place of those in use. */
  readonly effectOf: (next: Rules) => Promise<Effect>
  /** After the rules have changed: every standing listing is judged again. */
  readonly rejudge: () => Promise<Rejudged>
  /** At a start: the same, if it was other rules by which all were judged last and anybody is listed; else undefined. */
  readonly rejudgeIfOld: () => Promise<Rejudged | undefined>
  /** It is known now whose this client is, or that nobody knows: what stands about it is judged again. */
  readonly identified: (client: Client) => Promise<void>
  /** As if this client, and its network, had never come: a canary's footprints. Rejects when the store does. */
  readonly forget: (client: Client) => Promise<void>
  /** What operators have said on this box, as long as the journal keeps it, the newest first. */
  readonly words: () => Promise<Word[]>
  /** The listings that the governor of this process holds back. */
  readonly waiting: () => Waiting[]
  readonly state: () => ReputationState
  /** Of the state what readiness asks for, without counting the rulings. */
  readonly freshness: () => Ledger['state']
  /** Of which generation of the store our copy is; 0 while that is not known. */
  readonly generation: () => number
  /** Writes what waits, delivers what it can, and closes. */
  readonly close: () => Promise<void>
}

/** Explaining waits this long for the store; then it tells what it knows from memory. */
const EXPLAIN_MS = 1000
/** At the start, what the journal holds is delivered before the doors open, if that takes no longer. */
const CATCH_UP_MS = 10_000
/** At the end, a store that answers gets this long to take what is still on its way; the journal keeps the rest. */
const FAREWELL_MS = 2000
/** A copy elsewhere hears so often whether ours is fresh. */
const ANNOUNCE_MS = 1000
/** The newest words that are told. */
const WORDS_MAX = 10_000
/** An operator waits this long for the word to be in effect. */
const SAY_MS = 2000

/** A recording, from the folder of a journal: what can be read of it, without what we played to ourselves. */
export async function* recording(folder: string): AsyncGenerator<Entry> {
  for await (const entry of entriesIn(folder, 0, '', () => {})) if (!isPlayed(entry.event)) yield entry
}

export { isUntold } from './decision.ts'
export { recordRedis, type StoreRecording } from './redis-recording.ts'
export { findRecording, type Recording, tellRecordings } from './recordings.ts'

export async function openReputation(options: ReputationOptions): Promise<Reputation> {
  const { folder, now, rules, tell } = options
  const uptime = () => performance.now()
  const store = await openStore(options)
  const announcers = new Set<Announcer>()
  const ledger = new Ledger(store, {
    now,
    uptime,
    maxAgeMs: options.maxAgeMs,
    tell: (it) => {
      tell({ from: 'ledger', it })
      for (const announcer of announcers) announcer.hear(it)
      if (it.what === 'changed') goodListed.changed()
    },
  })
  const governor = newGovernor(options.governor)
  const goodListed = new GoodListed(join(folder, 'good-listed'), governor)
  const journal: Journal = await Journal.open(join(folder, 'journal'), {
    keepMs: options.keepMs,
    bytesMax: options.journalBytesMax,
    now,
    written: (entries) => intake.written(entries),
    tell: (it) => tell({ from: 'journal', it }),
  })
  const intake: Intake = new Intake({
    journal,
    store,
    ledger,
    governor,
    rules,
    memberOf: options.memberOf,
    identify: options.identify,
    watch: options.watch,
    now,
    tell: (it) => tell({ from: 'intake', it }),
  })
  await ledger.start()
  await intake.start(CATCH_UP_MS)
  const decide = decider(ledger, rules, now)
  const digest = options.digest ?? (() => undefined)
  const judged = new Judged(join(folder, 'judged-by'), digest, () => intake.rejudge())
  const neighbours = new Neighbours(store, journal.box, digest, now)

  return {
    box: journal.box,
    witness: (event: Event) => journal.enter(event).written,
    decide,
    async say(word) {
      const seq = await journal.append(word)
      if (seq === undefined) return 'lost'
      intake.ease(word)
      const applied = await within(
        SAY_MS,
        intake.apply(seq, word).then(() => true),
      )
      return applied ? 'applied' : 'waiting'
    },
    async explain(client) {
      const found = await within(EXPLAIN_MS, factsOf(store, client))
      const facts = found && released(found, ledger, client)
      const verdict = facts && judgeKnown(client, facts, rules(), now(), options.memberOf, ledger).verdict
      const { own, network } = facts ?? NO_FACTS
      const contacts = contactsOf(own)
      const pending = intake.pendingOf(client)
      const decision = decide(client)
      return {
        decision,
        since: sinceOf(decision, ledger),
        verdict,
        unmet: facts ? unmetBy({ ...facts, member: options.memberOf(client) }, rules(), now()) : [],
        trustedUntil:
          verdict || ledger.state !== 'fresh' ? undefined : Math.round(now() + options.maxAgeMs - ledger.ageMs),
        facts: { own, network },
        contacts: { ...contacts, backup: contacts.backup + (countKinds(pending).contact ?? 0) },
        networkContacts: contactsOf(network),
        pending,
        freeze: intake.freeze,
        journalTrouble: journal.trouble,
      }
    },
    listed: () => ledger.listed(),
    rulings: () => ledger.all(),
    reasons: (allow) => ledger.reasons(allow),
    newest: (search, most) => ledger.newest(search, most),
    announce(send) {
      const announcer = new Announcer(ledger, send)
      const timer = setInterval(() => announcer.beat(), ANNOUNCE_MS).unref()
      announcers.add(announcer)
      return () => {
        clearInterval(timer)
        announcers.delete(announcer)
      }
    },
    ofTicket: (ticket) => ledger.ofTicket(ticket),
    effectOf: (next) => intake.effectOf(next),
    rejudge: () => judged.again(),
    rejudgeIfOld: () => judged.againIfOld(),
    identified: (client) => intake.identified(client),
    forget: (client) => intake.forget(client),
    waiting: () => stillWaiting(governor, now()),
    async words() {
      const words: Word[] = []
      for await (const { event } of journal.read(0, '"type":"word"'))
        if (event.type === 'word' && words.push(event) > WORDS_MAX) words.shift()
      return words.toReversed()
    },
    freshness: () => ledger.state,
    generation: () => ledger.generation,
    state: () => ({
      store: store.kind,
      storeHealth: spelled(store.health()),
      ledger: ledger.state,
      ledgerAgeMs: ledger.ageMs,
      ledgerMaxAgeMs: options.maxAgeMs,
      waiting: intake.waiting,
      journalTrouble: journal.trouble,
      blocked: intake.blocked ?? null,
      freeze: told(intake.freeze),
      rulings: ledger.counts(allowedNow(rules(), now())),
      neighbours: neighbours.all,
      governor: countWaiting(stillWaiting(governor, now())),
    }),
    async close() {
      await journal.close()
      await intake.settled(journal.lastSeq, ledger.state === 'fresh' ? FAREWELL_MS : 0)
      await intake.close()
      await goodListed.close()
      ledger.close()
      neighbours.close()
      await store.close()
    },
  }
}

function told(freeze: Freeze | undefined): ReputationState['freeze'] {
  if (!freeze) return null
  return { why: freeze.why, until: freeze.until === undefined ? null : new Date(freeze.until).toISOString() }
}

function spelled({ state, since, error }: StoreHealth): ReputationState['storeHealth'] {
  return { state, error, since: new Date(since).toISOString() }
}

function openStore({ folder, redis, now, tell }: ReputationOptions): Promise<Store> {
  const told = (it: StoreHappening) => tell({ from: 'store', it })
  return redis
    ? openRedis(redis, { now, tell: told, commandTimeoutMs: redis.commandTimeoutMs })
    : openEmbedded(join(folder, 'reputation.db'), { now, tell: told })
}

async function factsOf(store: Store, client: Client): Promise<Facts> {
  const [own, network]: [Counts, Counts] = await Promise.all([store.counts(client.key), store.counts(client.network)])
  return { own, network }
}

/** The value, or undefined when it fails or takes longer. */
async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, ms, undefined)))
  return await Promise.race([promise.catch(() => undefined), late]).finally(() => clearTimeout(timer))
}

function countWaiting(waiting: readonly Waiting[]): ReputationState['governor'] {
  const counts = Object.fromEntries(WHYS.map((why) => [why, 0])) as Record<Why, number>
  for (const { why } of waiting) counts[why]++
  return counts
}

function* allowedNow({ allow }: Rules, now: Instant): Generator<Prefix> {
  for (const { prefix, until = Infinity } of allow.values()) if (until > now) yield prefix
}

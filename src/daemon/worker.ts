/**
 * A worker: both decoys in a process of their own, whose reputation is the appliance that started it.
 *
 * Evidence goes there in batches and is settled when it is on disk there; what stands for a client is decided here, from
 * a copy. It lives as long as its parent: without it, evidence has nowhere to go. Signals are the parent's to heed; it
 * tells its workers when to end.
 *
 * While the parent hangs, it serves: strangers at the primary are reset, everybody at the backup hears 4xx, and nobody waits, as
 * they would at doors that nobody keeps. Its copy ages and then holds nobody any more (`copy`), and what it has to tell is bounded.
 */
import { type Client, parseClient } from '../core/client.ts'
import type { Event, Witness } from '../core/evidence.ts'
import { Never } from '../core/never.ts'
import { parsePrefix, type Prefix } from '../core/prefixes.ts'
import { readRules, type Rules, withNever } from '../core/rules.ts'
import { Gathering } from '../decoy/gathering.ts'
import { openCopy } from '../reputation/reputation.ts'
import type { RulesText } from '../settings/checked.ts'
import { type Begin, type FromWorker, oneAtATime, type Shares, type ToWorker } from './crew-channel.ts'
import { type Found, openDecoys } from './decoys.ts'

/** Events on their way to the disk; beyond it they are refused and counted, so that a dead disk costs no memory. */
const WAITING_MAX = 20_000
/** The parent hears what happened, and how many are here, so long after the first of it; and all in all once a second. */
const REPORT_MS = 100
const BEAT_MS = 1000
/** So many connections later, and nothing happening, it is worth a pause to collect garbage: some 5 ms for 1,000 held. */
const TIDY_AFTER = 2000
/** Until nothing more is found, and what is half empty is moved together: else a flood's pages stay ours. */
const ALL_OF_IT = { type: 'major', execution: 'sync', flavor: 'last-resort' } as const
/** Nothing has changed: it is only looked again whether there are too many of something. */
const SAME = { primary: undefined, backup: undefined }

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))
process.once('message', (message: ToWorker) => {
  if (message.what === 'begin') void work(message)
})

async function work(begin: Begin): Promise<void> {
  const never = new Never(() => reconsider())
  let reconsider = () => {}
  let renewCertificate: () => unknown = () => {}
  let rules = withNever(rulesOf(begin.rules), never)
  const gathering = new Gathering()
  const evidence = evidenceTo((batch, events) => say({ what: 'events', batch, events }))
  let take: Parameters<Parameters<typeof openCopy>[1]>[0] = () => {}
  let find = async (_client: Client): Promise<Found> => ({ count: 0, some: [], silent: 1 })
  // Who has only begun has nothing to hand over.
  let end = async () => say({ what: 'ended' })
  let hear = (_news: Shares | typeof SAME) => false
  // The start, too, leaves behind what is worth it: a dozen megabytes of sources read and settings checked.
  let [pressed, opened, openedBefore] = [0, TIDY_AFTER, 0]
  let moved = true
  let reporting: NodeJS.Timeout | undefined
  const reportSoon = () => void (reporting ??= setTimeout(report, REPORT_MS))
  let { outage, look } = begin
  process.on('message', (message: ToWorker) => {
    if (message.what === 'news') take(message.news)
    else if (message.what === 'written') evidence.written(message.batch)
    else if (message.what === 'rules') {
      rules = withNever(rulesOf(message.rules), never)
      reconsider()
    } else if (message.what === 'certificate') renewCertificate()
    else if (message.what === 'never') {
      for (const { what, cidrs } of message.groups)
        never.put(what, cidrs.map((text) => parsePrefix(text)).filter(isPrefix))
    } else if (message.what === 'beat') {
      outage = message.outage
      // The same look stays the same object: a new one is a text to be cut anew.
      if (JSON.stringify(message.look) !== JSON.stringify(look)) look = message.look
      if (hear(message.shares)) reportSoon()
    } else if (message.what === 'find') {
      const { number, client } = message
      void find(parseClient(client) as Client).then((found) => say({ what: 'found', number, found }))
    } else if (message.what === 'end') void end()
  })

  const copy = await openCopy(
    {
      rules: () => rules,
      now: Date.now,
      uptime: () => performance.now(),
      maxAgeMs: begin.maxAgeMs,
      changed: () => reconsider(),
    },
    (hears) => (take = hears),
  )
  const decoys = await openDecoys({
    settings: begin.settings,
    rules: () => rules,
    decide: copy.decide,
    witness: evidence.witness,
    tell: (it) => {
      gathering.tell(it)
      if (it.what === 'opened') opened++
      if (it.what === 'opened' || it.what === 'closed') moved = true
      reportSoon()
    },
    door: (it) => say({ what: 'door', it }),
    workers: begin.workers,
    outage: () => outage,
    looksLike: () => look,
    canary: begin.canary,
    pressed: (shed) => (pressed += shed),
    now: Date.now,
  })
  ;({ reconsider, hear, renewCertificate, ofClient: find } = decoys)
  const reports = oneAtATime(tellAll, reportSoon)
  function report() {
    clearTimeout(reporting)
    reporting = undefined
    // What is too many may go only some time after it was found to be.
    if (hear(SAME)) reportSoon()
    reports()
  }
  function tellAll(taken: () => void) {
    const [counts, shares, told, lost] = [decoys.counts(), decoys.reports(), gathering.take(), evidence.takeLost()]
    // Who is here is told again only when somebody has come or gone.
    say({ what: 'report', counts, guests: moved ? decoys.guests() : undefined, shares, told, lost, pressed }, taken)
    moved = false
    pressed = 0
  }
  setInterval(() => {
    if (opened === openedBefore) tidyUp()
    openedBefore = opened
    report()
  }, BEAT_MS)

  /** What a flood leaves behind is collected once it is over: V8 would wait until there is more of it. */
  function tidyUp(): void {
    if (opened < TIDY_AFTER) return
    opened = 0
    gc?.(ALL_OF_IT)
  }
  end = async () => {
    await decoys.close()
    await evidence.settled()
    tellAll(() => {})
    say({ what: 'ended' })
  }
  say({ what: 'ready' })
}

function say(message: FromWorker, taken: () => void = () => {}): void {
  // An error here means that the channel is closed: then `disconnect` ends us.
  process.send?.(message, undefined, undefined, taken)
}

function isPrefix(prefix: Prefix | string): prefix is Prefix {
  return typeof prefix !== 'string'
}

/** They were sound where they were read first. */
function rulesOf({ file, source }: RulesText): Rules {
  const read = readRules(file, source)
  if (!read.ok) throw new Error(`${file}: unsound rules reached a worker`)
  return read.rules
}

/** One message a turn of the loop, with all the events of it. */
function evidenceTo(send: (batch: number, events: readonly Event[]) => void) {
  const waiting = new Map<number, (() => void)[]>()
  let [events, settlers]: [Event[], (() => void)[]] = [[], []]
  let [batch, count, lost] = [0, 0, 0]
  let idle = () => {}
  const flush = () => {
    waiting.set(++batch, settlers)
    send(batch, events)
    events = []
    settlers = []
  }
  const witness: Witness = (event) => {
    if (count >= WAITING_MAX) {
      lost++
      return Promise.resolve()
    }
    count++
    return new Promise<void>((resolve) => {
      settlers.push(resolve)
      if (events.push(event) === 1) setImmediate(flush)
    })
  }
  return {
    witness,
    written(number: number): void {
      const settled = waiting.get(number) ?? []
      waiting.delete(number)
      count -= settled.length
      for (const settle of settled) settle()
      if (count === 0) idle()
    },
    takeLost(): number {
      const before = lost
      lost = 0
      return before
    },
    settled: () => (count === 0 ? Promise.resolve() : new Promise<void>((resolve) => (idle = resolve))),
  }
}

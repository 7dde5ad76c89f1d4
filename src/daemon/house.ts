/**
 * The house: its rooms built and joined, its doors opened, and what ends them all in order.
 *
 * The rooms know nothing of each other. Here they meet by two functions: evidence flows in through `witness`, decisions
 * flow out through `decide`. Doors open only when the facts are loaded, and close before anything else does.
 */
import { join, resolve } from 'node:path'
import type { ApiOptions } from '../answer/api.ts'
import { exportsInTurn, inTurns, networksRefused } from '../answer/exports.ts'
import { createLog } from '../console/log.ts'
import { openMailLog } from '../console/mail-log.ts'
import { createMetrics } from '../console/metrics.ts'
import type { Remark } from '../console/pages/health.ts'
import type { Screen } from '../console/terminal.ts'
import { isCanary } from '../core/canary.ts'
import type { Evidence, Witness } from '../core/evidence.ts'
import { Never } from '../core/never.ts'
import { withNever } from '../core/rules.ts'
import type { DecoyHappening } from '../decoy/happenings.ts'
import { Kernel } from '../decoy/kernel.ts'
import { Renames } from '../decoy/renames.ts'
import { openReputation, recording } from '../reputation/reputation.ts'
import { openAnswers } from './answers.ts'
import { Canary } from './canary.ts'
import { waysOut } from './canary-ways.ts'
import { type Checked, mistakesTogether, readRulesFile } from '../settings/checked.ts'
import { type Crew, NO_CREW, startCrew } from './crew.ts'
import { type Decoys, openDecoys, regardOf } from './decoys.ts'
import { Firewall, FIREWALL_LIFE_MS } from './firewall.ts'
import { hereAt } from './here.ts'
import type { Signals } from './ending.ts'
import { editRules } from './editing.ts'
import { filesLook } from './files-look.ts'
import { openHttp } from './http.ts'
import { Strangers } from './strangers.ts'
import { calledAt, suspectsOf } from './suspects.ts'
import { StoreKeeping } from './keeping.ts'
import { Pooling } from './pooling.ts'
import { Reloading } from './reloading.ts'
import { Rereading } from './rereading.ts'
import { Secrets } from './secrets.ts'
import { Replays } from './replays.ts'
import { failuresOf } from '../settings/cases.ts'
import type { Where } from '../settings/settings.ts'
import { allShut, type Door, viewOf } from './sockets.ts'
import { fileRoom } from './open-files.ts'
import { rulesView, type StatusView, whatLacks } from './status-view.ts'
import { type Tell, teller } from './telling.ts'
import { decoyPrefixes, NO_WITNESS, type RealMxWatch, watchRealMx } from './watching.ts'

export type HouseOptions = {
  readonly parts: ReadonlySet<string>
  readonly version: string
  readonly screen: Screen
  /** How the command is typed that logs in to the console. */
  readonly logIn: string
  /** What is not well, and the next step, for the console: the same as `status` tells. */
  readonly remarks: (view: StatusView) => readonly Remark[]
}

type Sound = Extract<Checked, { ok: true }>

/** `shut` of the outcome says why no door could be opened, if none could; what was built is closed by `close` all the same. */
export async function buildHouse(where: Where, read: Sound, options: HouseOptions, { ended, hangUps }: Signals) {
  const { parts, version, screen, logIn, remarks } = options
  const { settings } = read
  const now = Date.now
  const metrics = createMetrics(version)
  const log = createLog(settings.log, process.stdout, screen, (lines) => metrics.logMissed.inc(lines))
  const noted = settings['mail-log']
  const failed = (error: Error) => tell.trouble('mail-log', error)
  const mailLog = noted && openMailLog(noted.file, noted['max-megabytes'] * 1024 * 1024, failed)
  const tell: Tell = teller(log, metrics, now, mailLog)

  let decoys: Decoys | undefined
  const never = new Never(() => decoys?.neverChanged())
  never.put('a decoy of ours', decoyPrefixes(settings))
  const doors: Door[] = []
  let crew: Crew | undefined
  let kernel: Kernel | undefined
  const reloading = new Reloading(read, {
    read: () => readRulesFile(where.rules),
    mistakes: (next) => mistakesTogether(next, settings),
    failures: (next) => failuresOf(settings.reload.cases, next),
    here: (next) => withNever(next, never),
    effectOf: (next) => reputation.effectOf({ ...next, never: (client) => next.never(client) ?? never.find(client) }),
    bound: settings.reload.bound,
    changed: async () => {
      strangers.begin()
      decoys?.rulesChanged()
      void pooling.rulesChanged().catch(poolsFailed)
      tell.rejudged(await reputation.rejudge())
    },
    now,
    tell: tell.reload,
  })
  const rules = () => reloading.loaded.rules
  tell.reload({ what: 'loaded', rules: rules() })
  const poolsFailed = (error: Error) => tell.trouble('pools', error)
  const pooling = new Pooling({
    settings: settings.pools,
    folder: where.state,
    rules,
    wellKnown: read.wellKnown,
    never,
    listed: () => reputation.listed(),
    now,
    tell: (it) => {
      tell.pools(it)
      if (it.what === 'identified') void reputation.identified(it.client).catch(poolsFailed)
    },
  })

  // Evidence that waits may be found in the journal before there is a witness to nudge.
  let realMx: RealMxWatch | undefined
  const redis = settings.store.redis && { ...settings.store.redis }
  const reputation = await openReputation({
    folder: where.state,
    redis,
    keepMs: settings.journal.keep,
    journalBytesMax: settings.journal['max-megabytes'] * 1024 * 1024,
    maxAgeMs: settings.store['max-age'],
    watch: settings['real-mx'].greet.length > 0 || settings['real-mx'].discover ? 'witness' : 'blind',
    governor: {
      perMinute: settings.governor['per-minute'],
      perNetwork: settings.governor['per-network'],
      goodShare: settings.governor['good-share'],
    },
    rules,
    digest: () => reloading?.loaded.digest,
    memberOf: (client) => pooling.memberOf(client),
    identify: (client) => pooling.identify(client),
    now,
    tell: (happening) => {
      tell.reputation(happening)
      const { from, it } = happening
      if (from === 'intake' && it.what === 'pending') realMx?.nudge()
      if (from === 'ledger' && it.what !== 'unreachable') decoys?.reconsider()
      if (from === 'ledger' && it.what === 'loaded') kernel?.allChanged()
      if (from === 'ledger' && it.what === 'changed') kernel?.changed((it.ruling ?? it.before)?.target ?? '')
    },
  })
  const { decide } = reputation
  const strangers = new Strangers({
    rules,
    here: parts.has('policy') && parts.has('decoys'),
    doors,
    isPooled: (client) => typeof pooling.memberOf(client) === 'object',
    recording: () => recording(join(where.state, 'journal')),
    failed: (error) => tell.trouble('unlisting', error),
    now,
  })
  const followers = new Set<(evidence: Evidence) => void>()
  const witness: Witness = (event) => {
    strangers.hear(event)
    if (event.type === 'evidence') for (const hear of followers) hear(event)
    return reputation.witness(event)
  }
  if (parts.has('decoys'))
    realMx = watchRealMx({
      settings,
      domains: () => rules().domains,
      never,
      report: witness,
      now,
      tell: tell.watch,
    })
  await realMx?.start()
  void pooling.start().catch(poolsFailed)

  const reloadFailed = (error: Error) => tell.trouble('reload', error)
  void reputation.rejudgeIfOld().then((outcome) => outcome && tell.rejudged(outcome), reloadFailed)
  const secrets = new Secrets(where, redis, settings.decoys)
  const reread = { where, settings, secrets, reloading, decoys: () => decoys, access: () => http.reload(), tell }
  const files = new Rereading(reread)

  const room = fileRoom(settings.decoys.limits.connections, 2, Math.max(1, settings.decoys.workers))
  const wouldStart = filesLook(where, process.env, settings.http['access-file'])
  const keeping = new StoreKeeping(redis)
  const status = (): StatusView => ({
    version,
    pid: process.pid,
    since: new Date(now() - process.uptime() * 1000).toISOString(),
    mode: rules().mode,
    box: reputation.box,
    settings: where.settings === undefined ? null : resolve(where.settings),
    rules: rulesView(reloading),
    files: { problems: wouldStart() },
    doors: doors.map(viewOf),
    held: { primary: decoys?.counts().primary.connections ?? 0, backup: decoys?.counts().backup.connections ?? 0 },
    room: { ...room, turnedAway: tell.turnedAway() },
    workers: { wanted: parts.has('decoys') ? settings.decoys.workers : 0, ...(crew?.state() ?? NO_CREW) },
    reputation: reputation.state(),
    keeping: keeping.last,
    certificates: secrets.ends,
    journal: { maxMegabytes: settings.journal['max-megabytes'] },
    witness: realMx?.sentence() ?? NO_WITNESS,
    kernel: kernel?.state() ?? null,
    kernelWanted: settings.decoys.primary.kernel && kernel !== undefined,
    realMx: realMx?.view() ?? null,
    layouts: realMx?.layouts() ?? [],
    pools: pooling.view(),
    canary: canary.view,
  })
  const exportBasis = () => ({
    rulings: reputation.rulings(),
    decide,
    rules: rules(),
    never: never.networks(),
    generation: reputation.generation(),
    rulesHash: reloading.loaded.digest,
    now: now(),
  })
  const exported = exportsInTurn(exportBasis)
  const canary = new Canary({
    enabled: settings.canary.enabled,
    everyMs: settings.canary.every,
    folder: where.state,
    decoys: parts.has('decoys'),
    domain: () => rules().domains[0],
    reputation,
    witness,
    ways: () =>
      waysOut({
        settings,
        doors: () => doors,
        exported,
        answers: () => rules().answers,
        kernelOn: () => kernel?.state().state === 'on',
      }),
    tell: tell.canary,
    now,
  })
  metrics.follow(status)

  const here = hereAt(() => decoys)
  const replays = new Replays(now)
  const closers: (() => Promise<void>)[] = [async () => replays.close(), async () => keeping.close()]
  const apiOptions: Omit<ApiOptions, 'link'> = {
    version,
    reputation,
    rulesFile: () => rules().file,
    exported,
    pool: (name) => pooling.networksOf(name),
    allowed: () => [...rules().allow.values()],
    rules,
    never,
    status,
    unready: () => whatLacks(doors.map(viewOf), reputation.freshness()),
    metrics: () => metrics.read(),
    reload: (force) => (files.renew(), reloading.load(force)),
    editing: editRules({ where, settings, reloading, replays, now }),
    playCanary: () => canary.play(),
    here: here.ofClient,
    turnKernel: (on) => (on ? kernel?.on() : kernel?.off()),
    follow: (hear) => {
      followers.add(hear)
      return () => followers.delete(hear)
    },
    now,
  }
  const http = await openHttp(where.state, {
    settings: settings.http,
    access: read.access,
    api: apiOptions,
    console: {
      ...apiOptions,
      reputation,
      decide,
      rules,
      status,
      remarks: () => remarks(status()),
      wastedMs: async () => (await metrics.heldMs()) + here.hereMs(),
      here,
    },
    door: tell.door,
  })
  closers.push(http.close)

  if (parts.has('decoys')) {
    const { workers } = settings.decoys
    if (room.possible < room.wanted) tell.crowded(room)
    const common = {
      settings: settings.decoys,
      witness,
      outage: () => realMx?.outage ?? false,
      looksLike: () => realMx?.looks,
      canary: settings.canary.enabled ? where.state : undefined,
      door: tell.door,
      pressed: tell.pressed,
    }
    const renames = new Renames(witness, now)
    const heard = (it: DecoyHappening, times?: number) => {
      tell.decoy(it, times)
      if (it.what === 'ended') renames.hear(it.session)
    }
    if (workers > 0) {
      crew = startCrew(workers, {
        ...common,
        maxAgeMs: settings.store['max-age'],
        rules: () => reloading.loaded.text,
        never,
        reputation,
        tell: ({ it, times }) => heard(it, times),
        crew: tell.crew,
        lost: tell.lost,
      })
      decoys = crew
    } else decoys = await openDecoys({ ...common, rules, decide, tell: heard, now })
    doors.push(...decoys.doors)
    closers.push(decoys.close)
    kernel = new Kernel({
      ...suspectsOf(reputation, regardOf('primary', decide), () => rules().modes.block),
      called: calledAt(settings.decoys),
      basis: () => `${reloading.loaded.at} ${reputation.freshness()}`,
      witness,
      tell: tell.kernel,
      now,
    })
    closers.push(kernel.close.bind(kernel))
    if (settings.decoys.primary.kernel) await kernel.on()
  }
  const asked: Witness = async (event) => {
    // What the canary asks vouches for no real MX.
    if (event.type === 'evidence' && isCanary(event.client)) return
    realMx?.asked()
    return witness(event)
  }
  const answers = await openAnswers({
    settings,
    rules,
    parts,
    decide,
    defersOnce: strangers.defersOnce,
    witness: asked,
    tell,
    now,
  })
  doors.push(...answers.doors)
  closers.push(...answers.closers)
  if (parts.has('http')) doors.push(...(await http.open()))
  // Workers may take their time; whoever asks is answered meanwhile.
  await Promise.race([crew?.ready, ended])
  hangUps.heed(() => files.all())
  if (parts.has('policy') && settings.firewall.nftables) {
    const firewall = new Firewall({
      refused: () => inTurns(networksRefused({ ...exportBasis(), lifeMs: FIREWALL_LIFE_MS })),
      freshness: () => reputation.freshness(),
      basis: () => `${reputation.generation()} ${reloading.loaded.at}`,
      tell: tell.firewall,
      now,
    })
    closers.push(() => firewall.close())
    firewall.start()
  }
  strangers.begin()
  canary.start()
  const shut = allShut(doors)
  if (shut === undefined) tell.ready(doors, rules(), logIn)

  return {
    tell,
    shut,
    async close() {
      files.end()
      for (const door of doors) door.giveUp()
      await canary.close()
      // One room that cannot end must not keep the others, nor the facts, from ending in order.
      for (const steps of [closers, [async () => realMx?.close(), () => pooling.close()], [() => reputation.close()]]) {
        const ends = await Promise.allSettled(steps.map((close) => close()))
        for (const end of ends) if (end.status === 'rejected') tell.trouble('ending', end.reason as Error)
      }
      mailLog?.close()
    },
  }
}

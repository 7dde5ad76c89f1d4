/**
 * The answers' part of the house: every way in which a real MX asks, each at its doors.
 *
 * It is handed how to decide and how to witness, and knows neither store nor decoys. Where a block of half the world is
 * typed by mistake the DNSBL does not believe it (sample.ts).
 */
import { Dnsbl } from '../answer/dnsbl.ts'
import { LookupService, READSOCKET, TCP_TABLE } from '../answer/lookup.ts'
import { Milter } from '../answer/milter.ts'
import { PolicyService, type PolicyOptions } from '../answer/policy.ts'
import { believable } from '../answer/sample.ts'
import { Prefixes } from '../core/prefixes.ts'
import type { Rules } from '../core/rules.ts'
import type { Address } from '../settings/places.ts'
import type { Settings } from '../settings/settings.ts'
import { beside, type Door, type Listener, type Note, openDoor, tcp, udp } from './sockets.ts'
import type { Tell } from './telling.ts'

export type AnswersOptions = Required<Pick<PolicyOptions, 'decide' | 'defersOnce' | 'witness' | 'now'>> & {
  readonly settings: Settings
  readonly rules: () => Rules
  /** Which of `policy` and `dnsbl` are wanted here. */
  readonly parts: ReadonlySet<string>
  readonly tell: Tell
}

export type Answers = {
  readonly doors: readonly Door[]
  /** One for each service, so that one that cannot end does not keep the others. */
  readonly closers: readonly (() => Promise<void>)[]
}

/** Settles when every door has been tried once. */
export async function openAnswers(options: AnswersOptions): Promise<Answers> {
  const { settings, parts, decide, defersOnce, witness, tell, now } = options
  const answers = () => options.rules().answers
  const doors: Door[] = []
  const closers: (() => Promise<void>)[] = []
  const open = async (
    name: string,
    addresses: readonly Address[],
    listener: (address: Address) => Listener,
    more: Pick<Door, 'note'> = {},
  ) => {
    for (const address of addresses)
      doors.push(Object.assign(await openDoor(name, address, listener(address), tell.door), more))
  }
  if (parts.has('policy')) {
    const policy = new PolicyService({ decide, answers, defersOnce, witness, now, tell: tell.policy })
    closers.push(() => policy.close())
    await open('policy', settings.policy.listen, () => tcp(policy.server()))
    for (const language of [TCP_TABLE, READSOCKET]) {
      const { name } = language
      const service = new LookupService(language, {
        decide,
        answers,
        witness,
        now,
        tell: (it) => tell.lookup(name, it),
      })
      closers.push(() => service.close())
      await open(name, settings[name].listen, () => tcp(service.server()))
    }
    const milter = new Milter({ decide, answers, witness, now, tell: tell.milter })
    closers.push(() => milter.close())
    await open('milter', settings.milter.listen, () => tcp(milter.server()))
  }
  if (parts.has('dnsbl')) {
    const { listen, shared } = settings.dnsbl
    const dnsbl = dnsblOf(options)
    closers.push(() => dnsbl.close())
    const sockets = ({ host }: Address) =>
      beside(
        udp(() => dnsbl.udp(host.includes(':') ? 'udp6' : 'udp4')),
        SHARING,
      )
    const note = (): Note => {
      if (dnsbl.oneByOne === undefined) return 'in bursts'
      const how = 'datagrams one by one'
      return settings.dnsbl.bursts ? { how, because: dnsbl.oneByOne } : `${how}: ${dnsbl.oneByOne}`
    }
    await open('DNSBL, UDP', listen, sockets, { note })
    await open('DNSBL, TCP', listen, () => beside(tcp(dnsbl.tcp(), shared), SHARING))
  }
  return { doors, closers }
}

/** Most likely the other program is one of ours. */
const SHARING = 'several decoymx may, where each has dnsbl.shared: true'

function dnsblOf({ settings, rules, decide, tell, now }: AnswersOptions): Dnsbl {
  const { zone, askers, contact, ttl, 'negative-ttl': negativeTtl } = settings.dnsbl
  return new Dnsbl({
    zone,
    decide: believable(decide, now, tell.sample),
    answersPerSecond: settings.dnsbl['answers-per-second'],
    nameServer: settings.dnsbl['name-server'],
    askers: Prefixes.of(askers.map((prefix) => [prefix, true])),
    ttlSeconds: Math.round(ttl / 1000),
    negativeTtlSeconds: Math.round(negativeTtl / 1000),
    contact,
    text: () => rules().answers.text,
    observeCode: settings.dnsbl['observe-code'],
    bursts: settings.dnsbl.bursts,
    shared: settings.dnsbl.shared,
    now,
    tell: tell.dnsbl,
  })
}

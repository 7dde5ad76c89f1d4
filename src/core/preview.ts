/**
 * What enforcing would have done: a recording told again, and what the real MX would have heard about whom.
 *
 * The same three functions as ever are folded over the recording (`step`), under rules whose mode is enforce. Each time the
 * real MX asked about a client, what stood then is what it would have been told. Beside it stands what speaks for the client:
 * whether it ever went from the primary to the real MX, and whether it did anything but come in the wrong order. A client
 * that followed through is one that an operator looks at before enforcing.
 *
 * A single rule in mode observe stays so: what it alone reaches is not enforced, and is not counted here.
 */
import type { Client } from './client.ts'
import { LATE_MS } from './credit.ts'
import { clientOf, type Entry, type Instant } from './evidence.ts'
import { factsOf, type MemberOf, newWorld, standingOf, step } from './replay.ts'
import type { Watch } from './outage.ts'
import type { Rules } from './rules.ts'
import { judge } from './verdict.ts'

export type Previewed = {
  readonly client: Client
  /** The heaviest that would have been told about it. */
  readonly word: 'defer' | 'block'
  readonly score: number
  readonly because: string
  /** How often the real MX would have refused it, and how often it would have said later. */
  readonly refused: number
  readonly deferred: number
  /** Did it go from the primary to the real MX, at any time in the recording? */
  readonly walked: boolean
  /** Was it never seen doing what no mail server does? Then only the order of its visits speaks against it. */
  readonly behaved: boolean
}

export type Preview = {
  readonly listed: readonly Previewed[]
  /** Questions of the real MX in that time. */
  readonly questions: number
  readonly refused: number
  readonly deferred: number
}

/** Clients that are told of; beyond it, questions are still counted. */
const CLIENTS_MAX = 100_000

export type Preparation = { readonly add: (entry: Entry) => void; readonly end: () => Preview }

/** Takes a recording from its beginning; what it tells is of the time after `from`. */
export function preparePreview(rules: Rules, watch: Watch, from: Instant, memberOf?: MemberOf): Preparation {
  const enforcing: Rules = {
    ...rules,
    mode: 'enforce',
    modes: { observe: 'enforce', defer: 'enforce', block: 'enforce' },
  }
  let world = newWorld(enforcing, watch, memberOf)
  const told = new Map<string, Told>()
  const primaryAt = new Map<string, Instant>()
  const walked = new Set<string>()
  let questions = 0

  return {
    add(entry) {
      world = step(world, entry)
      const { event } = entry
      if (event.type !== 'evidence') return
      const client = clientOf(event)
      if (event.role === 'primary') remember(primaryAt, client.key, event.at)
      if (event.role === 'real') {
        const gap = event.at - (primaryAt.get(client.key) ?? -Infinity)
        if (gap >= -LATE_MS && gap <= rules.credit.withinMs && walked.size < CLIENTS_MAX) walked.add(client.key)
      }
      if (event.at <= from) return
      const { effect, by } = standingOf(world, client, event.at)
      if (event.role === 'real') questions++
      if (by !== 'rules' || (effect !== 'block' && effect !== 'defer')) return
      const known = told.get(client.key)
      if (!known && told.size >= CLIENTS_MAX) return
      const now = known ?? { client, word: effect, refused: 0, deferred: 0, score: 0, because: '', behaved: true }
      told.set(client.key, {
        ...now,
        ...(event.role === 'real' ? counted(now, effect) : weighed(now, effect, event.at)),
      })
    },
    end() {
      const listed = [...told.values()].map((each) => ({ ...each, walked: walked.has(each.client.key) }))
      const sum = (of: 'refused' | 'deferred') => listed.reduce((total, each) => total + each[of], 0)
      return { listed, questions, refused: sum('refused'), deferred: sum('deferred') }
    },
  }

  function counted({ refused, deferred }: Told, effect: 'block' | 'defer'): Partial<Told> {
    return effect === 'block' ? { refused: refused + 1 } : { deferred: deferred + 1 }
  }

  /** The client was seen at a decoy: the arithmetic of the heaviest that stands. */
  function weighed(told: Told, effect: 'block' | 'defer', at: Instant): Partial<Told> {
    const { score, reasons } = judge(told.client, factsOf(world, told.client), enforcing, at)
    const order = new Set(enforcing.list.filter(({ kind }) => kind === 'order').map(({ name }) => name))
    const counting = reasons.filter(({ weight }) => weight > 0).toSorted((a, b) => b.weight - a.weight)
    return {
      word: told.word === 'block' ? 'block' : effect,
      score: Math.max(told.score, score),
      because: counting[0]?.because ?? told.because,
      behaved: told.behaved && counting.every(({ rule }) => order.has(rule)),
    }
  }
}

type Told = Omit<Previewed, 'walked'>

function remember(map: Map<string, Instant>, key: string, at: Instant): void {
  map.delete(key)
  map.set(key, at)
  if (map.size > CLIENTS_MAX) map.delete(map.keys().next().value as string)
}

/**
 * The doctor knocks at the primary: a stranger must be turned away before the first byte; and where the kernel does that, the
 * contact must come to be known, and a suspect must be let in.
 *
 * It knocks from loopback, so that what it causes is on record and can never list anybody. The suspect is the doctor itself,
 * for a few seconds.
 */
import { randomInt } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { ClientView } from '../../answer/views.ts'
import { changeGuests, NftFailed, readTable } from '../../decoy/nftables.ts'
import { ask, NotOurs, NotRunning } from '../appliance.ts'
import { type Chart, fail, type Finding, ok, warn } from './finding.ts'
import { spellLeft, tableHere } from '../kernel.ts'
import { parseAddress } from '../../settings/places.ts'
import type { StatusView } from '../../daemon/status-view.ts'

/** A connection to this host itself is answered in microseconds, or not at all. */
const KNOCK_MS = 2000
/** From a refusal by the kernel to the contact that `why` knows. */
const TOLD_MS = 10_000
/** How long a suspect of our own making is let in. */
const GUEST_MS = 5000

/** Where the decoy itself turns strangers away. */
export async function strangersAtPrimary({ view }: Chart): Promise<Finding[]> {
  if (view?.kernel?.state === 'on') return []
  const places = callable(view)
  const outcomes = await Promise.all(places.map(async (place) => [place, await knock(place)] as const))
  return outcomes.map(([{ spelled }, outcome]) => {
    if (outcome === 'ECONNREFUSED') return ok('primary', `a stranger at ${spelled} is refused`)
    if (outcome === 'ECONNRESET') return ok('primary', `a stranger at ${spelled} is accepted and reset`)
    if (outcome === 'talked to' || outcome === 'FIN')
      return fail(
        'primary',
        `a stranger at ${spelled} was ${outcome}`,
        'is that address ours? Honest mail is lost by that',
      )
    return warn(
      'primary',
      `${spelled} cannot be called from this host: ${outcome}`,
      'is the address (or its route) on this host?',
    )
  })
}

/** Where the kernel refuses: does it, is it told, and is a suspect let in? */
export async function strangersAtKernel(chart: Chart): Promise<Finding[]> {
  const { view, where } = chart
  if (!view) return await leftAlone(chart)
  if (!view.kernel) return []
  const { state } = view.kernel
  // Known without knocking, and told by known.ts.
  if (state === 'failed' || (state === 'off' && view.kernelWanted)) return []
  if (state === 'off') return await leftover(chart)
  const findings = await Promise.all(
    callable(view).map(async (place) => {
      const before = await contacts(where.state, place.from)
      const outcome = await knock(place)
      if (outcome !== 'ECONNREFUSED')
        return fail(
          'kernel',
          `a stranger at ${place.spelled} was not refused: ${outcome}`,
          'nft list table inet decoymx',
        )
      if (before === undefined)
        return warn(
          'kernel',
          `refuses at ${place.spelled}; whether that is told is not known, for the store does not answer`,
          'see decoymx status',
        )
      const toldAfter = await until(async () => ((await contacts(where.state, place.from)) ?? before) > before)
      if (toldAfter === undefined)
        return fail(
          'kernel',
          `who is refused at ${place.spelled} is not told in ${TOLD_MS / 1000} s`,
          'see the log of the appliance',
        )
      const letIn = await asSuspect(place)
      if (letIn === 'denied')
        return warn(
          'kernel',
          `refuses at ${place.spelled}, and tells; whether it lets in was not tried`,
          'run doctor as root',
        )
      if (letIn === 'ECONNREFUSED')
        return fail('kernel', `a suspect at ${place.spelled} is not let in`, 'decoymx kernel off, then on')
      return ok(
        'kernel',
        `refuses a stranger at ${place.spelled}, tells of it after ${toldAfter.toFixed(1)} s, lets a suspect in`,
      )
    }),
  )
  return findings
}

/** No appliance runs here: what an earlier one left in the kernel goes on refusing, whoever asks. */
async function leftAlone({ absent, settings }: Chart): Promise<Finding[]> {
  if (!(absent instanceof NotRunning) || absent instanceof NotOurs) return []
  const table = await tableHere()
  const wanted = settings?.decoys.primary.kernel === true
  const off = 'decoymx kernel off removes it'
  if (typeof table === 'object')
    return [warn('kernel', spellLeft(table), wanted ? `start decoymx again, which puts its own there; or ${off}` : off)]
  if (table === undefined || !wanted) return []
  return [warn('kernel', `whether an earlier run left a table cannot be seen: ${table}`, 'run doctor as root')]
}

async function leftover({ settings }: Chart): Promise<Finding[]> {
  const wanted = settings?.decoys.primary.kernel === true
  if (wanted) return [warn('kernel', 'it is off, and the settings want it on', 'restart decoymx with them')]
  const table = await readTable().catch((error: Error) => {
    if (error instanceof NftFailed) return undefined
    throw error
  })
  if (!table) return [ok('kernel', 'not asked to refuse strangers; the decoy resets them')]
  return [warn('kernel', 'a table of an earlier run refuses strangers and suspects alike', 'decoymx kernel off')]
}

/** Lets the caller in for a moment, and knocks. */
async function asSuspect(place: Place): Promise<string> {
  const { family, from } = place
  const address = family === 4 ? from : '::'
  try {
    await changeGuests({ enter: [{ address, family, lifeMs: GUEST_MS }], leave: [] })
  } catch (error) {
    if (error instanceof NftFailed) return 'denied'
    throw error
  }
  const outcome = await knock(place)
  await changeGuests({ enter: [], leave: [{ address, family, lifeMs: 0 }] }).catch((error: Error) => {
    // It has run out by itself already.
    if (!(error instanceof NftFailed)) throw error
  })
  return outcome
}

type Place = {
  readonly spelled: string
  readonly family: 4 | 6
  readonly host: string
  readonly port: number
  readonly from: string
}

/** Each address of the primary, one of each prefix, and a caller of our own for it. */
function callable(view: StatusView | undefined): Place[] {
  return (view?.kernel?.addresses ?? []).flatMap((spelled) => {
    const address = parseAddress(spelled.replace(/\/\d+(?=\]?:\d+$)/, ''))
    if (!address) return []
    const family = address.host.includes(':') ? 6 : 4
    const from = family === 6 ? '::1' : `127.${randomInt(64, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`
    return [{ spelled, family, ...address, from }]
  })
}

/** What a connection comes to: the error, `talked to`, or `FIN`. */
function knock({ host, port, from }: Place): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress: from })
    const end = (outcome: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    const timer = setTimeout(end, KNOCK_MS, 'no answer')
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.on('data', () => end('talked to'))
    socket.on('end', () => end('FIN'))
  })
}

/** At the primary; undefined: the store does not say. */
async function contacts(folder: string, ip: string): Promise<number | undefined> {
  const { body } = await ask(folder, 'GET', `/api/v1/clients/${ip}`)
  return (body as ClientView).contacts?.primary
}

/** Seconds until it was so, or undefined. */
async function until(isSo: () => Promise<boolean>): Promise<number | undefined> {
  for (const since = performance.now(); performance.now() - since < TOLD_MS; await pause(100))
    if (await isSo()) return (performance.now() - since) / 1000
  return undefined
}

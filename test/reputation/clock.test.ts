/** A clock that somebody sets an hour forth and back, over midnight, under a whole reputation. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import type { Kind } from '../../src/core/evidence.ts'
import { total } from '../../src/core/facts.ts'
import { folder } from '../folders.ts'
import { openLife } from './life.ts'

const HOUR_MS = 3_600_000
const AFTER_MIDNIGHT = Date.parse('2026-11-24T00:30:00Z')
const HONEST = '198.51.100.25'

test('stepped an hour forth and back: bots are listed and stay so, honest mail is not, each piece counts once, and a restart knows it all', async () => {
  const place = folder()
  let at = AFTER_MIDNIGHT
  let reputation = await openLife(place, () => at)
  const client = (ip: string) => parseClient(ip) as Client
  const see = (ip: string, ...kinds: Kind[]) =>
    Promise.all(
      kinds.map((kind) =>
        reputation.witness({ type: 'evidence', at, client: ip, role: 'backup', kind, session: `${at} ${ip}` }),
      ),
    )
  const told = async (ip: string) => {
    // Explaining asks the store, after what is on its way.
    await reputation.forget(client('203.0.113.254'))
    return reputation.decide(client(ip))
  }
  const bots: string[] = []
  for (const step of [0, HOUR_MS, -HOUR_MS, -HOUR_MS, HOUR_MS, HOUR_MS, -HOUR_MS]) {
    at += step
    const bot = `203.0.113.${bots.push('') + 1}`
    bots[bots.length - 1] = bot
    await see(bot, 'early-talk', 'recipient')
    await see(HONEST, 'recipient')
    for (const each of bots) expect([each, (await told(each)).effect]).toEqual([each, 'block'])
    expect(await told(HONEST)).toMatchObject({ verdict: 'clean', effect: 'pass', doubt: undefined })
  }
  for (const life of [1, 2]) {
    const { facts } = await reputation.explain(client(bots[0] as string))
    expect([life, total(facts.own, 'backup.early-talk')]).toEqual([life, 1])
    for (const each of bots) expect([each, (await told(each)).effect]).toEqual([each, 'block'])
    await reputation.close()
    at -= HOUR_MS
    reputation = await openLife(place, () => at)
  }
  await reputation.close()
  // Yesterday's file was opened again after today's: what is in order is the numbers.
  expect(new Set(readdirSync(join(place, 'journal')).map((file) => file.slice(0, 10))).size).toBeGreaterThan(2)
})

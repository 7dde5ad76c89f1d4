/** `export recording` and `replay` of it, with a real Redis: the same as the journal it was counted from. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import picocolors from 'picocolors'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { exportRecording } from '../../src/command/export-recording.ts'
import { replay } from '../../src/command/replay.ts'
import type { Screen } from '../../src/console/terminal.ts'
import { spellProblem } from '../../src/core/document.ts'
import { type Event, fromLine, type Kind, type Role, toLine, type Word } from '../../src/core/evidence.ts'
import { HOUR_MS, tally } from '../../src/core/facts.ts'
import { admit, newGuard } from '../../src/core/outage.ts'
import { openRedis } from '../../src/reputation/redis.ts'
import { ticketOf } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'
import { type RedisCluster, type RedisServer, startCluster, startRedis } from '../servers.ts'

const RULES = join(import.meta.dirname, '../../rules.yaml')
/** Of a whole hour, lately: the store forgets what is older than a month. */
const T0 = Math.floor((Date.now() - 3 * 24 * HOUR_MS) / HOUR_MS) * HOUR_MS
const ALLOW: Word = {
  type: 'word',
  at: T0 + 10,
  word: 'allow',
  target: '203.0.113.5/32',
  because: 'a customer',
  author: 'otto',
}

/** Twenty clients, each with a way of its own; of one client and fact at most one sighting in an hour. */
function world(): Event[] {
  const seen = (at: number, client: string, role: Role, kind: Kind): Event => ({
    type: 'evidence',
    at,
    client,
    role,
    kind,
  })
  const bots = Array.from({ length: 20 }, (_, i) => {
    const client = i % 4 === 3 ? `2001:db8:${i}::7` : `203.0.113.${i}`
    const kinds: Kind[] = [['early-talk'], ['auth'], ['pipelining'], ['contact']][i % 4] as Kind[]
    return Array.from({ length: 1 + (i % 5) }, (_, n) => {
      const at = T0 + (n * 3 + i) * HOUR_MS + i * 1000
      return [
        ...(i % 3 === 0 ? [seen(at - 60_000, client, 'primary', 'contact')] : []),
        ...kinds.map((kind) => seen(at, client, 'backup', kind)),
        seen(at + 1, client, 'backup', 'recipient'),
        seen(at + 120_000, client, 'real', 'passed'),
      ]
    }).flat()
  }).flat()
  const probes = Array.from({ length: 60 * 12 }, (_, i): Event => ({
    type: 'probe',
    at: T0 + i * 300_000,
    mx: 'mx',
    // Mail came to the backup for good reasons meanwhile: it is in the journal, and not in the store.
    outcome: i > 100 && i < 120 ? 'down' : 'up',
  }))
  return [...bots, ...probes, ALLOW].toSorted((a, b) => a.at - b.at)
}

function screenOf(lines: string[]): Screen {
  return {
    colours: picocolors.createColors(false),
    person: false,
    width: 160,
    height: 24,
    print: (line) => lines.push(line),
  }
}

async function replayed(recording: string) {
  const [out, err]: [string[], string[]] = [[], []]
  const harsher = join(folder(), 'harsher.yaml')
  writeFileSync(harsher, readFileSync(RULES, 'utf8').replace('defer: 70', 'defer: 25'))
  const code = await replay(
    [recording],
    { state: folder(), settings: undefined, rules: harsher },
    {
      against: RULES,
      picture: undefined,
      json: true,
      screen: screenOf(out),
      errors: screenOf(err),
      complain: (body) => (err.push((body as { error: string }).error), 1),
      problems: (all) => err.push(...all.map(spellProblem)),
      now: () => 0,
    },
  )
  const view = JSON.parse(out.join('\n')) as Record<'clients' | 'before' | 'after' | 'changes' | 'questions', unknown>
  const { clients, before, after, changes, questions } = view
  return { code, err, told: { clients, before, after, changes, questions } }
}

/** What a box makes of the world: its tallies in the store, the operator's word beside them. */
async function fill(at: Parameters<typeof openRedis>[0], events: readonly Event[]): Promise<void> {
  const store = await openRedis(at, { now: Date.now, tell: () => {}, commandTimeoutMs: 2000 })
  let guard = newGuard('witness')
  for (const [i, event] of events.entries()) {
    const admission = admit(guard, i + 1, event)
    ;({ guard } = admission)
    await store.add(
      'box',
      [...admission.counted, ...admission.waived].map((hit) => tally(hit)),
      i + 1,
    )
  }
  const { word, target, because, author, at: since } = ALLOW
  await store.put({
    by: 'operator',
    word: word as 'allow',
    target,
    since,
    because,
    author,
    ticket: ticketOf(target, since),
  })
  await store.close()
}

async function exported(settings: object, out = join(folder(), 'counts.jsonl'), force = false) {
  const told: string[] = []
  const file = join(folder(), 'decoymx.yaml')
  writeFileSync(file, JSON.stringify(settings))
  const code = await exportRecording(file, {
    out,
    force,
    screen: screenOf(told),
    complain: (body) => (told.push(JSON.stringify(body)), 1),
    problems: (all) => told.push(...all.map(spellProblem)),
    now: Date.now,
  })
  return { out, code, told }
}

describe.skipIf(inject('missing').includes('redis-server'))('export recording', () => {
  let server: RedisServer
  let cluster: RedisCluster
  const events = world()
  beforeAll(async () => {
    ;[server, cluster] = await Promise.all([startRedis(), startCluster()])
    await fill({ at: { path: server.url } }, events)
    await fill({ at: { cluster: cluster.nodes.map(({ host, port }) => ({ host, port })) } }, events)
  })
  afterAll(async () => {
    await Promise.all([server?.stop(), cluster?.stop()])
  })

  test('replay of it tells what the journal tells: the same clients, words, sums, refusals', async () => {
    const state = folder()
    mkdirSync(join(state, 'journal'))
    writeFileSync(join(state, 'journal/box'), 'box\n')
    const lines = events.map((event, i) => toLine({ seq: i + 1, event }))
    writeFileSync(join(state, 'journal/2026-01-05-000000000001.jsonl'), lines.join(''))
    const ofJournal = await replayed(state)

    const { out, code, told } = await exported({ store: { url: server.url } })
    expect([code, told.join('\n')]).toEqual([
      0,
      `${out}: what is counted of 20 clients; decoymx replay --rules NEW ${out}`,
    ])
    const ofStore = await replayed(out)
    expect(ofStore.err).toEqual([
      'from what a store has counted: exact to the hour; what was withheld from it, stays withheld',
    ])
    expect(ofStore.told).toEqual(ofJournal.told)
    expect(ofStore.code).toBe(ofJournal.code)
    // It is no empty agreement.
    expect((ofStore.told.changes as { new: number }).new).toBeGreaterThan(2)
    expect((ofStore.told.before as { blocked: number }).blocked).toBeGreaterThan(2)
  })

  test('of a Cluster every node is read, each record once', async () => {
    const settings = { store: { cluster: cluster.nodes.map(({ host, port }) => `${host}:${port}`) } }
    const [one, all] = [await exported({ store: { url: server.url } }), await exported(settings)]
    const evidence = (file: string) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line) => fromLine(line)?.event ?? [])
        .map((event) => JSON.stringify(event))
        .toSorted()
    expect(evidence(all.out)).toEqual(evidence(one.out))
    expect(evidence(all.out).length).toBeGreaterThan(100)
  })

  test('beside another recording it would count twice: that is refused', async () => {
    const { out } = await exported({ store: { url: server.url } })
    const err: string[] = []
    const options = {
      against: RULES,
      picture: undefined,
      json: false,
      screen: screenOf([]),
      errors: screenOf(err),
      complain: (body: unknown) => (err.push((body as { error: string }).error), 1),
      problems: () => {},
      now: () => 0,
    }
    const other = join(folder(), 'journal.jsonl')
    writeFileSync(other, toLine({ seq: 1, event: ALLOW }))
    expect(await replay([out, other], { state: folder(), settings: undefined, rules: RULES }, options)).toBe(1)
    expect(err[0]).toContain('would count twice')
  })

  test('takes the place of an older one, and of nothing else', async () => {
    const settings = { store: { url: server.url } }
    const { out } = await exported(settings)
    expect((await exported(settings, out)).code).toBe(0)
    writeFileSync(out, 'mine\n')
    expect(await exported(settings, out)).toMatchObject({
      code: 1,
      told: [expect.stringContaining('was not written by') as string],
    })
    expect(readFileSync(out, 'utf8')).toBe('mine\n')
    expect((await exported(settings, out, true)).code).toBe(0)
  })

  test('without a Redis, or with none that answers, it says so', async () => {
    const alone = await exported({})
    expect([alone.code, alone.told[0]]).toEqual([1, expect.stringContaining('these settings name no Redis') as string])
    const away = await exported({ store: { url: join(folder(), 'nobody') } })
    expect([away.code, away.told[0]]).toEqual([
      1,
      expect.stringContaining('Redis could not be read: connect ENOENT') as string,
    ])
  })
})

import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
import { parsePrefix, type Prefix } from '../../src/core/prefixes.ts'
import { openEmbedded } from '../../src/reputation/embedded.ts'
import { Ledger, type LedgerHappening } from '../../src/reputation/ledger.ts'
import type { Ruling, Snapshot, Store } from '../../src/reputation/store.ts'
import { folder } from '../folders.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const BOT = parseClient('203.0.113.9') as Client
const OTHER = parseClient('198.51.100.7') as Client

function block(client: Client): Ruling {
  return {
    by: 'rules',
    target: client.key,
    word: 'block',
    since: NOON,
    until: NOON + 1e9,
    ticket: `T${client.key}`,
    because: 'talked first',
  }
}

/** A real store, of which a test may replace what it likes. */
async function ledgerOn(change: (store: Store) => Partial<Store>) {
  const store = await openEmbedded(join(folder(), 'reputation.db'), { now: () => NOON, tell: () => {} })
  const changed = new Proxy(store, {
    get: (target, name: keyof Store) => {
      const value: unknown = change(store)[name] ?? target[name]
      return typeof value === 'function' ? (value as (...words: unknown[]) => unknown).bind(target) : value
    },
  })
  const told: LedgerHappening[] = []
  let waiting = () => {}
  const ledger = new Ledger(changed, {
    now: () => NOON,
    uptime: () => 0,
    maxAgeMs: 60_000,
    tell: (happening) => {
      told.push(happening)
      if (happening.what === 'loaded') waiting()
    },
  })
  onTestFinished(async () => {
    ledger.close()
    await store.close()
  })
  return { store, ledger, told, loaded: () => new Promise<void>((resolve) => (waiting = resolve)) }
}

describe('ledger', () => {
  test('a change that is heard while the snapshot is on its way is not overwritten by it', async () => {
    const { ledger } = await ledgerOn((store) => ({
      async rulings(): Promise<Snapshot> {
        const snapshot = await store.rulings()
        await store.put(block(BOT))
        return snapshot
      },
    }))
    await ledger.start()
    expect(ledger.rulingFor(BOT)?.word).toBe('block')
  })

  test('what was dropped while nobody listened is gone after the next snapshot', async () => {
    let lose = () => {}
    const { store, ledger, loaded } = await ledgerOn((inner) => ({
      async watch(onChange, onLost) {
        let deaf = false
        lose = () => {
          deaf = true
          onLost()
        }
        await inner.watch((change) => {
          if (!deaf) onChange(change)
        }, onLost)
      },
    }))
    await store.put(block(BOT))
    await ledger.start()
    await store.put(block(OTHER))
    expect([ledger.rulingFor(BOT)?.word, ledger.rulingFor(OTHER)?.word]).toEqual(['block', 'block'])
    const again = loaded()
    lose()
    await store.drop('rules 203.0.113.9')
    await again
    expect([ledger.rulingFor(BOT)?.word, ledger.rulingFor(OTHER)?.word]).toEqual([undefined, 'block'])
  })

  test('what the rules said of a client that is allowed is counted apart', async () => {
    const { store, ledger } = await ledgerOn(() => ({}))
    const sixth = parseClient('2001:db8::1') as Client
    const allow: Ruling = { ...block(OTHER), by: 'operator', target: '198.51.100.0/24', word: 'allow' }
    for (const ruling of [block(BOT), block(OTHER), block(sixth), allow]) await store.put(ruling)
    await ledger.start()
    const counted = (...networks: string[]) => {
      const { rules, operator, overruled } = ledger.counts(networks.map((text) => parsePrefix(text) as Prefix))
      return [rules.block, operator.allow, overruled]
    }
    expect(counted()).toEqual([2, 1, 1])
    expect(counted('2001:db8::/32', '203.0.112.0/22')).toEqual([0, 1, 3])
    await store.put({ ...allow, until: NOON })
    expect(counted()).toEqual([3, 0, 0])
  })

  test('while tens of thousands are taken over anew, answers have their turn, and what is heard meanwhile is not undone', async () => {
    let lose = () => {}
    const clients = Array.from({ length: 40_000 }, (_, i) => parseClient(`10.${i >> 8}.${i & 255}.1`) as Client)
    const many = clients.map(block)
    const snapshots = [many, many.slice(0, 20_000)]
    const { store, ledger, loaded } = await ledgerOn((inner) => ({
      async rulings() {
        return { generation: await inner.generation(), rulings: snapshots.shift() ?? [] }
      },
      async watch(onChange, onLost) {
        lose = onLost
        await inner.watch(onChange, onLost)
      },
    }))
    await ledger.start()
    expect([...ledger.all()]).toHaveLength(40_000)

    const again = loaded()
    lose()
    let [done, turns, blocked] = [false, 0, 0]
    void again.then(() => (done = true))
    let heard: Promise<void> | undefined
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve))
      turns++
      if (snapshots.length === 0) heard ??= store.put(block(BOT))
      if (ledger.rulingFor(clients[5] as Client)) blocked++
    }
    await heard
    expect(turns).toBeGreaterThan(40)
    expect(blocked, 'who stands in both stood all the time').toBe(turns)
    expect([ledger.rulingFor(BOT)?.word, ledger.rulingFor(clients[30_000] as Client)]).toEqual(['block', undefined])
    expect([...ledger.all()]).toHaveLength(20_001)
  })

  describe('what was said here while the store is behind', () => {
    const said = (word: 'allow' | 'block' | 'release', since: number): Ruling => ({
      by: 'operator',
      target: '203.0.113.9/32',
      word,
      since,
      until: undefined,
      ticket: `T${word}${since}`,
      because: 'a test',
      author: 'eve',
    })

    test('an allow that follows a release stands, when the release is settled only then', async () => {
      const { store, ledger } = await ledgerOn(() => ({}))
      await store.put(block(BOT))
      await ledger.start()
      ledger.ease(said('release', NOON + 1))
      ledger.ease(said('allow', NOON + 2))
      ledger.settle('203.0.113.9/32', NOON + 1)
      await ledger.refresh()
      expect(ledger.allowFor(BOT)).toEqual(said('allow', NOON + 2))
      // Nor does the release of before end the one that was said again.
      ledger.ease(said('release', NOON + 3))
      ledger.settle('203.0.113.9/32', NOON + 1)
      await ledger.refresh()
      expect(ledger.rulingFor(BOT)).toBeUndefined()
    })

    test('an older word that the store does only now ends nothing; the same word, done, does', async () => {
      const { store, ledger } = await ledgerOn(() => ({}))
      await ledger.start()
      ledger.ease(said('allow', NOON - 1))
      await store.put(said('block', NOON - 2))
      expect(ledger.allowFor(BOT)).toEqual(said('allow', NOON - 1))
      await store.put(said('allow', NOON - 1))
      await store.put(said('block', NOON))
      expect([ledger.allowFor(BOT), ledger.rulingFor(BOT)]).toEqual([undefined, said('block', NOON)])
    })

    test('a release that is settled is over: the rules may list anew', async () => {
      const { store, ledger } = await ledgerOn(() => ({}))
      await ledger.start()
      await store.put(block(BOT))
      ledger.ease(said('release', NOON + 5))
      expect(ledger.rulingFor(BOT)).toBeUndefined()
      ledger.settle('203.0.113.9/32', NOON + 5)
      await ledger.refresh()
      expect(ledger.rulingFor(BOT)).toEqual(block(BOT))
    })
  })

  test('each change is told with what stood before', async () => {
    const { store, ledger, told } = await ledgerOn(() => ({}))
    await ledger.start()
    await store.put(block(BOT))
    await store.drop('rules 203.0.113.9')
    expect(told.filter(({ what }) => what === 'changed')).toEqual([
      { what: 'changed', ruling: block(BOT), before: undefined },
      { what: 'changed', ruling: undefined, before: block(BOT) },
    ])
  })
})

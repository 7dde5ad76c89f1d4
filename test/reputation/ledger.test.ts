import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Client, parseClient } from '../../src/core/client.ts'
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

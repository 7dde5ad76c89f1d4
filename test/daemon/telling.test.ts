/** What is told of clients: by the same path as in the daemon, from what a decoy reports to the text that Prometheus reads. */
import pino from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { teller } from '../../src/daemon/telling.ts'
import { createMetrics } from '../../src/console/metrics.ts'
import { type Client, parseClient } from '../../src/core/client.ts'
import { KIND_NAMES, KINDS, type Role } from '../../src/core/evidence.ts'
import { openReputation } from '../../src/reputation/reputation.ts'
import { folder } from '../folders.ts'
import { shippedRules } from '../rules.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const CLIENTS = 100_000
/** So many are recorded at once, as many come at once in a flood. */
const FLOOD = 1000
const SEEN_AT_BACKUP = KIND_NAMES.filter((kind) => (KINDS[kind].roles as readonly Role[]).includes('backup'))

test('there are as many series after a hundred thousand clients as before: each came, was seen, and was asked about', async () => {
  const metrics = createMetrics('0.0.0')
  const tell = teller(pino({ level: 'silent' }), metrics, () => NOON)
  const rules = shippedRules()
  const reputation = await openReputation({
    folder: folder(),
    redis: undefined,
    keepMs: 86_400_000,
    journalBytesMax: 2 ** 30,
    maxAgeMs: 300_000,
    watch: 'blind',
    governor: { perMinute: CLIENTS, perNetwork: CLIENTS, goodShare: 1 },
    rules: () => rules,
    memberOf: () => undefined,
    identify: () => {},
    now: () => NOON,
    tell: tell.reputation,
  })
  onTestFinished(() => reputation.close())
  const read = async () => (await metrics.read()).text.split('\n').filter((line) => line.startsWith('decoymx_'))
  const series = async () => (await read()).map((line) => line.slice(0, line.lastIndexOf(' ')))
  const before = await series()

  for (let n = 0; n < CLIENTS; n++) {
    const client = parseClient(`203.${n >> 16}.${(n >> 8) & 255}.${n & 255}`) as Client
    tell.decoy({ what: 'opened', role: 'backup', via: 'direct', regard: 'stranger' })
    const recorded = reputation.witness({
      type: 'evidence',
      at: NOON,
      client: client.ip,
      role: 'backup',
      kind: SEEN_AT_BACKUP[n % SEEN_AT_BACKUP.length] as (typeof KIND_NAMES)[number],
      session: `session-${n}`,
      detail: `what client ${n} said`,
    })
    if (n % FLOOD === 0 || n === CLIENTS - 1) await recorded
    tell.policy({ what: 'answered', decision: reputation.decide(client), action: 'DUNNO' })
    tell.decoy({ what: 'closed', role: 'backup', outcome: 'dialogue', heldMs: 5, bytesIn: 10, bytesOut: 9 })
  }
  await vi.waitFor(() => expect(reputation.state().waiting).toBe(0), { timeout: 60_000, interval: 20 })

  expect(await series()).toEqual(before)
  const sum = async (name: string) =>
    (await read())
      .filter((line) => line.startsWith(`decoymx_${name}{`))
      .reduce((all, line) => all + Number(line.slice(line.lastIndexOf(' '))), 0)
  const counted = (await sum('evidence_total')) + (await sum('evidence_waived_total'))
  expect([counted, await sum('connections_total'), await sum('answers_total')]).toEqual([CLIENTS, CLIENTS, CLIENTS])
}, 120_000)

import { describe, expect, test } from 'vitest'
import type { Levels } from '../../src/console/levels.ts'
import { createMetrics } from '../../src/console/metrics.ts'
import { KIND_NAMES } from '../../src/core/evidence.ts'

const none = { allow: 0, release: 0, observe: 0, defer: 0, block: 0 }
const LEVELS: Levels = {
  held: { primary: 1, backup: 7 },
  doors: [
    { open: true, shortfall: { how: 'one by one', because: 'no koffi' } },
    { open: false, shortfall: null },
  ],
  reputation: {
    storeHealth: { state: 'hung' as const },
    blocked: 'OOM',
    ledger: 'fresh' as const,
    ledgerAgeMs: 1500,
    waiting: 3,
    journalTrouble: null,
    freeze: { why: 'blind' },
    rulings: { rules: { ...none, block: 12 }, operator: { ...none, allow: 1 } },
    governor: { minute: 4, network: 0, standing: 0, held: 0 },
    neighbours: [{ rules: 'ab12' }, { rules: 'cd34' }, { rules: 'ef56' }],
  },
  realMx: {
    outcome: 'down',
    outage: true,
    mxs: [{ name: 'mx1.example.test', outcome: 'later', lookedAt: '2026-11-24T12:00:00.000Z' }],
  },
  kernelWanted: true,
  canary: { state: 'failing', at: '2026-11-24T12:00:00.000Z', shownMs: null },
  kernel: { state: 'on', suspects: { 4: 2, 6: 1 }, networks: { 4: 1, 6: 0 } },
  rules: { loaded: '2026-11-24T12:00:00.000Z', digest: 'ab12', problems: [] },
  certificates: [{ setting: 'store.tls.ca', notAfter: '2026-12-24T12:00:00.000Z' }],
  room: { possible: 19_744, wanted: 16_000 },
  workers: { wanted: 2, pids: [101, 102], late: [] },
}

describe('metrics', () => {
  test.each([
    ['on', true, '1'],
    ['off', true, '0'],
    ['failed', true, '0'],
    ['on', false, '1'],
    ['off', false, 'Nan'],
  ] as const)('the kernel %s, wanted: %s, is %s', async (state, kernelWanted, figure) => {
    const metrics = createMetrics('0.0.0')
    metrics.follow(() => ({ ...LEVELS, kernelWanted, kernel: { ...LEVELS.kernel!, state } }))
    expect(/^decoymx_kernel_on (.*)$/m.exec((await metrics.read()).text)?.[1]).toBe(figure)
  })

  test('tells how long everything had to wait, once', async () => {
    const metrics = createMetrics('0.0.0')
    metrics.follow(() => LEVELS)
    const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0))
    const late = async () => Number(/^decoymx_event_loop_late_seconds (.*)$/m.exec((await metrics.read()).text)?.[1])
    await turn()
    for (const began = performance.now(); performance.now() - began < 500;);
    await turn()
    const first = await late()
    expect(first).toBeGreaterThan(0.25)
    expect(await late()).toBeLessThan(first)
  })

  test('every series is there from the start, with a help text', async () => {
    const { text, contentType } = await createMetrics('0.0.0').read()
    expect(contentType).toContain('text/plain')
    for (const kind of KIND_NAMES)
      expect(text).toMatch(new RegExp(`decoymx_evidence_total\\{role="[a-z]+",kind="${kind}"\\} 0`))
    const named = new Set([...text.matchAll(/^(decoymx_[a-z_]+)[{ ]/gm)].map((match) => match[1]))
    for (const name of named) expect(text).toContain(`# HELP ${name} `)
  })

  test('what happens with every question is added up and is there at each scrape, once', async () => {
    const metrics = createMetrics('0.0.0')
    for (const answer of ['pass', 'block', 'block']) metrics.answers.inc({ asker: 'dnsbl', answer })
    const block = async () =>
      /^decoymx_answers_total\{asker="dnsbl",answer="block"\} (.*)$/m.exec((await metrics.read()).text)
    expect((await block())?.[1]).toBe('2')
    metrics.answers.inc({ asker: 'dnsbl', answer: 'block' })
    expect((await block())?.[1]).toBe('3')
    expect((await metrics.read()).text).toContain('decoymx_answers_total{asker="dnsbl",answer="pass"} 1')
    expect((await metrics.read()).text).toContain('decoymx_dnsbl_queries_total{over="tcp",rcode="BADVERS"} 0')
  })

  test('the house is looked at once for a scrape, however many gauges there are', async () => {
    const metrics = createMetrics('0.0.0')
    let looks = 0
    metrics.follow(() => {
      looks++
      return LEVELS
    })
    await metrics.read()
    await metrics.read()
    expect(looks).toBe(2)
  })

  test('gauges read the house at each scrape', async () => {
    const metrics = createMetrics('0.0.0')
    metrics.follow(() => LEVELS)
    const { text } = await metrics.read()
    expect(text).toContain('decoymx_held_connections{role="backup"} 7')
    expect(text).toContain('decoymx_rulings{by="rules",word="block"} 12')
    expect(text).toContain('decoymx_listeners_shut 1')
    expect(text).toContain('decoymx_listeners_slow 1')
    expect(text).toContain('decoymx_ledger_age_seconds 1.5')
    expect(text).toContain('decoymx_evidence_waiting 3')
    expect(text).toContain('decoymx_real_mx_up 0')
    expect(text).toContain('decoymx_real_mx_outage 1')
    expect(text).toContain('decoymx_real_mx_state{mx="mx1.example.test",state="later"} 1')
    expect(text).toContain('decoymx_real_mx_state{mx="mx1.example.test",state="up"} 0')
    expect(text).toContain('decoymx_real_mx_looked_timestamp_seconds{mx="mx1.example.test"} 1795521600')
    expect(text).toContain('decoymx_order_frozen 1')
    expect(text).toContain('decoymx_rules_sound 1')
    expect(text).toContain('decoymx_boxes_with_other_rules 2')
    expect(text).toContain('decoymx_certificate_not_after_timestamp_seconds{setting="store.tls.ca"} 1798113600')
    expect(text).toContain(
      'decoymx_certificate_not_after_timestamp_seconds{setting="decoys.backup.tls.certificate"} Nan',
    )
  })
})

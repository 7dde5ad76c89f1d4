/**
 * Rules are edited under a running appliance: what that will do is told before it is so, the new verdict is on the wire
 * within a second, and on any mistake the old rules stay, with a message and a metric.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Visitor } from '../decoy/visitors.ts'
import { comesTrue } from '../servers.ts'
import { type Appliance, askPolicy, SOON_MS, startAppliance, statusOf, textAt } from './appliance.ts'

const HARSHER = readFileSync(join(import.meta.dirname, '../../rules.yaml'), 'utf8')
/** Who talks first is only observed under these, and blocked under those that we ship. */
const SOFT = HARSHER.replace('weight: 110', 'weight: 40')

let appliance: Appliance
let rules: string

/** As an editor saves: another file takes its place. */
const save = (source: string) => {
  writeFileSync(`${rules}.new`, source)
  renameSync(`${rules}.new`, rules)
}
const askUntil = async (ip: string, wanted: RegExp): Promise<number> => {
  for (const since = performance.now(); ;) {
    const answer = await askPolicy(appliance, ip)
    const ms = performance.now() - since
    if (wanted.test(answer)) return ms
    if (ms > 20_000) throw new Error(`${answer} after 20 s`)
  }
}
const talkFirst = async (ip: string): Promise<void> => {
  const visitor = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
  visitor.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nEHLO bot.example\r\n`)
  await visitor.reply()
  await visitor.walk('MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')
  visitor.socket.end('QUIT\r\n')
  await visitor.ended
}
const metric = async (outcome: string) => {
  const text = await textAt(appliance, '/metrics')
  return Number(new RegExp(`decoymx_rules_reloads_total\\{outcome="${outcome}"\\} (\\d+)`).exec(text)?.[1])
}
beforeAll(async () => {
  const first = await startAppliance({})
  rules = join(first.folder, 'rules.yaml')
  await first.end()
  writeFileSync(rules, SOFT)
  appliance = await startAppliance({ folder: first.folder, rules, settings: { reload: { bound: 2 } } })
})
afterAll(() => appliance?.clear())

test('an edit: its effect is told before it is so, and the new verdict is on the wire soon', async () => {
  await talkFirst('203.0.113.7')
  await comesTrue(async () => (await statusOf(appliance)).reputation.rulings.rules.observe === 1)
  expect(await askPolicy(appliance, '203.0.113.7')).toBe('action=DUNNO')
  save(HARSHER)
  expect(await askUntil('203.0.113.7', /REJECT/)).toBeLessThan(SOON_MS)
  await appliance.heard(/rules: \+1 listed, -0 released, of 1 known clients/)
  expect(await metric('sound')).toBe(2)
})

test('a broken edit: old rules, the message, the metric; and mended it is loaded', async () => {
  const { digest } = (await statusOf(appliance)).rules
  save(HARSHER.replace('weight: 110', 'wieght: 110'))
  await appliance.heard(/rules: 1 problem; the old rules stay/)
  expect(appliance.said()).toContain('no such key (did you mean weight?)')
  expect((await statusOf(appliance)).rules).toMatchObject({
    digest,
    problems: expect.arrayContaining([expect.stringContaining('wieght')]),
  })
  expect(await metric('unsound')).toBe(1)
  expect(await askPolicy(appliance, '203.0.113.7')).toMatch(/REJECT/)
  const told = await appliance.decoymx('reload')
  expect(told.code).toBe(1)
  expect(told.stderr).toMatch(/\d+ \| +wieght: 110\n +\| +\^{6} did you mean weight\?/)
  save(HARSHER)
  await comesTrue(async () => (await statusOf(appliance)).rules.problems.length === 0)
})

test('a change of more clients than the bound wants force', async () => {
  save(SOFT)
  await askUntil('203.0.113.7', /DUNNO/)
  await Promise.all(['203.0.114.1', '203.0.115.1', '203.0.116.1'].map(talkFirst))
  await comesTrue(async () => (await statusOf(appliance)).reputation.rulings.rules.observe === 4)
  save(HARSHER)
  await appliance.heard(/these rules would newly refuse 4 clients, and refuse 0 no more; the bound is 2/)
  expect(await metric('bound')).toBe(1)
  expect(await askPolicy(appliance, '203.0.114.1')).toBe('action=DUNNO')
  expect((await appliance.decoymx('reload')).code).toBe(1)
  expect(await appliance.decoymx('reload', '--force')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('+4 listed, -0 released, of 4 known clients'),
  })
  expect(await askPolicy(appliance, '203.0.114.1')).toMatch(/REJECT/)
})

test('rules made milder while it was stopped free at the start whom they no longer list', async () => {
  await appliance.end()
  save(SOFT)
  appliance = await startAppliance({ folder: appliance.folder, rules })
  // Answers are DUNNO while a start is under way, too.
  await appliance.heard(/standing decisions judged again/)
  expect(await askPolicy(appliance, '203.0.114.1')).toBe('action=DUNNO')
  // Under the same rules nobody is judged at a start.
  await appliance.end()
  appliance = await startAppliance({ folder: appliance.folder, rules })
  expect(await askPolicy(appliance, '203.0.114.1')).toBe('action=DUNNO')
  expect(appliance.said()).not.toMatch(/standing decisions judged again/)
})

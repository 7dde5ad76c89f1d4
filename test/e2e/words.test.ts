/** The operator's words as a person gives them: what they do, what they leave as it is, and the trail they leave. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClientView, RulingView, SpokenView } from '../../src/answer/views.ts'
import { Visitor } from '../decoy/visitors.ts'
import { comesTrue } from '../servers.ts'
import { type Appliance, startAppliance, askPolicy } from './appliance.ts'

const SOUND = readFileSync(join(import.meta.dirname, '../../rules.yaml'), 'utf8')
const BOT = '203.0.113.9'
let appliance: Appliance
let place: string

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'dmx-words-'))
  const rules = join(place, 'rules.yaml')
  writeFileSync(
    rules,
    SOUND.replace('allow: []', 'allow:\n  - client: 192.0.2.0/24\n    because: >\n      our own\n      office\n'),
  )
  appliance = await startAppliance({ rules })
})
afterAll(async () => {
  await appliance?.clear()
  await rm(place, { recursive: true, force: true })
})

async function talkFirst(ip: string): Promise<void> {
  const bot = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
  bot.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nEHLO bot.example\r\n`)
  await bot.reply()
  await bot.walk('MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')
  bot.socket.end('QUIT\r\n')
  await bot.ended
}

const say = (...words: string[]) => appliance.decoymx(...words)
const listed = async (...words: string[]) =>
  (JSON.parse((await say('list', ...words, '--json')).stdout) as { decisions: RulingView[] }).decisions

test('release of an address inside a blocked network says that it stays blocked, and what to do', async () => {
  expect((await say('block', '203.0.113.0/24', '--because', 'a leased range')).stdout).toContain('in effect now')
  const { code, stdout } = await say('release', BOT, '--because', 'they rang')
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /203\.0\.113\.9\/32 stays blocked, by the block of 203\.0\.113\.0\/24 \([0-9A-Z]{4}-[0-9A-Z]{4}\): allow it instead/,
  )
  expect(await askPolicy(appliance, BOT)).toMatch(/^action=REJECT/)
  expect((await say('allow', BOT, '--because', 'they rang')).stdout).not.toContain('stays')
  expect(await askPolicy(appliance, BOT)).toBe('action=DUNNO')
  expect((await say('block', BOT, '--because', 'a slip')).stdout).not.toContain('stays allowed')
  expect((await say('release', BOT, '--because', 'done')).code).toBe(0)
  expect((await say('release', '203.0.113.0/24', '--because', 'done')).code).toBe(0)
  expect(await askPolicy(appliance, BOT)).toBe('action=DUNNO')
})

test('release of whom nobody knows says that nothing stood', async () => {
  expect((await say('release', '198.51.100.1')).stdout).toContain('nothing stood about 198.51.100.1/32')
})

test('what the rules file allows is listed, with its line; a block inside it is said to do nothing', async () => {
  const entry = {
    by: 'file',
    target: '192.0.2.0/24',
    word: 'allow',
    because: 'our own office',
    ticket: '',
    until: null,
  }
  expect(await listed('192.0.2.7')).toMatchObject([{ ...entry, author: expect.stringMatching(/rules\.yaml:\d+$/) }])
  expect((await say('block', '192.0.2.7', '--because', 'a test')).stdout).toMatch(
    /stays allowed, by the rules file, line \d+/,
  )
  expect(await askPolicy(appliance, '192.0.2.7')).toBe('action=DUNNO')
})

test('a reason is one line wherever it stands, and every word is in the trail, also after a restart', async () => {
  await say('allow', '198.51.100.9', '--for', '1h', '--because', 'a\ttab\nand \u001b[31mmore', '--author', 'eve')
  const because = 'a tab and [31mmore'
  expect((await listed('198.51.100.9'))[0]).toMatchObject({ because, author: 'eve' })
  const trail = async () =>
    (JSON.parse((await say('audit', '198.51.100.9', '--json')).stdout) as { words: SpokenView[] }).words
  expect(await trail()).toMatchObject([{ word: 'allow', target: '198.51.100.9/32', because, author: 'eve' }])
  expect(await appliance.end()).toBe(0)
  appliance = await startAppliance({ folder: appliance.folder, rules: join(place, 'rules.yaml') })
  expect(await trail()).toMatchObject([{ word: 'allow', target: '198.51.100.9/32', because, author: 'eve' }])
  const rows = (await say('audit')).stdout
    .trim()
    .split('\n')
    .map((row) => row.split('\t'))
  expect(rows.every((cells) => cells.length === 6)).toBe(true)
  expect(rows.map((cells) => cells[2])).toEqual(expect.arrayContaining(['allow', 'block', 'release']))
})

test('why says of a bot that talks first what counts, and what does not or waits for the real MX', async () => {
  await talkFirst('198.51.100.60')
  await comesTrue(async () => (await say('why', '198.51.100.60')).code === 11)
  const { stdout } = await say('why', '198.51.100.60')
  expect(stdout).toMatch(/(?:Not counted|Waiting for the next look at the real MX): contact 1/)
  expect(stdout).toMatch(
    /Not held back: early-talk, which no mail server does wherever it is sent, and what came after that/,
  )
  expect(stdout).not.toContain('all else in a session')
})

test('why says of a bot that is held right now at which decoy, since when, and how often', async () => {
  const here = async () => {
    const { stdout } = await say('why', '198.51.100.60', '--json')
    return (JSON.parse(stdout) as ClientView).here
  }
  expect(await here()).toEqual({ count: 0, some: [], silent: 0 })
  const came = Date.now()
  const held = ['primary decoy, PROXY', 'primary decoy, PROXY', 'backup decoy, PROXY'].map((door) => {
    const socket = connect(appliance.door(door))
    socket.write('PROXY TCP4 198.51.100.60 127.0.0.1 40000 25\r\n')
    return socket
  })
  // The first bytes of a greeting that never ends: by then each is held.
  await Promise.all(held.map((socket) => once(socket, 'data')))
  const { count, some } = await here()
  expect(count).toBe(3)
  expect(some.map(({ role, outcome }) => `${role} ${outcome}`).toSorted()).toEqual([
    'backup tarpit',
    'primary tarpit',
    'primary tarpit',
  ])
  // Its clock and ours are read in two processes, to the millisecond.
  for (const { since } of some) expect(Date.parse(since)).toBeGreaterThanOrEqual(came - 1)
  const { stdout } = await say('why', '198.51.100.60')
  const primary = String.raw`2 at the primary decoy, held, a drop at a time, the first for \d+ s`
  const backup = String.raw`at the backup decoy, held, a drop at a time, for \d+ s`
  expect(stdout).toMatch(new RegExp(`Here now: 3 connections: (?:${primary}; ${backup}|${backup}; ${primary})\n`))
  for (const socket of held) socket.destroy()
})

test('a word is logged once', async () => {
  await say('block', '198.51.100.50', '--because', 'only once')
  const told = () => appliance.said().match(/decision: block 198\.51\.100\.50/g)?.length
  // What comes after it in the journal has been delivered once this is known of.
  await talkFirst('198.51.100.51')
  await comesTrue(async () => (await say('why', '198.51.100.51')).code === 11)
  expect(told()).toBe(1)
})

test('the code in the refusal finds the decision in SMTP, DNSBL, list, log and API, also after it has ended', async () => {
  await talkFirst('203.0.114.9')
  let answer = ''
  for (const since = performance.now(); !answer.includes('REJECT') && performance.now() - since < 20_000;)
    answer = await askPolicy(appliance, '203.0.114.9')
  const ticket = /\(([0-9A-Z]{4}-[0-9A-Z]{4})\)$/.exec(answer)?.[1] as string
  expect((await listed('203.0.114.9'))[0]).toMatchObject({ ticket })
  await appliance.heard(new RegExp(ticket))
  expect(await say('why', ticket)).toMatchObject({ code: 11, stdout: expect.stringContaining('203.0.114.9') })
  expect((await say('why', ticket.replace('-', '').toLowerCase())).code).toBe(11)
  await say('release', '203.0.114.9', '--because', 'they rang')
  const late = await say('why', ticket)
  expect(late.code).toBe(0)
  expect(late.stdout).toMatch(
    new RegExp(`^${ticket}: block of 203\\.0\\.114\\.9 \\(.*\\) ended .*\\n203\\.0\\.114\\.9`),
  )
})

test('eight letters that are no ticket are not taken for one, and an unknown pool is said to be none', async () => {
  for (const word of ['mailhost', 'deadbeef', 'example1'])
    expect(await say('why', word)).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('expected an IP address, a CIDR or a ticket'),
    })
  expect(await say('why', 'DEAD-BEEF')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no decision under ticket DEAD-BEEF'),
  })
  expect(await say('allow', 'gmail')).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('there is no pool named "gmail"'),
  })
  expect(await say('allow', 'gmail', '--for', 'ever')).toMatchObject({
    code: 64,
    stderr: expect.stringMatching(
      /^error {2}--for: expected a time span.*\nerror {2}target: there is no pool named "gmail"/,
    ),
  })
})

test('of a wrong address it is told what is wrong with it, and every wrong argument in one go', async () => {
  const said = async (...words: string[]) => {
    const { code, stderr } = await say(...words)
    return [code, ...stderr.trimEnd().split('\n')]
  }
  expect(await said('why', '300.1.2.3')).toEqual([
    64,
    'error  expected an IP address, a CIDR or a ticket, got "300.1.2.3": 300 is above 255 (like 192.0.2.1, 2001:db8::/64 or 7F3K-9Q2M)',
  ])
  expect(await said('why', '192.0.2.1/24')).toEqual([
    64,
    'error  "192.0.2.1/24" has host bits set: did you mean 192.0.2.0/24? (an address alone is one client; a CIDR is all the clients in it)',
  ])
  expect(await said('why', 'OLIO-2345')).toEqual([64, expect.stringContaining('none of the letters I, L, O and U')])
  expect(await said('allow', '300.1.2.3', '--for', 'soon', '--because', ' ')).toEqual([
    64,
    'error  target: expected an IP address, a CIDR or a pool, got "300.1.2.3": 300 is above 255',
    expect.stringMatching(/^error {2}--for: expected a time span .*"soon"/),
    'error  --because: expected a word or two, got nothing',
  ])
  expect(await said('block', '192.0.2.1/24', '--for', '5000d')).toEqual([
    64,
    'error  target: "192.0.2.1/24" has host bits set: did you mean 192.0.2.0/24?',
    'error  --for: expected a span above 0 and at most ten years, got 5000d; leave it out for good',
  ])
})

test('enforce --preview tells from the journal who would have been refused, and how often', async () => {
  await talkFirst('203.0.115.9')
  for (const since = performance.now(); !(await askPolicy(appliance, '203.0.115.9')).includes('REJECT');)
    if (performance.now() - since > 20_000) throw new Error('not refused within 20 s')
  const { code, stdout } = await say('enforce', '--preview', '--days', '1', '--json')
  expect(code).toBe(0)
  const told = JSON.parse(stdout) as { refused: number; listed: { client: string }[] }
  expect(told.refused).toBeGreaterThanOrEqual(1)
  expect(told.listed).toContainEqual(
    expect.objectContaining({ client: '203.0.115.9', word: 'block', walked: false, behaved: false }),
  )
  // Never asked about, and allowed since: it would have been refused by nobody, and is counted apart, here and in status.
  await talkFirst('203.0.116.9')
  await say('allow', '203.0.116.0/24', '--because', 'a partner')
  const again = JSON.parse((await say('enforce', '--preview', '--days', '1', '--json')).stdout) as typeof told
  expect(again).toMatchObject({ clients: { allowed: 1 } })
  expect(again.listed.map(({ client }) => client)).not.toContain('203.0.116.9')
  expect((await say('status')).stdout).toMatch(/Decisions {3}.*; 1 more by the rules, but allowed/)
  expect((await say('enforce', '--preview')).stdout).toMatch(/^CLIENT.*|^client\tverdict/)
  expect(await say('enforce')).toMatchObject({ code: 64, stderr: expect.stringContaining('mode: enforce') })
  expect((await say('enforce', '--preview', '--days', 'x')).code).toBe(64)
})

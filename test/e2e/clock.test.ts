/**
 * The clock of a whole appliance is set an hour forth and back under it, by libfaketime, which leaves the monotonic clock alone,
 * as a person who sets a clock does.
 */
import { globSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { ask } from '../../src/command/appliance.ts'
import { fromLine } from '../../src/core/evidence.ts'
import { folder } from '../folders.ts'
import { comesTrue } from '../servers.ts'
import { type Appliance, startAppliance, askPolicy } from './appliance.ts'

const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketime.so.1')
const HOUR_S = 3600
const HONEST = '198.51.100.25'
const BRIEF = '198.51.100.30'

const firstWord = async (appliance: Appliance, ip: string) => (await askPolicy(appliance, ip)).split(' ', 1)[0]

/** Says all of this at once, or waits for each reply; settles when it has heard the answer to its recipient. */
async function visit(appliance: Appliance, ip: string, manners: 'rude' | 'polite'): Promise<void> {
  const client = connect(appliance.door('backup decoy, PROXY'))
  const lines = ['EHLO mail.sender.example', 'MAIL FROM:<x@sender.example>', 'RCPT TO:<a@example.test>', 'QUIT']
  client.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n`)
  if (manners === 'rude') client.write(`${lines.splice(0, 3).join('\r\n')}\r\n`)
  let heard = ''
  for await (const chunk of client) {
    heard += String(chunk)
    if (/^[245]\d\d .*\r\n$/m.test(heard.slice(heard.lastIndexOf('\n', heard.length - 2) + 1))) {
      const next = lines.shift()
      if (/^451 /m.test(heard) && manners === 'rude') break
      if (next !== undefined && manners === 'polite') client.write(`${next}\r\n`)
    }
  }
  client.destroy()
}

describe.skipIf(inject('missing').includes('faketime'))('a clock that is set', () => {
  test('an hour forth and back: bots are listed, honest mail is not, nothing is lost or counted twice, nobody is listed longer than told', async () => {
    const clock = join(folder(), 'clock')
    const set = (seconds: number) => writeFileSync(clock, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    set(0)
    const appliance = await startAppliance({
      launch: [
        `LD_PRELOAD=${LIBRARY}`,
        `FAKETIME_TIMESTAMP_FILE=${clock}`,
        'FAKETIME_NO_CACHE=1',
        'FAKETIME_DONT_FAKE_MONOTONIC=1',
      ],
    })
    onTestFinished(() => appliance.clear())
    const state = join(appliance.folder, 'state')
    const clientAt = async (ip: string) => (await ask(state, 'GET', `/api/v1/clients/${ip}`)).body as Told
    const until = async (ip: string) => (await clientAt(ip)).until

    expect((await appliance.decoymx('block', BRIEF, '--for', '30m', '--because', 'a test')).code).toBe(0)
    const told = new Map([[BRIEF, await until(BRIEF)]])
    const bots: string[] = []
    for (const hours of [0, 1, 0, -1, 0, 1]) {
      set(hours * HOUR_S)
      // It heeds the new time from its next look on.
      await comesTrue(async () => Math.abs((await healthAt(appliance)) - Date.now() - hours * HOUR_S * 1000) < 60_000)
      const bot = `203.0.113.${bots.length + 1}`
      bots.push(bot)
      await visit(appliance, bot, 'rude')
      await visit(appliance, HONEST, 'polite')
      await comesTrue(async () => (await firstWord(appliance, bot)) === 'action=REJECT')
      told.set(bot, await until(bot))

      for (const each of bots)
        expect([hours, each, await firstWord(appliance, each)]).toEqual([hours, each, 'action=REJECT'])
      expect(await firstWord(appliance, HONEST)).toBe('action=DUNNO')
      for (const each of bots) expect(await until(each)).toBe(told.get(each))
      // By the clock its time is over; no step makes it stand longer than it was told.
      if (hours === 1) expect(await firstWord(appliance, BRIEF)).toBe('action=DUNNO')
      expect([told.get(BRIEF), null]).toContain(await until(BRIEF))
      expect((await ask(state, 'GET', '/readyz')).status).toBe(200)
    }
    for (const bot of bots) expect((await clientAt(bot)).contacts.backup).toBe(1)
    const honest = await clientAt(HONEST)
    expect([honest.verdict, honest.contacts.backup]).toEqual(['clean', bots.length])
    expect(await appliance.end()).toBe(0)

    const journal = join(state, 'journal')
    const events = readdirSync(journal)
      .filter((name) => name.endsWith('.jsonl'))
      .flatMap((name) => readFileSync(join(journal, name), 'utf8').trim().split('\n'))
      .flatMap((line) => fromLine(line)?.event ?? [])
    const contacts = events.flatMap((each) => (each.type === 'evidence' && each.kind === 'contact' ? each.client : []))
    // Files are told apart by the day of the clock: around midnight one that was set back writes to the day before.
    expect(contacts.filter((ip) => ip !== HONEST).toSorted()).toEqual(bots)
  })
})

type Told = { readonly verdict: string; readonly until: string | null; readonly contacts: { readonly backup: number } }

/** What time it is there, by the header that HTTP wants. */
async function healthAt(appliance: Appliance): Promise<number> {
  const { host, port } = appliance.door('HTTP')
  const { headers } = await fetch(`http://${host}:${port}/healthz`)
  return Date.parse(headers.get('date') ?? '')
}

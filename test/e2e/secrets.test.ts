/** What a password guesser sends to the running appliance is not in its state, its log, or its answers. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Visitor } from '../decoy/visitors.ts'
import { startAppliance } from './appliance.ts'

const SECRET = 'Wx7kPq93Zt'
const base64 = (text: string) => Buffer.from(text).toString('base64')

/** Every file below, as bytes in Latin-1. */
function textBelow(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n')
}

test('no password is on disk, in the log, or told; the name is', async () => {
  const appliance = await startAppliance({ settings: { log: 'debug' } })
  onTestFinished(() => appliance.clear())
  const attempts = [
    [`AUTH PLAIN ${base64(`\0alice\0${SECRET}`)}`],
    ['AUTH LOGIN', base64('alice'), base64(SECRET)],
    ['AUTH LOGIN', 'alice', SECRET],
    [`AUTH PLAIN ${base64(`alice\0${SECRET}\0`)}`, `AUTH ${SECRET}`, `AUTH PLAIN ${base64(SECRET).slice(0, -1)}`],
    [base64('alice'), base64(SECRET), SECRET],
  ]
  for (const lines of attempts) {
    const visitor = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
    visitor.send('PROXY TCP4 203.0.113.77 192.0.2.66 4711 25')
    await visitor.walk('EHLO mail.sender.example', ...lines, 'QUIT')
    expect(await visitor.ended).toBe('closed')
  }
  const why = async () => (await appliance.decoymx('why', '203.0.113.77', '--json')).stdout
  let stdout = await why()
  // The last of it may still be on its way from the journal to the rules; the time limit of the test is the bound.
  while (!stdout.includes('password-guessing')) stdout = await why()
  await appliance.end()
  const everything = [textBelow(appliance.folder), appliance.said(), stdout].join('\n')
  expect(everything).toContain('"kind":"auth-name","stage":"auth","detail":"alice"')
  for (const form of [SECRET, base64(SECRET), base64(`\0alice\0${SECRET}`), base64(`alice\0${SECRET}\0`)])
    expect(everything).not.toContain(form)
})

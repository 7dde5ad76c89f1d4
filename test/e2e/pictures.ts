/**
 * `npm run pictures`: the pictures in the docs, made anew from a real appliance that honest senders and bots have come to.
 *
 * No test. Whoever changes how the console looks runs it, and looks at what came out before it is committed.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { openBrowser } from './browser.ts'
import { startAppliance } from './appliance.ts'

const DOCS = join(import.meta.dirname, '../../docs')
const [WIDTH, HEIGHT] = [1200, 900]
/** Longest that a sender waits for one reply. */
const REPLY_MS = 10_000

const appliance = await startAppliance({
  settings: {
    decoys: { primary: anywhere(), backup: anywhere(), limits: { tarpit: '10m' } },
    http: { listen: ['127.0.0.1:0'], 'edit-rules': true },
  },
})
const browser = await openBrowser()
const staying: Socket[] = []
try {
  await play()
  const { url } = JSON.parse((await appliance.decoymx('console', '--json')).stdout) as { url: string }
  const page = await browser.newPage({ viewport: { width: WIDTH, height: HEIGHT }, colorScheme: 'light' })
  await page.goto(url)
  await page.locator('.line.on').waitFor()
  await page.locator('#guests tr', { hasText: 'a drop at a time' }).first().waitFor()
  await page
    .locator('[data-running]', { hasText: /\d:[1-5]\d/ })
    .first()
    .waitFor()
  await page.screenshot({ path: join(DOCS, 'console.png') })
  await page.goto(new URL('rules', url).href)
  await page.fill('#source', (await page.inputValue('#source')).replace('weight: 110', 'wieght: 60'))
  await page.click('[data-do=check]')
  await page.locator('#problems button').click()
  await page.evaluate('document.querySelector("#source").style.height = "22rem"; scrollTo(0, 0)')
  const box = await page.locator('#editor').boundingBox()
  if (box) await page.screenshot({ path: join(DOCS, 'rules-editor.png'), clip: box, fullPage: true })
} finally {
  for (const socket of staying) socket.destroy()
  await browser.close()
  await appliance.clear()
}

function anywhere() {
  return { listen: ['127.0.0.1:0'], proxy: ['127.0.0.1:0'] }
}

/** Who comes, in the order of the story; some are still here at its end. */
async function play(): Promise<void> {
  await visit('198.51.100.10', 'primary')
  await visit('198.51.100.10', 'backup', ['EHLO mail.example.org', 'QUIT'])
  await visit('203.0.113.7', 'primary')
  await visit('203.0.113.6', 'backup', ['POST / HTTP/1.1'])
  await visit('203.0.113.9', 'backup', ['EHLO win-7f2k', 'AUTH LOGIN'])
  const early = ['EHLO friend', 'MAIL FROM:<win@prize.example>', 'RCPT TO:<anna@example.test>', 'DATA']
  await visit('203.0.113.5', 'backup', early, true)
  await until(async () => (await appliance.decoymx('why', '203.0.113.5', '--json')).stdout.includes('"block"'))
  for (const role of ['primary', 'backup'] as const) staying.push(await enter('203.0.113.5', role))
  const talking = await enter('192.0.2.77', 'backup')
  staying.push(talking)
  await exchange(talking, 'EHLO pc-12.example.net')
  await exchange(talking, 'VRFY root')
}

async function enter(ip: string, role: 'primary' | 'backup'): Promise<Socket> {
  const socket = connect(appliance.door(`${role} decoy, PROXY`))
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\n`)
  return socket
}

/** `early`: it says its first line before it is greeted. */
async function visit(ip: string, role: 'primary' | 'backup', lines: readonly string[] = [], early = false) {
  const socket = await enter(ip, role)
  const gone = new Promise((resolve) => socket.once('close', resolve))
  if (!early && lines.length > 0) await reply(socket)
  for (const line of lines) await exchange(socket, line)
  if (lines.length > 0) socket.destroy()
  await gone
}

async function exchange(socket: Socket, line: string): Promise<void> {
  socket.write(`${line}\r\n`)
  await reply(socket)
}

async function reply(socket: Socket): Promise<void> {
  await once(socket, 'data', { signal: AbortSignal.timeout(REPLY_MS) }).catch(() => {})
}

async function until(there: () => Promise<boolean>): Promise<void> {
  for (const since = performance.now(); !(await there());)
    if (performance.now() - since > REPLY_MS) throw new Error('nothing came of it in time')
}

/** The console in a real browser, over a real appliance: who may do what, what is on the screen, and that nothing hostile gets there. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type Page } from 'playwright-core'
import { stringify } from 'yaml'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import type { RulingView } from '../../src/answer/views.ts'
import { digestOfPassword } from '../../src/console/sessions.ts'
import { Visitor } from '../decoy/visitors.ts'
import { openBrowser } from './browser.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const PASSWORD = 'a long walk to the sea'
/** New listings of one network in an hour: more than the other tests have of any. */
const PER_NETWORK = 12
/** Where the screenshots go, for whoever wants to look: SCREENS=folder. */
const SCREENS = process.env['SCREENS']

describe.skipIf(inject('missing').includes('chromium'))('the console', () => {
  let appliance: Appliance
  let browser: Browser
  let context: BrowserContext
  let page: Page
  let proxy: Server
  let folder: string
  let troubles: string[]
  const at = (path = '') => `http://127.0.0.1:${appliance.door('HTTP').port}/${path}`

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dmx-console-'))
    const password = await digestOfPassword(PASSWORD)
    const accounts = [
      { name: 'vera', rights: 'viewer', password },
      { name: 'otto', rights: 'operator', password },
    ]
    await writeFile(join(folder, 'access.yaml'), stringify({ accounts }))
    const http = { listen: ['127.0.0.1:0'], 'access-file': join(folder, 'access.yaml') }
    appliance = await startAppliance({ settings: { http, governor: { 'per-network': PER_NETWORK } } })
    const port = appliance.door('HTTP').port
    // As nginx does it: `location /mail/decoys/ { proxy_pass http://127.0.0.1:8025/; }`
    proxy = createServer((asked, answer) => {
      const path = (asked.url ?? '').replace('/mail/decoys', '')
      const headers = { ...asked.headers, 'x-forwarded-for': '198.51.100.1' }
      const passed = request({ host: '127.0.0.1', port, path, method: asked.method, headers }, (back) => {
        answer.writeHead(back.statusCode ?? 500, back.headers)
        back.pipe(answer)
      })
      passed.on('error', () => answer.destroy())
      answer.on('close', () => passed.destroy())
      asked.pipe(passed)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    browser = await openBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    proxy?.closeAllConnections()
    proxy?.close()
    await appliance?.clear()
    await rm(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    context = await browser.newContext()
    page = await context.newPage()
    troubles = []
    page.on('console', (said) => said.type() === 'error' && troubles.push(said.text()))
    page.on('pageerror', (error) => troubles.push(error.message))
  })
  afterEach(() => context.close())

  async function misbehave(ip: string, ...lines: string[]): Promise<void> {
    const bot = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
    bot.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nEHLO bot.example\r\n`)
    await bot.reply()
    await bot.walk(...lines)
    bot.socket.end('QUIT\r\n')
    await bot.ended
  }

  async function logIn(name: string, where = at('login')): Promise<void> {
    await page.goto(where)
    await page.fill('[name=name]', name)
    await page.fill('[name=password]', PASSWORD)
    await page.click('button.main')
    await page.waitForSelector('#visits')
  }

  test('from near it is readable at once, and nothing can be said', async () => {
    await page.goto(at())
    expect(await page.textContent('h1')).toBe('Live')
    expect(await page.locator('[data-say]').count()).toBe(0)
    expect(troubles).toEqual([])
  })

  test('who comes appears by itself; blocked and undone, as the store has it', async () => {
    await logIn('otto')
    await misbehave('203.0.113.20', 'MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.org>')
    const row = page.locator('#visits tr', { hasText: '203.0.113.20' })
    await row.waitFor()
    await row.locator('a.ip').click()
    await page.waitForURL(/clients\/203\.0\.113\.20$/)
    await page.click('.head [data-say=block]')
    expect(await page.textContent('#act button.main')).toBe('Block')
    await page.fill('dialog [name=because]', 'seen with my own eyes')
    await page.keyboard.press('Enter')
    await page.locator('.head .chip.block').waitFor()
    const listed = async () => (await appliance.decoymx('list', '--json')).stdout
    expect(await listed()).toContain('seen with my own eyes')
    expect(await listed()).toContain('"author": "otto"')
    await page.click('#toast button')
    await page
      .locator('#toast')
      .getByText(/^Undone\.$/)
      .waitFor()
    expect(await page.locator('.head .chip.block').count()).toBe(0)
    expect((await appliance.decoymx('why', '203.0.113.20', '--json')).stdout).toContain('"verdict": "clean"')
    expect(troubles).toEqual([])
  })

  test('who is here is on the page while it is, with what it did so far', async () => {
    await page.goto(at())
    await page.locator('.line.on').waitFor()
    const bot = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
    bot.socket.write('PROXY TCP4 203.0.113.50 127.0.0.1 40000 25\r\nEHLO bot.example\r\n')
    await bot.reply()
    const row = page.locator('#guests tr', { hasText: '203.0.113.50' })
    await row.waitFor()
    expect(await row.textContent()).toMatch(/\d:\d\d\s*203.0.113.50\s*backup\s*talked to\s*early-talk/)
    // It counts on by itself: nothing else is heard that the page would be read again for.
    const seconds = async () => Number(((await row.locator('[data-running]').textContent()) ?? '').split(':')[1])
    const before = await seconds()
    await expect.poll(seconds).toBeGreaterThan(before)
    await page.goto(at('?q=198.51.100.0/24'))
    expect(await row.count()).toBe(0)
    await page.goto(at('clients/203.0.113.50'))
    expect(await page.textContent('#here')).toMatch(/At the backup for \d+:\d\d: talked to\./)
    await page.goto(at())
    await page.locator('.line.on').waitFor()
    bot.socket.end('QUIT\r\n')
    await bot.ended
    await misbehave('203.0.113.51')
    await row.waitFor({ state: 'detached' })
    expect(troubles).toEqual([])
  })

  test('undo brings back what the operator had said before: after another word, and after a release', async () => {
    await appliance.decoymx('block', '203.0.113.30', '--for', '5d', '--because', 'asked by abuse@')
    await logIn('otto')
    for (const word of ['allow', 'release']) {
      await page.goto(at('clients/203.0.113.30'))
      await page.click(`.head [data-say=${word}]`)
      await page.fill('dialog [name=because]', 'a slip')
      await page.keyboard.press('Enter')
      await page.locator('#toast', { hasText: `${word} 203.0.113.30/32` }).waitFor()
      await page.locator('.head .chip.block').waitFor({ state: 'detached' })
      await page.click('#toast button')
      await page.locator('.head .chip.block').waitFor()
    }
    const { decisions } = JSON.parse((await appliance.decoymx('list', '--json')).stdout) as { decisions: RulingView[] }
    const restored = decisions.find(({ target }) => target === '203.0.113.30/32')
    expect(restored).toMatchObject({ word: 'block', author: 'otto' })
    expect(restored?.because).toContain('asked by abuse@')
    const days = (Date.parse(restored?.until ?? '') - Date.now()) / 86_400_000
    expect(Math.round(days)).toBe(5)
    expect(troubles).toEqual([])
  })

  test('undo of a release brings back what the rules had said, as a word of the operator that ends when it would have', async () => {
    await misbehave('203.0.113.31', 'MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')
    await logIn('otto')
    await page.goto(at('clients/203.0.113.31'))
    await page.locator('.head .chip.block').waitFor()
    const before = await page.locator('.head time').getAttribute('datetime')
    await page.click('.head [data-say=release]')
    await page.fill('dialog [name=because]', 'a slip')
    await page.keyboard.press('Enter')
    await page.locator('.head .chip.block').waitFor({ state: 'detached' })
    await page.click('#toast button')
    await page.locator('.head .chip.block').waitFor()
    expect(await page.textContent('.head')).toMatch(/talked before .*\(restored\)\s*by an operator's word, until/)
    const after = await page.locator('.head time').getAttribute('datetime')
    expect(Math.abs(Date.parse(after ?? '') - Date.parse(before ?? ''))).toBeLessThan(120_000)
    expect(troubles).toEqual([])
  })

  test('what is on the page is narrowed by network, deed and verdict; by keys and without a mouse', async () => {
    await misbehave('203.0.113.41', 'MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')
    await misbehave('198.51.100.42', 'FROB')
    await page.goto(at())
    const clients = () => page.locator('#visits a.ip').allTextContents()
    await page.locator('#visits a.ip', { hasText: '198.51.100.42' }).waitFor()
    await page.fill('.filter [name=q]', '198.51.100.0/24')
    await page.keyboard.press('Enter')
    await page.waitForURL(/q=198/)
    expect(await clients()).toEqual(['198.51.100.42'])
    await page.goto(at('?q=frob'))
    expect(await clients()).toEqual(['198.51.100.42'])
    await page.goto(at('?verdict=block'))
    expect(await clients()).toContain('203.0.113.41')
    expect(await clients()).not.toContain('198.51.100.42')
    await page.goto(at('decisions?word=block&q=203.0.113.41'))
    expect(await page.locator('#decisions a.ip').allTextContents()).toEqual(['203.0.113.41'])
    await page.goto(at('decisions?q=talks-first'))
    expect(await page.locator('#decisions a.ip').allTextContents()).toContain('203.0.113.41')
    await page.goto(at('decisions?q=203.0.113.40/31'))
    expect(await page.locator('#decisions a.ip').allTextContents()).toEqual(['203.0.113.41'])
    await page.goto(at('?role=real&verdict=block'))
    expect(await page.textContent('.empty')).toBe('Nobody of those that came is like this.')

    await page.goto(at())
    const rows = await clients()
    const focused = () => page.evaluate('document.activeElement.textContent')
    for (const [key, row] of [
      ['j', 0],
      ['j', 1],
      ['k', 0],
      ['k', 0],
    ] as const) {
      await page.keyboard.press(key)
      expect(await focused()).toBe(rows[row])
    }
    await page.keyboard.press('f')
    expect(await page.evaluate('document.activeElement.closest("form").className')).toBe('filter')
    await page.locator('h1').click()
    await page.keyboard.press('?')
    expect(await page.textContent('dialog[open]')).toContain('pause the page')
    await page.keyboard.press('j')
    await page.keyboard.press('Escape')
    await page.locator('dialog[open]').waitFor({ state: 'detached' })
    await page.locator('#visits a.ip').first().focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/clients/${rows[0]}`)
    expect(troubles).toEqual([])
  })

  test('paused, the page stands still; going on, it has what came meanwhile', async () => {
    await page.goto(at())
    await page.locator('.line.on').waitFor()
    await page.keyboard.press('p')
    expect(await page.textContent('#pause')).toBe('Go on')
    const other = await context.newPage()
    await other.goto(at())
    await misbehave('203.0.113.45')
    // What another page has read, this one would have, too.
    await other.locator('#visits a.ip', { hasText: '203.0.113.45' }).waitFor()
    expect(await page.locator('#visits a.ip', { hasText: '203.0.113.45' }).count()).toBe(0)
    await page.keyboard.press('p')
    await page.locator('#visits a.ip', { hasText: '203.0.113.45' }).waitFor()
  })

  test('by day and by night as it was said here, on the next page, too', async () => {
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.goto(at())
    const paper = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const dark = await paper()
    await page.click('#theme')
    const light = await paper()
    expect(light).not.toBe(dark)
    // A page says a cookie, and the browser has it a moment later.
    await expect.poll(async () => (await context.cookies()).map(({ value }) => value)).toContain('light')
    await page.goto(at('health'))
    expect(await paper()).toBe(light)
  })

  test('where there is no page a browser reads one with a way back, and a program JSON', async () => {
    expect((await page.goto(at('no/such')))?.status()).toBe(404)
    expect(await page.textContent('main')).toContain('There is no page at /no/such.')
    await page.click('main a')
    expect(page.url()).toBe(at())
    const asked = await context.request.get(at('nosuch'), { headers: { accept: 'application/json' } })
    expect([asked.status(), ((await asked.json()) as { error: string }).error]).toEqual([
      404,
      'there is no GET /nosuch here',
    ])
  })

  /** What is no address by its syntax is refused at RCPT and told by nobody; what is one, is on the page. */
  test.each([
    {
      kind: 'ANSI',
      ip: '203.0.113.71',
      helo: '\u001b]0;owned\u0007\u001b[31m',
      shown: String.raw`no host name: \x1b]0;owned\x07\x1b[31m`,
      recipient: '\u001b[31m',
    },
    {
      kind: 'HTML',
      ip: '203.0.113.72',
      helo: '<script>alert(1)</script>',
      shown: 'no host name: <script>alert(1)</script>',
      recipient: '&lt;img/src=x/onerror=alert(1)&gt;',
      told: '&lt;img/src=x/onerror=alert(1)&gt;@example.test',
    },
    {
      kind: 'an attribute',
      ip: '203.0.113.73',
      helo: `"'><svg/onload=alert(1)>`,
      shown: `no host name: "'><svg/onload=alert(1)>`,
      recipient: `"'/onfocus=alert(1)//`,
      told: `"'/onfocus=alert(1)//@example.test`,
    },
    {
      kind: 'bidi',
      ip: '203.0.113.74',
      helo: 'moc.\u202eknab',
      shown: String.raw`no host name: moc.\xe2\x80\xaeknab`,
      recipient: 'moc.\u202eknab',
      told: String.raw`moc.\x202eknab@example.test`,
    },
    { kind: 'newlines', ip: '203.0.113.75', helo: 'a\nFROB\rb', shown: 'a single label: a', recipient: 'a\rb' },
  ])('what a client says is text: $kind in HELO and recipient', async ({ ip, helo, shown, recipient, told }) => {
    await misbehave(ip, `EHLO ${helo}`, 'MAIL FROM:<x@bot.example>', `RCPT TO:<${recipient}@example.test>`)
    for (const path of ['', `clients/${ip}`]) {
      await page.goto(at(path))
      const said = page.locator(path ? '#wire' : `tr:has(a.ip:text-is("${ip}"))`).locator('q')
      await said.getByText(shown, { exact: true }).waitFor()
      const texts = await said.allTextContents()
      expect(texts).toContain(shown)
      expect(texts.filter((text) => text.endsWith('@example.test'))).toEqual(told === undefined ? [] : [told])
      expect(texts.filter((text) => !/^[\x20-\x7e]*$/.test(text))).toEqual([])
      const whole = (await page.textContent('main'))?.replaceAll('\n', '')
      expect(whole).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      expect(await said.locator('*').count()).toBe(0)
      expect(await page.locator('main :is(script, img, [onload], [onerror], [onfocus])').count()).toBe(0)
    }
    expect(troubles).toEqual([])
  })

  test('what waits for a person is enlisted, or discarded, by one', async () => {
    const bots = Array.from({ length: PER_NETWORK + 2 }, (_, i) => `192.0.2.${i + 101}`)
    await Promise.all(bots.map((ip) => misbehave(ip, 'MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')))
    await logIn('otto')
    await page.goto(at('decisions'))
    const waiting = page.locator('#waiting tbody tr')
    await waiting.nth(1).waitFor()
    expect(await waiting.count()).toBe(2)
    expect(await waiting.first().textContent()).toContain('too many of its network')
    for (const word of ['enlist', 'discard']) {
      const ip = (await waiting.first().locator('a.ip').textContent()) ?? ''
      await waiting.first().locator(`[data-say=${word}]`).click()
      expect(await page.locator('dialog [name=for]').isVisible()).toBe(false)
      await page.fill('dialog [name=because]', 'looked at it')
      await page.keyboard.press('Enter')
      await waiting.filter({ hasText: ip }).waitFor({ state: 'detached' })
      await page.goto(at(`decisions?q=${ip}/32`))
      expect(await page.locator('#decisions a.ip').allTextContents()).toEqual(word === 'enlist' ? [ip] : [])
    }
    expect(await waiting.count()).toBe(0)
    expect(troubles).toEqual([])
  })

  test('without scripts every page is there, finds and narrows; what only a script can do is not offered', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false })
    const bare = await plain.newPage()
    await misbehave('203.0.113.60')
    await bare.goto(at('login'))
    await bare.fill('[name=name]', 'otto')
    await bare.fill('[name=password]', PASSWORD)
    await bare.click('button.main')
    for (const path of ['decisions', 'rules', 'health', '']) {
      await bare.click(`nav a[href="./${path}"]`)
      await bare.locator(`nav [aria-current=page][href="./${path}"]`).waitFor()
    }
    expect(await bare.locator('#visits a.ip', { hasText: '203.0.113.60' }).count()).toBe(1)
    expect(await bare.locator(':is(.acts, #pause, #theme, #help, .line):visible').count()).toBe(0)
    await bare.fill('.filter [name=q]', 'nobody does this')
    await bare.click('.filter button')
    expect(await bare.textContent('.empty')).toBe('Nobody of those that came is like this.')
    await bare.fill('.find input', '203.0.113.60')
    await bare.keyboard.press('Enter')
    await bare.waitForURL(/clients\/203\.0\.113\.60$/)
    await plain.close()
  })

  test('a viewer sees no buttons, and is refused without them', async () => {
    await logIn('vera')
    expect(await page.locator('[data-say]').count()).toBe(0)
    const proof = await page.getAttribute('meta[name=proof]', 'content')
    const data = { word: 'block', target: '203.0.113.1', because: 'no' }
    const headers = { 'x-decoymx-proof': proof ?? '' }
    expect((await context.request.post(at('api/v1/words'), { data, headers })).status()).toBe(403)
  })

  test("another site's page, and a request without the page's proof, say nothing", async () => {
    await logIn('otto')
    const data = { word: 'block', target: '203.0.113.2', because: 'forged' }
    const unproved = await context.request.post(at('api/v1/words'), { data })
    expect([unproved.status(), await unproved.text()]).toEqual([
      403,
      expect.stringContaining('not sent by a page') as string,
    ])
    const proof = (await page.getAttribute('meta[name=proof]', 'content')) ?? ''
    const headers = { 'x-decoymx-proof': proof, origin: 'http://evil.example' }
    expect((await context.request.post(at('api/v1/words'), { data, headers })).status()).toBe(403)
    expect(
      (await context.request.post(at('api/v1/words'), { data, headers: { 'x-decoymx-proof': proof } })).status(),
    ).toBe(200)
  })

  test('a wrong password is refused, and many of them are made to wait', async () => {
    const form = { name: 'otto', password: 'wrong' }
    const statuses: number[] = []
    for (let i = 0; i < 11; i++) statuses.push((await context.request.post(at('login'), { form })).status())
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429])
  })

  test('a link from the socket logs in, once, with the rights it was made for', async () => {
    const { url } = JSON.parse((await appliance.decoymx('console', '--json')).stdout) as { url: string }
    await page.goto(url)
    expect(page.url()).toBe(at())
    expect(await page.textContent('.who')).toContain('operator')
    const [cookie] = await context.cookies()
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' })
    expect((await page.goto(url))?.status()).toBe(401)
  })

  test('below a path that a proxy gives it: nobody is near there, and by a link everything works', async () => {
    const below = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/mail/decoys/`
    await page.goto(below)
    expect(page.url()).toBe(`${below}login`)
    const { url } = JSON.parse((await appliance.decoymx('console', '--json')).stdout) as { url: string }
    await page.goto(`${below}login${new URL(url).search}`)
    expect(page.url()).toBe(below)
    expect((await context.cookies())[0]).toMatchObject({ path: '/mail/decoys' })
    for (const name of ['Decisions', 'Rules', 'Health', 'Live']) {
      await page.click(`nav >> text=${name}`)
      await page.locator('nav [aria-current=page]', { hasText: name }).waitFor()
    }
    await page.goto(`${below}rules`)
    await page.click('[data-do=check]')
    await page.locator('#saying').getByText('Sound').waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('203.0.113.20')
    await page.keyboard.press('Enter')
    await page.waitForURL(`${below}clients/203.0.113.20`)
    expect(troubles).toEqual([])
  })

  test('each page, light and dark and on a phone, is whole: nothing sticks out', async () => {
    await misbehave('203.0.113.21', 'MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>', 'DATA')
    const { url } = JSON.parse((await appliance.decoymx('console', '--json')).stdout) as { url: string }
    await page.goto(url)
    for (const path of ['', 'clients/203.0.113.21', 'decisions', 'rules', 'health'])
      for (const [name, width, colorScheme] of [
        ['light', 1200, 'light'],
        ['dark', 1200, 'dark'],
        ['phone', 390, 'light'],
      ] as const) {
        await page.setViewportSize({ width, height: 800 })
        await page.emulateMedia({ colorScheme })
        await page.goto(at(path))
        expect([path, name, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([path, name, width])
        const file = `${path.split('/')[0] || 'live'}-${name}.png`
        if (SCREENS) await page.screenshot({ path: join(SCREENS, file) })
      }
    expect(troubles).toEqual([])
  })
})

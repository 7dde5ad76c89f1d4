/**
 * Rules edited in a real browser, over a real appliance: what is wrong is shown at its line, what would change is told before it does,
 * and what is saved is on the wire. Nobody's edit is undone unseen, and whoever may only read, only reads.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type Page } from 'playwright-core'
import { stringify } from 'yaml'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { digestOfPassword } from '../../src/console/sessions.ts'
import { Visitor } from '../decoy/visitors.ts'
import { openBrowser } from './browser.ts'
import { type Appliance, startAppliance, askPolicy } from './appliance.ts'

const PASSWORD = 'a long walk to the sea'
/** Where the screenshots go, for whoever wants to look: SCREENS=folder. */
const SCREENS = process.env['SCREENS']
type State = Awaited<ReturnType<BrowserContext['storageState']>>
const DRAWN =
  'document.querySelector("#replayed img").decode().then(() => document.querySelector("#replayed img").naturalWidth)'
const HOSTILE = '"]</textarea><img src=x onerror=alert(1)><script>alert(2)</script>'

describe.skipIf(inject('missing').includes('chromium'))('the rules editor', () => {
  let appliance: Appliance
  let browser: Browser
  let context: BrowserContext
  let page: Page
  let folder: string
  let rules: string
  let harsher: string
  /** Who talks first is only observed under these, and blocked under those that we ship. */
  let soft: string
  let troubles: string[]
  const inside = new Map<string, State>()
  const at = (path = '') => `http://127.0.0.1:${appliance.door('HTTP').port}/${path}`

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dmx-editor-'))
    rules = join(folder, 'rules.yaml')
    harsher = await readFile(join(import.meta.dirname, '../../rules.yaml'), 'utf8')
    soft = harsher.replace('weight: 110', 'weight: 40')
    await writeFile(rules, soft)
    const password = await digestOfPassword(PASSWORD)
    const accounts = ['vera viewer', 'otto operator'].map((each) => {
      const [name, rights] = each.split(' ')
      return { name, rights, password }
    })
    await writeFile(join(folder, 'access.yaml'), stringify({ accounts }))
    const http = { listen: ['127.0.0.1:0'], 'access-file': join(folder, 'access.yaml'), 'edit-rules': true }
    appliance = await startAppliance({ rules, settings: { http, reload: { bound: 2 } } })
    browser = await openBrowser()
    for (const name of ['otto', 'vera']) {
      const door = await browser.newContext()
      await door.request.post(at('login'), { form: { name, password: PASSWORD } })
      inside.set(name, await door.storageState())
      await door.close()
    }
  })
  afterAll(async () => {
    await browser?.close()
    await appliance?.clear()
    await rm(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    context = await browser.newContext()
    page = await context.newPage()
    troubles = []
    page.on('pageerror', (error) => troubles.push(error.message))
    page.on('dialog', (dialog) => (troubles.push(`${dialog.type()}: ${dialog.message()}`), dialog.accept()))
  })
  afterEach(async () => {
    await context.close()
    expect(troubles).toEqual([])
  })

  const edit = async (name: 'otto' | 'vera'): Promise<void> => {
    const { cookies } = inside.get(name) as State
    await context.addCookies(cookies)
    await page.goto(at('rules'))
  }
  const said = (pattern: RegExp | string) => page.locator('#saying').getByText(pattern).first().waitFor()
  const proof = async () => ({
    'x-decoymx-proof': (await page.getAttribute('meta[name=proof]', 'content')) ?? '',
  })
  /** The old one waits until the change has been loaded, too. */
  const putInPlace = async (source: string): Promise<void> => {
    const mark = appliance.mark()
    await writeFile(rules, source)
    await appliance.heard(/rules: \d+ from/, mark)
  }

  async function talkFirst(ip: string): Promise<void> {
    const mark = appliance.mark()
    const bot = new Visitor(connect({ ...appliance.door('backup decoy, PROXY'), allowHalfOpen: true }))
    bot.socket.write(`PROXY TCP4 ${ip} 127.0.0.1 40000 25\r\nEHLO bot.example\r\n`)
    await bot.reply()
    await bot.walk('MAIL FROM:<x@bot.example>', 'RCPT TO:<a@example.test>')
    bot.socket.end('QUIT\r\n')
    await bot.ended
    await appliance.heard(new RegExp(ip.replaceAll('.', '\\.')), mark)
  }
  test('a wrong rule is shown at its line, with the caret below it; a click goes there', async () => {
    await edit('otto')
    const wrong = soft.replace('weight: 40', 'wieght: 40')
    const line = wrong.slice(0, wrong.indexOf('wieght')).split('\n').length
    await page.fill('#source', wrong)
    await page.keyboard.press('Control+Enter')
    const problem = page.locator('#problems li.error', { hasText: 'no such key' })
    await problem.waitFor()
    expect(await problem.locator('pre').textContent()).toMatch(/^ +wieght: 40\n +\^{6}$/)
    expect(await problem.textContent()).toContain('did you mean weight?')
    expect(await page.locator('.gutter .error').allTextContents()).toEqual([`${line}\n`])
    // What comes as JSON names commands; here they are as they are typed on the host.
    const called = await page.evaluate('document.body.dataset.called')
    expect(called).toMatch(/^(?:npx decoymx|node src\/start\.js)$/)
    expect(
      await page.evaluate(
        "import('./assets/elements.js').then(({ asTyped }) => asTyped('decoymx runs; see decoymx governor, or npx decoymx list'))",
      ),
    ).toBe(`decoymx runs; see ${String(called)} governor, or npx decoymx list`)
    await problem.getByRole('button').click()
    const [active, selected] = (await page.evaluate(
      `[document.activeElement.id, document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)]`,
    )) as string[]
    expect([active, selected]).toEqual(['source', 'wieght: 40'])
    await page.click('[data-do=revert]')
  })

  test('what would change is told, replayed, saved, and on the wire', async () => {
    await talkFirst('203.0.113.7')
    expect(await askPolicy(appliance, '203.0.113.7')).toBe('action=DUNNO')
    await edit('otto')
    expect(await page.isDisabled('[data-do=save]')).toBe(true)
    await page.fill('#source', harsher)
    expect(await page.locator('#unsaved').isVisible()).toBe(true)
    expect(await page.locator('#rules-now').isVisible()).toBe(false)
    await page.click('[data-do=check]')
    await said(/^\+1 listed(?!, -0)/)
    await page.click('[data-do=replay]')
    await said(/1 newly listed/)
    expect(await page.evaluate(DRAWN)).toBe(1080)
    expect(await page.locator('#replayed td a').allTextContents()).toEqual(['203.0.113.7'])
    if (SCREENS) await page.screenshot({ path: join(SCREENS, 'editor-replay.png'), fullPage: true })
    await page.click('#source')
    await page.keyboard.press('Control+s')
    await said(/Saved, and in use/)
    expect(await askPolicy(appliance, '203.0.113.7')).toMatch(/^action=REJECT/)
    expect(await readFile(rules, 'utf8')).toBe(harsher)
    expect(await readFile(`${rules}.bak`, 'utf8')).toBe(soft)
    expect((await readdir(folder)).filter((name) => name.includes('.new'))).toEqual([])
    await appliance.heard(/"by":"otto","before":"[0-9a-f]{12}","digest":"[0-9a-f]{12}".*rules: saved by otto/)
    await appliance.heard(/rules: \+1 listed, -0 released/)
  })

  test("somebody else's edit in between is told with what it was, and is not undone unseen", async () => {
    await edit('otto')
    const mine = harsher.replace('defer: 70', 'defer: 65')
    await page.fill('#source', mine)
    const base = (await page.getAttribute('#editor', 'data-digest')) ?? ''
    const theirs = harsher.replace('defer: 70', 'defer: 60')
    await putInPlace(theirs)
    const answer = await page.request.put(at('api/v1/rules'), {
      data: { source: mine },
      headers: { ...(await proof()), 'if-match': `"${base}"` },
    })
    expect([answer.status(), await answer.text()]).toEqual([412, expect.stringContaining('somebody else') as string])
    await page.click('[data-do=save]')
    await said(/Somebody else has changed/)
    expect(await page.locator('#saying pre').textContent()).toMatch(/^ *(\d+) - +defer: 70.*\n *\1 \+ +defer: 60.*$/)
    expect(await readFile(rules, 'utf8')).toBe(theirs)
    expect(await page.inputValue('#source')).toBe(mine)
    await page.getByRole('button', { name: 'Keep mine' }).click()
    await page.click('[data-do=save]')
    await said(/Saved, and in use/)
    expect(await readFile(rules, 'utf8')).toBe(mine)
  })

  test('who has changed nothing sees what others save, as it is', async () => {
    await edit('otto')
    await putInPlace(harsher)
    await said('This is the file as it is now.')
    expect(await page.inputValue('#source')).toBe(harsher)
  })

  test('a hostile text is text: in the editor, in what is wrong with it, and in the replay', async () => {
    await putInPlace(soft)
    const hostile = `${HOSTILE}\n${harsher}`
    const mark = appliance.mark()
    await writeFile(rules, hostile)
    await appliance.heard(/the old rules stay/, mark)
    await edit('otto')
    expect(await page.inputValue('#source')).toBe(hostile)
    await page.locator('#rules-now .alarm').waitFor()
    await page.click('[data-do=check]')
    await page.locator('#problems li').first().waitFor()
    await page.fill('#source', harsher.replace(/because: .*/g, `because: '${HOSTILE}'`))
    await page.click('[data-do=replay]')
    await said(/newly listed/)
    expect(await page.locator('#replayed td.wide').first().textContent()).toContain('<img src=x')
    expect(await page.locator('main :is([onerror], img[src=x]), main script:not([src])').count()).toBe(0)
    await page.click('[data-do=revert]')
    await putInPlace(harsher)
  })

  test('beyond the bound it is saved only if it is meant', async () => {
    await edit('otto')
    await putInPlace(soft)
    for (const ip of ['203.0.114.1', '203.0.115.1', '203.0.116.1']) await talkFirst(ip)
    await page.reload()
    await page.fill('#source', harsher)
    await page.click('[data-do=save]')
    await said(/Not saved: these rules would newly refuse \d clients/)
    expect(await readFile(rules, 'utf8')).toBe(soft)
    await page.check('[name=force]')
    await page.click('[data-do=save]')
    await said(/Saved, and in use/)
  })

  test('a viewer reads, and can do nothing else', async () => {
    await edit('vera')
    expect(await page.inputValue('#source')).toBe(await readFile(rules, 'utf8'))
    expect([await page.locator('[data-do]').count(), await page.isEditable('#source')]).toEqual([0, false])
    for (const [method, path] of [
      ['POST', 'api/v1/rules/check'],
      ['POST', 'api/v1/rules/replay'],
      ['PUT', 'api/v1/rules'],
    ] as const) {
      const options = { method, data: { source: harsher }, headers: await proof() }
      expect([path, (await page.request.fetch(at(path), options)).status()]).toEqual([path, 403])
    }
  })

  test('without scripts the file is there to be read', async () => {
    const still = await browser.newContext({ javaScriptEnabled: false })
    const quiet = await still.newPage()
    await quiet.goto(at('rules'))
    expect(await quiet.inputValue('#source')).toBe(await readFile(rules, 'utf8'))
    await still.close()
  })

  test('unsaved changes are warned of before the page is left', async () => {
    await edit('otto')
    await page.fill('#source', soft)
    await page.click('nav >> text=Health')
    await page.waitForURL(/health$/)
    expect(troubles.splice(0)).toEqual([expect.stringMatching(/^beforeunload: /)])
  })

  test('light and dark and on a phone, the page is whole: nothing sticks out', async () => {
    await edit('otto')
    for (const [name, width, colorScheme] of [
      ['light', 1200, 'light'],
      ['dark', 1200, 'dark'],
      ['phone', 400, 'light'],
    ] as const) {
      await page.setViewportSize({ width, height: 800 })
      await page.emulateMedia({ colorScheme })
      await page.fill('#source', soft.replace('weight: 40', 'wieght: 40'))
      await page.click('[data-do=check]')
      await page.locator('#problems li').first().waitFor()
      expect([name, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([name, width])
      if (SCREENS) await page.screenshot({ path: join(SCREENS, `editor-${name}.png`), fullPage: true })
    }
    await page.click('[data-do=revert]')
  })

  test.each([1440, 1280, 1000, 700])('at %i pixels no rule is cut off, and the head is one row', async (width) => {
    await page.setViewportSize({ width, height: 800 })
    await page.goto(at('rules'))
    const cut = `[...document.querySelectorAll('#rules, #rules td')].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.textContent)`
    expect(await page.evaluate(cut)).toEqual([])
    if (SCREENS) await page.screenshot({ path: join(SCREENS, `rules-${width}.png`) })
    const middles = `[...document.querySelector('.top').children].filter((box) => box.offsetHeight).map((box) => Math.round(box.offsetTop + box.offsetHeight / 2))`
    const rows = new Set((await page.evaluate(middles)) as number[])
    if (width >= 1000) expect(Math.max(...rows) - Math.min(...rows)).toBeLessThan(8)
  })

  test('on a wide screen the file stands beside its rules and stays in view; on a narrow one below them', async () => {
    await edit('otto')
    const boxes = async (width: number) => {
      await page.setViewportSize({ width, height: 800 })
      const [rulesBox, editorBox] = [
        await page.locator('#rules').boundingBox(),
        await page.locator('#editor').boundingBox(),
      ]
      if (!rulesBox || !editorBox) throw new Error('neither is there')
      return { rules: rulesBox, editor: editorBox }
    }
    const wide = await boxes(1440)
    expect(wide.editor.x).toBeGreaterThan(wide.rules.x + wide.rules.width)
    await page.evaluate('scrollTo(0, document.body.scrollHeight)')
    const { editor } = await boxes(1440)
    expect(editor.y).toBeGreaterThanOrEqual(0)
    expect(editor.y + editor.height).toBeLessThanOrEqual(800)
    const narrow = await boxes(1100)
    expect(narrow.editor.y).toBeGreaterThan(narrow.rules.y + narrow.rules.height)
  })
})

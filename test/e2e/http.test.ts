/** The HTTP API as the world meets it: who may come in, what is refused and how, and that every answer is as the document says. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { z } from 'zod'
import type { proposalSchema, rulesFileSchema } from '../../src/answer/editing.ts'
import { openApiDocument } from '../../src/answer/openapi.ts'
import { type Route, ROUTES } from '../../src/answer/routes.ts'
import { mistakeSchema } from '../../src/answer/views.ts'
import { ask as askSocket } from '../../src/command/appliance.ts'
import { readRules } from '../../src/core/rules.ts'
import { type Appliance, startAppliance, askPolicy } from './appliance.ts'

const TOKENS = { reader: 'viewer', robot: 'operator', gone: 'operator' } as const
const OPERATOR = { authorization: 'Bearer robot' }
const VIEWER = { authorization: 'Bearer reader' }
const STRANGER = '127.0.0.2'
const SOUND = readFileSync(join(import.meta.dirname, '../../rules.yaml'), 'utf8')
let appliance: Appliance
let folder: string
let accessFile: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dmx-http-'))
  accessFile = join(folder, 'access.yaml')
  const tokens = Object.entries(TOKENS).map(([name, rights]) => ({
    name,
    rights,
    sha256: createHash('sha256').update(name).digest('hex'),
    ...(name === 'gone' ? { until: '2020-01-01' } : {}),
  }))
  await writeFile(accessFile, stringify({ tokens }))
  const http = { listen: ['127.0.0.1:0'], readers: ['127.0.0.1/32'], scrapers: ['127.0.0.1/32'] }
  appliance = await startAppliance({ settings: { http: { ...http, 'access-file': accessFile } } })
})
afterAll(async () => {
  await appliance?.clear()
  await rm(folder, { recursive: true, force: true })
})

type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }
type Asking = {
  method?: string
  headers?: Record<string, string>
  body?: unknown
  from?: string
  enough?: RegExp
  /** It is on its way, whole. */
  sent?: () => void
}

/**
 * `enough`: of a stream without end, what is waited for. Each has a connection of its own: one that is kept may be closed while
 * we write on it (RFC 9112, section 9.5), as it is by a server that got no time for some seconds, and that is no fault of its.
 */
function ask(path: string, { method = 'GET', headers = {}, body, from = '127.0.0.1', enough, sent }: Asking = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
    const json = { 'content-length': `${Buffer.byteLength(payload)}`, 'content-type': 'application/json' }
    const place = {
      ...appliance.door('HTTP'),
      localAddress: from,
      agent: false,
      path,
      method,
      headers: { ...(body === undefined ? {} : json), ...headers },
    }
    const asked = request(place, (response) => {
      const { statusCode: status = 0, headers } = response
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (enough?.test(text)) {
          resolve({ status, headers, text })
          asked.destroy()
        }
      })
      response.on('end', () => resolve({ status, headers, text }))
    })
    asked.on('error', reject)
    if (sent) asked.on('finish', sent)
    asked.end(payload)
  })
}

const say = (word: string, target: string, more: object = {}) => ({ word, target, because: 'a test', ...more })
const mistakeIn = ({ text }: Answer): string => mistakeSchema.parse(JSON.parse(text)).error

describe('who may come in', () => {
  test('from near, reading needs nothing: the first five minutes', async () => {
    expect((await ask('/api/v1/clients/192.0.2.1')).status).toBe(200)
    expect((await ask('/metrics')).status).toBe(200)
  })

  test('nobody writes without a token', async () => {
    const answer = await ask('/api/v1/words', { method: 'POST', body: say('allow', '192.0.2.1') })
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer'])
    expect(mistakeIn(answer)).toContain('reading needs no token here')
  })

  test('a stranger is told who may, on every route', async () => {
    for (const { method, path } of Object.values<Route>(ROUTES)) {
      const asking = method === 'get' ? {} : { method: method.toUpperCase(), body: {} }
      const answer = await ask(path, { ...asking, from: STRANGER })
      expect([path, answer.status, mistakeIn(answer)]).toEqual([path, 401, 'who are you?'])
    }
  })

  test.each([
    ['a proxy on this host brings the whole world', { 'x-forwarded-for': '198.51.100.1' }],
    ['and so says its Via', { via: '1.1 proxy' }],
    ['a name that was made to lead here (DNS rebinding)', { host: 'evil.example:8025' }],
  ])('who comes from near is not believed to be near: %s', async (_, headers) => {
    expect((await ask('/api/v1/status', { headers })).status).toBe(401)
    expect((await ask('/api/v1/status', { headers: { ...headers, ...VIEWER } })).status).toBe(200)
  })

  test('a token reads from anywhere, and writes only as an operator', async () => {
    const body = say('allow', '192.0.2.1', { for: '1h', author: 'somebody else' })
    expect((await ask('/api/v1/decisions', { from: STRANGER, headers: VIEWER })).status).toBe(200)
    const refused = await ask('/api/v1/words', { method: 'POST', body, headers: VIEWER })
    expect([refused.status, mistakeIn(refused)]).toEqual([403, 'reader may read, and this wants an operator'])
    expect((await ask('/api/v1/words', { method: 'POST', body, headers: OPERATOR, from: STRANGER })).status).toBe(200)
    const { words } = JSON.parse((await ask('/api/v1/words')).text) as { words: { author: string }[] }
    expect(words[0]).toMatchObject({ word: 'allow', target: '192.0.2.1/32', author: 'robot' })
  })

  test.each(['Bearer nobody', 'Bearer gone', 'Basic cm9ib3Q6', 'Bearer', `Bearer ${'x'.repeat(5000)}`])(
    'a token that is none is refused even where none is needed: %.20s',
    async (authorization) => {
      const answer = await ask('/api/v1/status', { headers: { authorization } })
      expect([answer.status, mistakeIn(answer)]).toEqual([401, 'this token is not known here, or has ended'])
    },
  )

  test('the access file is read again on SIGHUP; with a mistake in it the old one stays', async () => {
    const sha256 = createHash('sha256').update('newcomer').digest('hex')
    const headers = { authorization: 'Bearer newcomer' }
    const mark = appliance.mark()
    await writeFile(accessFile, stringify({ tokens: [{ name: 'newcomer', rights: 'king', sha256 }] }))
    appliance.signal('SIGHUP')
    await appliance.heard(/access\.yaml:3:13: tokens.*rights/, mark)
    expect((await ask('/api/v1/status', { headers: VIEWER })).status).toBe(200)
    const tokens = Object.keys(TOKENS).map((name) => ({
      name,
      rights: TOKENS[name as keyof typeof TOKENS],
      sha256: createHash('sha256').update(name).digest('hex'),
    }))
    await writeFile(accessFile, stringify({ tokens: [...tokens, { name: 'newcomer', rights: 'viewer', sha256 }] }))
    const again = appliance.mark()
    appliance.signal('SIGHUP')
    await appliance.heard(/access: 4 tokens, 0 accounts/, again)
    expect((await ask('/api/v1/status', { headers })).status).toBe(200)
  })
})

describe('what a page of another site sends is refused', () => {
  const body = say('block', '198.51.100.9')
  test.each<[string, Asking]>([
    ['a form', { method: 'POST', body, headers: { ...OPERATOR, 'sec-fetch-site': 'cross-site' } }],
    ['another port of this host', { method: 'POST', body, headers: { ...OPERATOR, 'sec-fetch-site': 'same-site' } }],
    ['an old browser', { method: 'POST', body, headers: { ...OPERATOR, origin: 'http://evil.example' } }],
    ['a sandbox', { method: 'POST', body, headers: { ...OPERATOR, origin: 'null' } }],
    ['a script tag that reads', { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' } }],
    ['a link to the API', { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' } }],
  ])('%s', async (_, asking) => {
    const answer = await ask('/api/v1/words', asking)
    expect([answer.status, mistakeIn(answer)]).toEqual([403, 'a page of another site sent this'])
  })

  test('our own page is not', async () => {
    const headers = { 'sec-fetch-site': 'same-origin', origin: 'https://anywhere.example' }
    expect((await ask('/api/v1/words', { headers })).status).toBe(200)
  })
})

describe('bad requests', () => {
  test.each<[number, RegExp, Asking]>([
    [400, /^word: expected allow or .*, got "praise"$/, { body: say('praise', '192.0.2.1') }],
    [400, /^target: expected a text of at most 64 characters, got "xxx/, { body: say('allow', 'x'.repeat(65)) }],
    [400, /^target: missing; .*; because: missing; expected a word or two$/, { body: { word: 'allow' } }],
    [400, /^until: no such field$/, { body: say('allow', '192.0.2.1', { until: 'noon' }) }],
    [400, /^for: expected a time span like 15m/, { body: say('allow', '192.0.2.1', { for: 7 }) }],
    [400, /^the body: expected JSON, got "\[1"$/, { body: '[1' }],
    [400, /^the body: missing; expected a JSON object$/, { body: '' }],
    [413, /larger than 16384 bytes/, { body: say('allow', '192.0.2.1', { because: 'x'.repeat(20_000) }) }],
    [415, /must be application\/json/, { body: 'word=allow', headers: { 'content-type': 'text/plain' } }],
    [
      415,
      /must be application\/json/,
      { body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    ],
  ])('%i %s', async (status, error, asking) => {
    const answer = await ask('/api/v1/words', {
      method: 'POST',
      ...asking,
      headers: { ...OPERATOR, ...asking.headers },
    })
    expect([answer.status, mistakeIn(answer)]).toEqual([status, expect.stringMatching(error) as unknown])
  })

  test('a wrong address, a wrong network, an unknown query, a wrong method, a wrong path', async () => {
    expect(mistakeIn(await ask('/api/v1/clients/mail.example.org'))).toBe(
      'expected an IP address, got "mail.example.org": that is a host name, and clients are known by their addresses',
    )
    expect(mistakeIn(await ask('/api/v1/decisions?within=300.0.0.0/8'))).toMatch(/^within: .*300\.0\.0\.0\/8/)
    expect(mistakeIn(await ask('/api/v1/decisions?wihtin=192.0.2.0/24'))).toBe('wihtin: no such field')
    const put = await ask('/api/v1/words', { method: 'PUT', headers: OPERATOR })
    expect([put.status, put.headers.allow]).toEqual([405, 'GET, POST'])
    const post = await ask('/api/v1/decisions', { method: 'POST', headers: OPERATOR })
    expect(JSON.parse(post.text)).toEqual({
      error: '/api/v1/decisions takes GET, not POST',
      hint: 'words are said at POST /api/v1/words',
    })
    expect((await ask('/api/v2/words')).status).toBe(404)
    expect(mistakeIn(await ask('/api/v1/exports/xml'))).toBe('there is no such format of an export: got "xml"')
  })

  test('whatever is sent to any path, the answer is below 500 and JSON says why', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'POST', 'PUT', 'DELETE'),
        fc.array(fc.webSegment(), { maxLength: 4 }),
        fc.json(),
        async (method, segments, json) => {
          const body = method === 'GET' ? undefined : json
          const path = `/api/v1/${segments.join('/')}`
          const answer = await ask(path, { method, body, headers: OPERATOR })
          expect(answer.status).toBeLessThan(500)
          expect(mistakeIn(answer)).not.toBe('')
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('rules that are proposed', () => {
  const put = (source: string, headers: Record<string, string> = {}) =>
    ask('/api/v1/rules', { method: 'PUT', body: { source }, headers: { ...OPERATOR, ...headers } })
  const check = (body: unknown, headers: Record<string, string> = OPERATOR) =>
    ask('/api/v1/rules/check', { method: 'POST', body, headers })

  test('are checked as the command checks them: every mistake, with its place; and sound ones have an effect', async () => {
    const unsound = SOUND.replace('defer: 70', 'defer: 700').replace('weight: 110', 'wieght: 110')
    const answer = JSON.parse((await check({ source: unsound })).text) as z.output<typeof proposalSchema>
    const read = readRules('rules.yaml', unsound)
    expect(answer).toEqual({
      ok: false,
      problems: read.ok ? [] : read.problems,
      warnings: [],
      effect: null,
      told: null,
    })
    expect(answer.problems.length).toBeGreaterThan(0)
    const soft = SOUND.replace('weight: 110', 'weight: 40')
    expect(JSON.parse((await check({ source: soft })).text)).toMatchObject({
      ok: true,
      problems: [],
      effect: { listed: 0 },
      told: expect.stringMatching(/^\+0 listed, -0 released, of \d+ known clients$/) as string,
    })
  })

  test('a file of the largest size is read, and beyond it each refusal says its bound', async () => {
    const most = `# ${'x'.repeat(262_000 - SOUND.length)}\n${SOUND}`
    expect(JSON.parse((await check({ source: most })).text)).toMatchObject({ ok: true })
    expect(JSON.parse((await check({ source: 'x'.repeat(262_145) })).text)).toMatchObject({
      problems: [{ code: 'D003' }],
    })
    const huge = await check({ source: 'x'.repeat(530_000) })
    expect([huge.status, mistakeIn(huge)]).toEqual([413, 'the body is larger than 525312 bytes'])
    expect(huge.headers.connection).toBe('close')
    const strange = await ask('/api/v1/rules/check', { method: 'POST', body: 'x'.repeat(530_000), from: STRANGER })
    expect(strange.status).toBe(401)
  })

  test.each<[number, RegExp, unknown]>([
    [400, /^source: /, {}],
    [400, /^source: /, { source: 7 }],
    [400, /^path: no such field$/, { source: SOUND, path: '/etc/passwd' }],
    [400, /^the body: expected JSON/, '['],
  ])('%i %s', async (status, error, body) => {
    for (const answer of [
      await check(body),
      await ask('/api/v1/rules/replay', { method: 'POST', body, headers: OPERATOR }),
    ])
      expect([answer.status, mistakeIn(answer)]).toEqual([status, expect.stringMatching(error) as unknown])
  })

  test('are not saved without the text that they were made of, nor where the settings do not say so', async () => {
    const read = await ask('/api/v1/rules', { headers: VIEWER })
    const { digest, source, hindrance } = JSON.parse(read.text) as z.output<typeof rulesFileSchema>
    expect([read.headers.etag, source]).toEqual([`"${digest}"`, SOUND])
    expect(hindrance?.hint).toContain('http.edit-rules')
    expect((await put(SOUND)).status).toBe(428)
    expect((await put(SOUND, { 'if-match': '*' })).status).toBe(428)
    const refused = await put(SOUND, { 'if-match': `"${digest}"` })
    expect([refused.status, mistakeIn(refused)]).toEqual([403, 'rules are not saved over HTTP here'])
    for (const [method, path] of [
      ['PUT', ''],
      ['POST', '/check'],
      ['POST', '/replay'],
    ] as const)
      expect((await ask(`/api/v1/rules${path}`, { method, body: { source: SOUND }, headers: VIEWER })).status).toBe(403)
  })

  test('are replayed one at a time; who leaves ends it', async () => {
    const asking = { method: 'POST', body: { source: SOUND }, headers: OPERATOR }
    const begun = await ask('/api/v1/rules/replay', { ...asking, enough: /^: decoymx/ })
    expect(begun.headers['content-type']).toBe('text/event-stream')
    // It ends with whoever asked: soon there is room for the next, which is then told what came of it.
    for (const since = performance.now(); ;) {
      const answer = await ask('/api/v1/rules/replay', asking)
      if (answer.status === 200) {
        expect(answer.text).toMatch(/event: (done|failed)\ndata: \{.*\}\n\n$/)
        break
      }
      expect([answer.status, mistakeIn(answer)]).toEqual([
        409,
        expect.stringMatching(/^robot replays already/) as string,
      ])
      if (performance.now() - since > 30_000) throw new Error('it has not ended within 30 s')
    }
    // All at once: one that comes when the first is done is no longer one too many.
    appliance.signal('SIGSTOP')
    const sent = [1, 2, 3].map(() => Promise.withResolvers<void>())
    const answers = sent.map(({ resolve }) => ask('/api/v1/rules/replay', { ...asking, sent: resolve }))
    await Promise.all(sent.map(({ promise }) => promise)).finally(() => appliance.signal('SIGCONT'))
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 409, 409])
  })
})

/** As the systemd unit has it: ProtectSystem=strict mounts /etc so. */
test.runIf(process.getuid?.() === 0)(
  'a rules file that is read-only here is not saved, and the answer says the way',
  async () => {
    const place = await mkdtemp(join(tmpdir(), 'dmx-readonly-'))
    const rules = join(place, 'rules.yaml')
    await writeFile(rules, SOUND)
    const mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    const fixed = await startAppliance({
      rules,
      settings: { http: { listen: ['127.0.0.1:0'], 'edit-rules': true } },
      launch: ['unshare', '--mount', 'sh', '-c', mount, place],
    })
    try {
      const { body } = (await askSocket(join(fixed.folder, 'state'), 'GET', '/api/v1/rules')) as {
        body: z.output<typeof rulesFileSchema>
      }
      expect(body.hindrance).toEqual({
        error: expect.stringContaining('EROFS') as string,
        hint: expect.stringContaining('docs/operating.md') as string,
      })
      expect(await readFile(rules, 'utf8')).toBe(SOUND)
    } finally {
      await fixed.clear()
      await rm(place, { recursive: true, force: true })
    }
  },
)

describe('the document', () => {
  test('has every route, and the appliance serves it', async () => {
    const { text } = await ask('/api/v1/openapi.json')
    const { paths, info } = JSON.parse(text) as { paths: Record<string, object>; info: { version: string } }
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(openApiDocument(info.version))))
    const inDocument = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    )
    const inTable = Object.values<Route>(ROUTES).map(
      ({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`,
    )
    expect(inDocument.toSorted()).toEqual(inTable.toSorted())
  })

  const TRIED: Record<keyof typeof ROUTES, readonly [path: string, body?: object][]> = {
    health: [['/healthz']],
    ready: [['/readyz']],
    metrics: [['/metrics']],
    status: [['/api/v1/status']],
    client: [['/api/v1/clients/203.0.113.7'], ['/api/v1/clients/2001:db8::7'], ['/api/v1/clients/nobody']],
    decisions: [['/api/v1/decisions'], ['/api/v1/decisions?within=203.0.113.0/24']],
    words: [['/api/v1/words'], ['/api/v1/words?within=203.0.113.7']],
    ticket: [['/api/v1/tickets/TICKET'], ['/api/v1/tickets/NONE-SUCH']],
    export: [['/api/v1/exports/plain'], ['/api/v1/exports/json'], ['/api/v1/exports/xml']],
    governor: [['/api/v1/governor']],
    events: [['/api/v1/events?role=real&within=203.0.113.7/32'], ['/api/v1/events?role=none']],
    openapi: [['/api/v1/openapi.json']],
    say: [
      ['/api/v1/words', say('block', '203.0.113.8', { for: '1d' })],
      ['/api/v1/words', say('discard', 'all')],
      ['/api/v1/words', {}],
    ],
    kernel: [
      ['/api/v1/kernel', { on: false }],
      ['/api/v1/kernel', { on: 1 }],
    ],
    link: [['/api/v1/console-links'], ['/api/v1/console-links', { rights: 'king' }]],
    canary: [['/api/v1/canary']],
    rules: [['/api/v1/rules']],
    check: [
      ['/api/v1/rules/check', { source: SOUND }],
      ['/api/v1/rules/check', { source: 'mode: [' }],
      ['/api/v1/rules/check', {}],
    ],
    replay: [
      ['/api/v1/rules/replay', { source: SOUND }],
      ['/api/v1/rules/replay', { source: 'mode: [' }],
    ],
    save: [['/api/v1/rules', { source: SOUND }], ['/api/v1/rules']],
    reload: [['/api/v1/reload'], ['/api/v1/reload', { force: 1 }]],
  }

  test.each(Object.keys(ROUTES) as (keyof typeof ROUTES)[])('%s answers as it says', async (id) => {
    const route: Route = ROUTES[id]
    await ask('/api/v1/words', { method: 'POST', headers: OPERATOR, body: say('block', '203.0.113.7') })
    const { decisions } = JSON.parse((await ask('/api/v1/decisions?within=203.0.113.7')).text) as {
      decisions: { ticket: string }[]
    }
    for (const [path, body] of TRIED[id]) {
      const answer = await ask(path.replace('TICKET', decisions[0]?.ticket ?? ''), {
        method: route.method.toUpperCase(),
        headers: OPERATOR,
        body,
        enough: /^: decoymx\n\n/,
      })
      const told = route.answers[answer.status] ?? { what: 'a mistake', schema: mistakeSchema }
      expect([path, answer.status < 500]).toEqual([path, true])
      const type = answer.headers['content-type'] ?? ''
      const schema = (told.schema ?? (answer.status >= 400 ? mistakeSchema : undefined)) as z.ZodType | undefined
      if (schema) expect([path, schema.safeParse(JSON.parse(answer.text)).error?.message]).toEqual([path, undefined])
      else expect(type).toMatch(/^(text\/|application\/)/)
    }
  })
})

test('what is seen is told to who follows, and only what was asked for', async () => {
  const path = '/api/v1/events?within=203.0.113.64/26&role=real'
  let ready = () => {}
  const opened = new Promise<void>((resolve) => (ready = resolve))
  const seen = ask(path, { enough: { test: (text: string) => (ready(), /event: evidence/.test(text)) } as RegExp })
  await opened
  for (const ip of ['203.0.113.1', '203.0.113.77']) expect(await askPolicy(appliance, ip)).toContain('action=')
  const { text } = await seen
  const data = /data: (.*)\n/.exec(text)?.[1] ?? ''
  expect(JSON.parse(data)).toMatchObject({ type: 'evidence', client: '203.0.113.77', role: 'real', kind: 'passed' })
})

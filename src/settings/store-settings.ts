/**
 * `store:` in decoymx.yaml: where the evidence of several hosts comes together. One Redis, the master that Sentinels name,
 * or a Cluster; who we are there; by TLS or plain.
 *
 * Secrets may stand in files of their own, or in the environment, which goes before the file of settings.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { z } from 'zod'
import { show } from '../core/complaints.ts'
import { duration, type Problem } from '../core/document.ts'
import type { Host, RedisAccess } from '../reputation/reputation.ts'
import { readCertificate } from './certificate.ts'

export type StoreSettings = z.output<typeof storeSchema>
export type RedisSettings = RedisAccess & {
  readonly commandTimeoutMs: number
  /** Where its secrets and certificates stand: whose change is worth a look. */
  readonly files: readonly string[]
}

/** The environment that says more about the store. */
export const STORE_ENVIRONMENT = [
  'DECOYMX_REDIS_URL',
  'DECOYMX_REDIS_URL_FILE',
  'DECOYMX_REDIS_PASSWORD',
  'DECOYMX_REDIS_PASSWORD_FILE',
] as const

const EXPECTED_URL =
  'expected redis://HOST:PORT/DATABASE, rediss://... for TLS, or the path of a socket, like /run/redis/redis.sock'
/** What an editor can check; readUrl knows better. */
const URL_FORM = /^(rediss?:\/\/[^/]|(unix:)?\/[^/])/
const HOSTS_MAX = 64

const host = z.string().transform((text, ctx): Host => {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text.trim())
  const name = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3])
  if (match && port > 0 && port <= 65_535 && (match[1] === undefined || isIPv6(name))) return { host: name, port }
  ctx.addIssue({ code: 'custom', message: `expected HOST:PORT, like redis-1.example.org:6379, got ${show(text)}` })
  return z.NEVER
})
const hosts = z.array(host).min(1).max(HOSTS_MAX)
const word = z.string().min(1).max(1000)

export const storeSchema = z
  .strictObject({
    url: z
      .string()
      .regex(URL_FORM, { error: (issue) => `${EXPECTED_URL}, got ${hidden(issue.input)}` })
      .optional()
      .describe('A Redis that several hosts share; without any, the store is embedded, in the state directory'),
    'url-file': z.string().optional().describe('A file that holds the url'),
    sentinel: z
      .strictObject({
        master: word.describe('What the Sentinels call the master'),
        at: hosts.describe('Where the Sentinels are, as HOST:PORT'),
        user: word.optional().describe('Who we are to the Sentinels'),
        password: word.optional().describe('Of the Sentinels themselves, where they ask for one'),
        'password-file': z.string().optional().describe('A file that holds it'),
      })
      .optional()
      .describe('In place of url: the master that Sentinels name, and after a failover the next'),
    cluster: hosts
      .optional()
      .describe('In place of url: some nodes of a Redis Cluster, as HOST:PORT; it tells the rest'),
    user: word
      .optional()
      .describe('Our ACL user, where the url names none; docs/redis.md has the rights that it needs'),
    password: word.optional().describe('Its password; better in a file of its own'),
    'password-file': z.string().optional().describe('A file that holds the password'),
    database: z.int().min(0).max(65_535).optional().describe('With sentinel; a url names it, a Cluster has one only'),
    tls: z
      .strictObject({
        ca: z.string().optional().describe('Whom to believe, in PEM form; without it whom the system believes'),
        certificate: z.string().optional().describe('What we show, where the server asks for it, in PEM form'),
        key: z.string().optional().describe('Its private key, in PEM form'),
        'server-name': word
          .optional()
          .describe('The name in the certificates of the servers, where it is not the one we connect to'),
      })
      .optional()
      .describe('With rediss://, sentinel or cluster: by TLS, with these. {} is enough where the system trusts the CA'),
    'command-timeout': duration()
      .refine((ms) => ms >= 10 && ms <= 10_000, { error: 'expected a span from 10ms to 10s' })
      .prefault('500ms')
      .describe('A Redis that has not answered by then is given up, and asked again each second'),
    'max-age': duration().prefault('5m').describe('Older copies of the rulings refuse nobody'),
  })
  .superRefine((store, ctx) => {
    for (const { path, message } of mistakesIn(store)) ctx.addIssue({ code: 'custom', path: [path], message })
  })
  .prefault({})

type Written = {
  readonly url?: string | undefined
  readonly sentinel?: object | undefined
  readonly [key: string]: unknown
}

const PLACES = ['url', 'url-file', 'sentinel', 'cluster'] as const

/** What cannot be so all at once. */
function mistakesIn(store: Written): { path: string; message: string }[] {
  const mistakes: { path: string; message: string }[] = []
  const say = (path: string, message: string) => mistakes.push({ path, message })
  const [first, ...others] = PLACES.filter((key) => store[key] !== undefined)
  for (const other of others) say(other, `the store has one place, and ${first} names it already`)
  const url = URL_FORM.test(store.url ?? '') ? readUrl(store.url as string) : undefined
  if (typeof url === 'string') say('url', url)
  else if (url) for (const mistake of clashes(store, url)) say(mistake.path, mistake.message)
  if (store['password'] !== undefined && store['password-file'] !== undefined)
    say('password-file', 'there is a password already')
  if (store['database'] !== undefined && first !== 'sentinel')
    say(
      'database',
      first === 'cluster' ? 'a Cluster has one database only' : 'with a url it stands there: .../DATABASE',
    )
  const tls = store['tls'] as { certificate?: string; key?: string } | undefined
  if (tls && (tls.certificate === undefined) !== (tls.key === undefined))
    say('tls', 'certificate and key belong together: one of them is missing')
  return mistakes
}

/** What a url and the keys beside it both say. */
function clashes(store: Written, url: FromUrl): { path: string; message: string }[] {
  const twice = (['user', 'password'] as const).filter((key) => url[key] !== undefined && store[key] !== undefined)
  return [
    ...twice.map((path) => ({ path, message: `the url has a ${path} already` })),
    ...(store['tls'] !== undefined && !url.secure
      ? [{ path: 'tls', message: 'the url asks for no TLS: write rediss:// there' }]
      : []),
  ]
}

/**
 * The Redis of these settings, with what the environment and files say; undefined where the store is embedded. What is
 * wrong is added to `problems`.
 */
export function readStore(
  store: StoreSettings,
  env: NodeJS.ProcessEnv,
  problems: Problem[],
): RedisSettings | undefined {
  const commandTimeoutMs = store['command-timeout']
  const url =
    secret(env['DECOYMX_REDIS_URL'], env['DECOYMX_REDIS_URL_FILE'] ?? store['url-file'], problems) ?? store.url
  const password =
    secret(env['DECOYMX_REDIS_PASSWORD'], env['DECOYMX_REDIS_PASSWORD_FILE'] ?? store['password-file'], problems) ??
    store.password
  const files = store.tls && readTls(store.tls, problems)
  const { user, database, sentinel, cluster } = store
  const { ca, certificate, key } = store.tls ?? {}
  const named = [
    env['DECOYMX_REDIS_URL_FILE'] ?? store['url-file'],
    env['DECOYMX_REDIS_PASSWORD_FILE'] ?? store['password-file'],
    sentinel?.['password-file'],
    ca,
    certificate,
    key,
  ].filter((file) => file !== undefined)
  const common = { user, password, database, tls: files, commandTimeoutMs, files: named }
  if (url === undefined) {
    if (sentinel) {
      const { master, at: sentinels } = sentinel
      const theirs = secret(undefined, sentinel['password-file'], problems) ?? sentinel.password
      return { ...common, at: { master, sentinels, user: sentinel.user, password: theirs } }
    }
    return cluster && { ...common, at: { cluster } }
  }
  const from = 'DECOYMX_REDIS_URL'
  if (sentinel || cluster) {
    problems.push(
      at(from, `the settings name store.${sentinel ? 'sentinel' : 'cluster'} already: leave one of them out`),
    )
    return undefined
  }
  const read = readUrl(url)
  const wrong = typeof read === 'string' ? [{ message: read }] : url === store.url ? [] : clashes(store, read)
  for (const { message } of wrong) problems.push(at(from, message))
  if (typeof read === 'string') return undefined
  return {
    at: read.at,
    user: read.user ?? user,
    password: read.password ?? password,
    database: read.database,
    tls: read.secure ? (files ?? {}) : undefined,
    commandTimeoutMs,
    files: named,
  }
}

type FromUrl = {
  readonly at: Host | { readonly path: string }
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly database?: number
  readonly secure: boolean
}

/** What a url says, or what is wrong with it. */
function readUrl(text: string): FromUrl | string {
  const wrong = `${EXPECTED_URL}, got ${hidden(text)}`
  const path = /^(?:unix:)?(\/[^/].*)$/.exec(text)?.[1]
  if (path !== undefined) return { at: { path }, secure: false }
  const url = URL.parse(text)
  if (!url || !/^rediss?:$/.test(url.protocol) || url.hostname === '' || url.search !== '' || url.hash !== '')
    return wrong
  const database = /^\/?(\d{0,5})$/.exec(url.pathname)?.[1]
  if (database === undefined) return wrong
  try {
    return {
      at: { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 6379 : Number(url.port) },
      user: url.username === '' ? undefined : decodeURIComponent(url.username),
      password: url.password === '' ? undefined : decodeURIComponent(url.password),
      database: Number(database),
      secure: url.protocol === 'rediss:',
    }
  } catch {
    return `${wrong}: a % in a password is written %25`
  }
}

/** The texts of the files, each looked at before anybody relies on it. */
function readTls(
  { ca, certificate, key, 'server-name': servername }: NonNullable<StoreSettings['tls']>,
  problems: Problem[],
): RedisAccess['tls'] {
  const text = ca === undefined ? undefined : secret(undefined, ca, problems)
  if (text !== undefined && ca !== undefined) {
    try {
      void new X509Certificate(text)
    } catch {
      problems.push(at(ca, 'expected certificates in PEM form'))
    }
  }
  const named = servername === undefined ? {} : { servername }
  if (certificate === undefined || key === undefined) return { ca: text, ...named }
  const shown = readCertificate({ certificate, key })
  if ('message' in shown) {
    problems.push(at(shown.file, shown.message))
    return undefined
  }
  return { ca: text, cert: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8'), ...named }
}

function secret(value: string | undefined, file: string | undefined, problems: Problem[]): string | undefined {
  if (value !== undefined && value !== '') return value
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    problems.push(at(file, `cannot be read: ${(error as Error).message}`))
    return undefined
  }
}

/** A URL without its password, for messages. */
function hidden(url: unknown): string {
  return show(typeof url === 'string' ? url.replace(/\/\/[^@/]*@/, '//***@') : url)
}

function at(file: string, message: string): Problem {
  return { file, line: 1, column: 1, message }
}

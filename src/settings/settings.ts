/**
 * decoymx.yaml: this host. Addresses, store, limits, pace; what the evidence means is in rules.yaml.
 *
 * Everything has a default, so that no file is needed to try it. The decoys are in decoy-settings.ts; the store in
 * store-settings.ts, with what the environment says of it. Only the daemon and commands read settings; rooms get plain options.
 */
import { z } from 'zod'
import { show } from '../core/complaints.ts'
import { duration, type Problem, readDocument } from '../core/document.ts'
import { didYouMean } from '../core/likely.ts'
import { readCertificate } from './certificate.ts'
import { decoysSchema } from './decoy-settings.ts'
import { address, hostName, listen, listenAlsoAtPaths, nameLike, prefixes, span } from './forms.ts'
import { readText } from './reading.ts'
import { placeMistakes } from './places.ts'
import { type RedisSettings, readStore, STORE_ENVIRONMENT, storeSchema } from './store-settings.ts'

type Written = z.output<typeof settingsSchema>

export type Settings = Omit<Written, 'store'> & {
  readonly store: {
    /** Undefined: the embedded store. */
    readonly redis: RedisSettings | undefined
    readonly 'max-age': number
  }
}

const EVERY_POOLS_MAX_MS = 7 * 86_400_000
const CANARY_EVERY_MAX_MS = 7 * 86_400_000
/** So that two looks, and a slow one between them, stay within what the guard calls near (PROBE_GAP_MS). */
const EVERY_MAX_MS = 2 * 60_000

export const settingsSchema = z
  .strictObject({
    decoys: decoysSchema,
    policy: z
      .strictObject({
        listen: listenAlsoAtPaths('127.0.0.1:10040').describe(
          'Where the real MX asks, by the protocol of Postfix policy services',
        ),
      })
      .prefault({}),
    'tcp-table': z
      .strictObject({ listen: listenAlsoAtPaths().describe("Postfix's tcp: tables; prefer the policy service") })
      .prefault({}),
    readsocket: z
      .strictObject({ listen: listenAlsoAtPaths().describe("Exim's ${readsocket}: an address in, a verdict out") })
      .prefault({}),
    milter: z
      .strictObject({
        listen: listenAlsoAtPaths().describe('Sendmail, and Postfix where it has no room for a policy service'),
      })
      .prefault({}),
    dnsbl: z
      .strictObject({
        listen: listen('127.0.0.1:5300').describe('Where it answers, by UDP and TCP'),
        zone: nameLike('bl.example.org').default('bl.decoymx.test').describe('The zone that it is asked in'),
        askers: prefixes('127.0.0.0/8', '::1/128').describe('Who may ask; others are refused'),
        contact: hostName.default('postmaster.decoymx.test').describe('Mailbox in SOA form: dots for the @'),
        'name-server': hostName
          .optional()
          .describe(
            'The host named in SOA and NS; by default the zone itself, enough where no parent zone delegates to us',
          ),
        'answers-per-second': z
          .int()
          .min(10)
          .max(1_000_000)
          .default(2000)
          .describe('By UDP, to one /24 or /48; beyond it askers are told to come by TCP. Loopback is not counted'),
        ttl: span('60s').describe('How long resolvers may keep a listing'),
        'negative-ttl': span('10s').describe('How long resolvers may keep "not listed"'),
        'observe-code': z.boolean().default(false).describe('Answer 127.0.0.4 for clients that are observed'),
        bursts: z.boolean().default(true).describe('Under load many datagrams in one call of the kernel (koffi)'),
        shared: z.boolean().default(false).describe('More processes of decoymx may answer there (SO_REUSEPORT)'),
      })
      .prefault({}),
    http: z
      .strictObject({
        listen: listen('127.0.0.1:8025').describe('Where the API, metrics and health are'),
        readers: prefixes('127.0.0.0/8', '::1/128').describe(
          'Who may read console and API without a token or a session, if it comes straight; []: nobody',
        ),
        scrapers: prefixes('127.0.0.0/8', '::1/128').describe('Who may see /metrics, /healthz and /readyz without'),
        'access-file': z
          .string()
          .min(1)
          .optional()
          .describe('Tokens and accounts, by their digests: docs/http.md. Read again on SIGHUP'),
        'edit-rules': z
          .boolean()
          .default(false)
          .describe(
            'Operators may save the rules file over HTTP, and so from the console. Without it they check and replay there, and save elsewhere: docs/operating.md',
          ),
      })
      .prefault({}),
    firewall: z
      .strictObject({
        nftables: z
          .boolean()
          .default(false)
          .describe(
            'Keep the sets of deploy/nftables/decoymx-list.nft current; needs CAP_NET_ADMIN. See docs/exports.md',
          ),
      })
      .prefault({}),
    store: storeSchema,
    governor: z
      .strictObject({
        'per-minute': z.int().min(1).max(1_000_000).default(100).describe('New listings in a minute'),
        'per-network': z.int().min(1).max(1_000_000).default(32).describe('New listings of one /24 or /48 in an hour'),
        'good-share': z
          .number()
          .min(0)
          .max(1)
          .default(0.01)
          .describe('New listings in a day of clients of good standing, as a share of those seen; 3 always may'),
      })
      .prefault({})
      .describe('Beyond this, new listings wait until an operator has looked (decoymx governor)'),
    journal: z
      .strictObject({
        keep: span('31d').describe('Evidence older than this is deleted'),
        'max-megabytes': z.int().min(64).max(1_000_000).default(1024).describe('Oldest files go first beyond this'),
      })
      .prefault({}),
    'real-mx': z
      .strictObject({
        greet: z.array(address).max(16).default([]).describe('Real MXs that the witness greets'),
        discover: z
          .boolean()
          .default(false)
          .describe('Find them in DNS, too: what the MX records of the protected domains name and is no decoy of ours'),
        resolver: z
          .array(address)
          .max(8)
          .default([])
          .describe('Name servers for that, as 192.0.2.53:53; none: those of the system'),
        every: duration()
          .refine((ms) => ms >= 1000 && ms <= EVERY_MAX_MS, { error: 'expected a span from 1s to 2m' })
          .prefault('30s')
          .describe('Between two looks, give or take a fifth; two looks more than 5m apart vouch for nothing'),
      })
      .prefault({}),
    pools: z
      .strictObject({
        dns: z
          .boolean()
          .default(false)
          .describe('Ask DNS whose a client is: SPF records of big senders and of our own domains, and reverse names'),
        resolver: z
          .array(address)
          .max(8)
          .default([])
          .describe('Name servers for that, as 192.0.2.53:53; none: those of the system'),
        every: duration()
          .refine((ms) => ms >= 60_000 && ms <= EVERY_POOLS_MAX_MS, { error: 'expected a span from 1m to 7d' })
          .prefault('6h')
          .describe('Between two readings of the SPF records, give or take a fifth'),
      })
      .prefault({}),
    reload: z
      .strictObject({
        'on-change': z
          .boolean()
          .default(true)
          .describe('Load rules, secrets and certificates when their files change, not only by SIGHUP and reload'),
        bound: z
          .int()
          .min(0)
          .max(1_000_000)
          .default(100)
          .describe('Clients newly refused, or refused no more, by one load; beyond it wants decoymx reload --force'),
        cases: z
          .array(z.string().min(1))
          .max(20)
          .default([])
          .describe('Cases, or folders of them, that must come true before rules are loaded'),
      })
      .prefault({})
      .describe('How changed rules come into effect; the old ones stay on any mistake'),
    log: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('The least grave lines that are written'),
    'mail-log': z
      .strictObject({
        file: z
          .string()
          .regex(/^\/.*[^/]$/, { error: (issue) => `expected the path of a file, got ${show(issue.input)}` })
          .describe('Where; at max-megabytes it becomes FILE.1'),
        'max-megabytes': z.int().min(1).max(10_000).default(64).describe('Of the file'),
      })
      .optional()
      .describe(
        "A second log of finished sessions in postscreen's words, for fail2ban and pflogsumm. See docs/logs.md",
      ),
    canary: z
      .strictObject({
        enabled: z
          .boolean()
          .default(true)
          .describe(
            'Play a bot and an honest client to ourselves, and see that the one is refused everywhere, the other nowhere',
          ),
        every: duration()
          .refine((ms) => ms >= 60_000 && ms <= CANARY_EVERY_MAX_MS, { error: 'expected a span from 1m to 7d' })
          .prefault('1h')
          .describe('Between two plays; "doctor" plays it at once. See docs/canary.md'),
      })
      .prefault({})
      .describe('What the appliance plays to itself, to see whether the whole chain works'),
  })
  .superRefine((doc, ctx) => {
    for (const mistake of placeMistakes(doc)) ctx.addIssue({ code: 'custom', ...mistake })
  })

/** What a command line and the environment say about where things are. */
export type Where = { readonly state: string; readonly settings: string | undefined; readonly rules: string }

export type SettingsReading =
  { readonly ok: true; readonly settings: Settings } | { readonly ok: false; readonly problems: readonly Problem[] }

/** Reads the file, if there is one, and the environment; all mistakes of both at once. */
export function readSettings(file: string | undefined, env: NodeJS.ProcessEnv): SettingsReading {
  const problems: Problem[] = [...strangers(env)]
  const text = file === undefined ? { ok: true as const, file: 'defaults', source: '' } : readText(file)
  if (!text.ok) return { ok: false, problems: [...problems, ...text.problems] }
  const read = readDocument(file ?? 'defaults', text.source, settingsSchema)
  if (!read.ok) return { ok: false, problems: [...problems, ...read.problems] }
  const redis = readStore(read.value.store, env, problems)
  const { tls } = read.value.decoys.backup
  const certificate = tls && readCertificate(tls)
  if (certificate && 'message' in certificate) problems.push(at(certificate.file, certificate.message))
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, settings: { ...read.value, store: { redis, 'max-age': read.value.store['max-age'] } } }
}

const ENVIRONMENT = ['DECOYMX_STATE', 'DECOYMX_SETTINGS', 'DECOYMX_RULES', ...STORE_ENVIRONMENT] as const

function strangers(env: NodeJS.ProcessEnv): Problem[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('DECOYMX_') && !(ENVIRONMENT as readonly string[]).includes(name))
    .map((name) => ({
      ...at(name, 'no such environment variable'),
      hint: didYouMean(name, ENVIRONMENT) ?? `known: ${ENVIRONMENT.join(', ')}`,
    }))
}

function at(file: string, message: string): Problem {
  return { file, line: 1, column: 1, message }
}

/**
 * `decoys:` in decoymx.yaml: where the two decoys listen, how they call themselves, how slowly they speak, whom they hold and
 * how many.
 */
import { z } from 'zod'
import { duration } from '../core/document.ts'
import { KEEPINGS } from '../decoy/discretion.ts'
import { hostName, listen, ownPrefix, prefixes, said, span } from './forms.ts'

const PACES = {
  brisk: { greeting: '200ms', reply: '50ms', byte: '0ms', drip: '1s' },
  slow: { greeting: '6s', reply: '2s', byte: '100ms', drip: '10s' },
} as const

const paceSchema = z.strictObject({
  greeting: duration().describe('How long the greeting is held back: who talks first shows itself'),
  reply: duration().describe('Held back before each reply of a dialogue'),
  byte: duration().describe('Between two bytes of a reply; 0ms sends it whole'),
  drip: duration().describe('Between two drips to a held offender'),
})

/** What every decoy has. */
const decoyKeys = (name: string, direct: string[], proxied: string[]) => ({
  name: hostName.default(name).describe('How this decoy calls itself in its greeting'),
  listen: listen(...direct).describe('Where clients connect; 0.0.0.0 or [::] hears every address of this host'),
  prefixes: z
    .array(ownPrefix)
    .max(1000)
    .default([])
    .describe(
      'Which of the addresses heard at listen are this decoy, from a single one to a routed /24; calls to others are reset. None: all are. See docs/prefixes.md',
    ),
  proxy: listen(...proxied).describe('The same behind PROXY protocol v1 or v2, from the peers in proxy-from'),
})

/**
 * Strangers at the primary are refused, by the kernel or by a reset. There is no key for an SMTP reply to them: each one
 * lost or bounced mail of some mail server measured (docs/primary.md).
 */
const primarySchema = z
  .strictObject({
    ...decoyKeys('mx0.decoymx.test', ['127.0.0.1:2510', '[::1]:2510'], ['127.0.0.1:2511']),
    kernel: z
      .boolean()
      .default(false)
      .describe('Refuse strangers before they are connected, by nftables; needs CAP_NET_ADMIN. See docs/primary.md'),
  })
  .prefault({})

/** Only the backup talks, so only there is something to offer. */
const backupSchema = z
  .strictObject({
    ...decoyKeys('mx9.decoymx.test', ['127.0.0.1:2590', '[::1]:2590'], ['127.0.0.1:2591']),
    auth: z.boolean().default(true).describe('Offer AUTH, a bait for password guessers; no log-in ever succeeds'),
    tls: z
      .strictObject({
        certificate: z.string().min(1).describe('A file in PEM form; any certificate will do'),
        key: z.string().min(1).describe('Its private key, in PEM form'),
      })
      .optional()
      .describe('Offer STARTTLS with these; without them it is not offered. Read at the start'),
    'keep-addresses': z
      .enum(KEEPINGS)
      .default('whole')
      .describe(
        'Of recipients, senders and log-in names, in journal and logs: whole, their domain alone, or none. Judgement needs none; traps stay whole. See docs/data.md',
      ),
    'keep-messages': z
      .strictObject({
        bytes: z.int().min(256).max(65_536).default(16_384).describe('Of each message so many bytes are looked at'),
      })
      .optional()
      .describe(
        'Of a message that comes though refused, keep headers and a SHA-256 of its body in the journal. Off by default: they are personal data',
      ),
  })
  .prefault({})

export const decoysSchema = z
  .strictObject({
    primary: primarySchema,
    backup: backupSchema,
    workers: z
      .int()
      .min(0)
      .max(64)
      .default(0)
      .describe('Processes of their own for the decoys, each with its own core, memory and file limit; 0: none'),
    'proxy-from': prefixes('127.0.0.0/8', '::1/128').describe('Peers whose PROXY header is believed'),
    pace: z
      .union([z.enum(['brisk', 'slow']).transform((name) => paceSchema.parse(PACES[name])), paceSchema])
      .prefault('brisk')
      .describe('How slowly we speak: slow shows who cannot wait, brisk is for trying out; or each pause by itself'),
    tarpit: z
      .strictObject({
        form: z
          .enum(['greeting', 'replies'])
          .default('greeting')
          .describe('What a held offender is told: a greeting that never ends, or the replies of a very slow server'),
        banner: said(200)
          .optional()
          .describe(
            'What is read after 220, in a dialogue, too; by default what the real MX says, with our name, where the witness greets it',
          ),
        ehlo: z
          .array(said(64))
          .max(20)
          .optional()
          .describe(
            'The keywords after EHLO, in the form "replies"; in a dialogue those of them that cost honest mail nothing',
          ),
        jitter: z.number().min(0).max(0.9).default(0.3).describe('How far pauses between drips vary, as a share'),
      })
      .prefault({}),
    bare: z.boolean().default(true).describe('Offenders are held without sockets of Node (koffi)'),
    limits: z
      .strictObject({
        connections: z.int().min(1).max(1_000_000).default(8000).describe('Held at once, by each decoy'),
        'per-network': z.int().min(1).max(1_000_000).default(200).describe('Of these, from one /24 or /48'),
        'per-client': z.int().min(1).max(1_000_000).default(100).describe('Of these, from one client'),
        'max-megabytes': z
          .int()
          .min(128)
          .max(1_000_000)
          .default(2048)
          .describe('Memory of one process; held connections are let go beyond it'),
        dialogue: span('5m').describe('Longest dialogue with a stranger'),
        tarpit: span('1h').describe('Longest hold of a known offender'),
        'proxy-header': span('5s').describe('How long a peer in proxy-from may take for its PROXY header'),
        'suspect-hold': span('20s').describe('Silence for a suspect at the primary, then a reset'),
      })
      .prefault({}),
  })
  .prefault({})

/**
 * How `lint` and `plan` come to know a domain: from name servers or from a zone file, and which of its exchanges are decoys:
 * those that are named, else those of the settings.
 *
 * A person's mistakes are all told, and nothing is looked at then.
 */
import { readFileSync } from 'node:fs'
import { getServers } from 'node:dns'
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { parseClient } from '../core/client.ts'
import { show } from '../core/complaints.ts'
import { type Problem, spellProblem } from '../core/document.ts'
import { type Prefix, prefixOf } from '../core/prefixes.ts'
import type { KnownDecoy, KnownDecoys, Survey } from '../core/survey.ts'
import { readZoneFile } from '../core/zone-file.ts'
import { type Lookup, lookupInZone } from '../watch/lookup.ts'
import { lookupAt } from '../watch/name-server.ts'
import { fetchStsPolicy } from '../watch/sts-policy.ts'
import { survey } from '../watch/surveyor.ts'
import { type Address, isWildcard, parseAddress, spellAddress } from '../settings/places.ts'
import { readSettings, type Settings } from '../settings/settings.ts'
import { USAGE } from './exit-codes.ts'
import { typed } from '../console/called.ts'

export type SurveyWords = {
  readonly settings?: string
  readonly server?: string
  readonly zone?: string
  readonly sts?: string
  readonly primary?: readonly string[]
  readonly backup?: readonly string[]
  readonly probe?: boolean
  /** For tests, which may not have port 25. */
  readonly port?: number
}

export type Surveyed =
  | { readonly ok: true; readonly survey: Survey; readonly settings: Settings; readonly from: string }
  /** `code`: what the command ends with. */
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly code: number }

/** The domain cannot be known: as monitoring plugins have it. */
export const UNKNOWN = 3
/** All questions to DNS together. */
const IN_ALL_MS = 45_000

export async function surveyDomain(
  domainText: string,
  words: SurveyWords,
  env: NodeJS.ProcessEnv,
  begin: (from: string) => void,
  mistakes: readonly Problem[] = [],
  besideOf: (settings: Settings) => readonly string[] = () => [],
): Promise<Surveyed> {
  const { domain, settings, servers, named, policy, zone, ...read } = readWords(domainText, words, env)
  const problems = [...mistakes, ...read.problems]
  // Words come first: mended, they may name other files.
  const code = mistakes.length > 0 || read.isMistyped ? USAGE : UNKNOWN
  if (problems.length > 0 || domain === undefined || !settings.ok || (zone && !zone.ok))
    return { ok: false, problems, code }

  const reachable = servers.filter((server) => server !== undefined)
  const asking = lookupAt({ servers: reachable, signal: AbortSignal.timeout(IN_ALL_MS) })
  const beyond = zone === undefined || words.server !== undefined ? asking : undefined
  const lookup: Lookup = zone ? lookupInZone(zone.origin, zone.records, beyond) : asking
  const from = [...(zone ? [words.zone as string] : []), ...(beyond ? reachable.map(spellAddress) : [])].join(', ')
  begin(from)
  const found = await survey({
    domain,
    lookup,
    known: knownDecoys(named, settings.settings),
    named: [...named.primary, ...named.backup],
    beside: besideOf(settings.settings),
    policy,
    ...(beyond ? { fetchPolicy: (of: string) => fetchStsPolicy(of, { lookup }) } : {}),
    ...(words.probe ? { knockAt: words.port ?? 25 } : {}),
  })
  return { ok: true, survey: found, settings: settings.settings, from }
}

/** What is wrong with these words, and with the files that they name; nobody is asked for it. */
export function mistakesInSurvey(domain: string | undefined, words: SurveyWords, env: NodeJS.ProcessEnv): string[] {
  return readWords(domain, words, env).problems.map(spellSlip)
}

/** In one line. What has no line is a word of the command line, or a file that it names. */
export function spellSlip(problem: Problem): string {
  const { file, line, message, hint } = problem
  return line > 0 ? spellProblem(problem) : `${file}: ${message}${hint ? ` (${hint})` : ''}`
}

/** `domainText`: undefined where it is missing, which somebody else tells. */
function readWords(domainText: string | undefined, words: SurveyWords, env: NodeJS.ProcessEnv) {
  const problems: Problem[] = []
  let isMistyped = false
  const say = (word: string, message: string, hint?: string) => {
    isMistyped = true
    problems.push(slip(word, message, hint))
  }
  const readText = (file: string | undefined): string | undefined => {
    try {
      return file === undefined ? undefined : readFileSync(file, 'utf8')
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      const message = missing ? 'there is no such file' : `cannot be read: ${(error as Error).message}`
      problems.push(slip(file as string, message))
      return undefined
    }
  }
  const domain = domainText === undefined ? undefined : hostName(domainText)
  if (domain === undefined && domainText !== undefined)
    say(
      'DOMAIN',
      `expected a domain like example.org, got ${show(domainText)}`,
      parseClient(domainText.trim())
        ? `that is an address: ${typed(`why ${domainText.trim()}`)} tells what is known of a client`
        : undefined,
    )
  const settings = readSettings(words.settings, env)
  if (!settings.ok) problems.push(...settings.problems)
  const servers = words.server === undefined ? getServers().map(serverIn) : [serverIn(words.server)]
  if (words.server !== undefined && !servers[0])
    say('--server', `expected an IP address, with a port or without, got ${show(words.server)}`)
  const names = (role: 'primary' | 'backup') =>
    (words[role] ?? []).flatMap((name) => {
      const host = hostName(name)
      if (host === undefined) say(`--${role}`, `expected a host name, got ${show(name)}`)
      return host ?? []
    })
  const named = { primary: names('primary'), backup: names('backup') }
  const zoneText = readText(words.zone)
  const policy = readText(words.sts)
  const zone =
    zoneText === undefined || domain === undefined ? undefined : readZoneFile(words.zone as string, zoneText, domain)
  if (zone && !zone.ok) problems.push(...zone.problems)
  return { problems, isMistyped, domain, settings, servers, named, policy, zone }
}

/** A mistake in a word of the command line, or in a file as a whole. */
export function slip(word: string, message: string, hint?: string): Problem {
  return { file: word, line: 0, column: 0, message, hint }
}

/** A name as DNS has it: in ASCII, small letters, without the last dot. */
export function hostName(text: string): string | undefined {
  const name = domainToASCII(text.trim().replace(/\.$/, '')).toLowerCase()
  return /^(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}$/.test(name) && isIP(name) === 0 ? name : undefined
}

function serverIn(text: string): Address | undefined {
  const host = text.trim()
  return isIP(host) === 0 ? parseAddress(host) : { host, port: 53 }
}

function knownDecoys(
  named: Readonly<Record<'primary' | 'backup', readonly string[]>>,
  settings: Settings,
): KnownDecoys {
  const of = (role: 'primary' | 'backup'): KnownDecoy => {
    const { name, listen, prefixes } = settings.decoys[role]
    return {
      names: named[role].length > 0 ? named[role] : [name.toLowerCase().replace(/\.$/, '')],
      networks: prefixes.length > 0 ? prefixes : listen.filter((each) => !isWildcard(each)).flatMap(alone),
    }
  }
  return { primary: of('primary'), backup: of('backup') }
}

function alone({ host }: Address): Prefix[] {
  const client = parseClient(host)
  return client ? [prefixOf(client, client.family === 4 ? 32 : 128)] : []
}

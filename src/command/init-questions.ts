/**
 * The questions of `init`: asked one after another, or answered by flags; what is wrong with an answer by itself, and beside others.
 *
 * A person may go back, and is asked again after a slip; whoever answers with flags hears of all mistakes at once.
 */
import { createInterface } from 'node:readline'
import ipaddr from 'ipaddr.js'
import { typed } from '../console/called.ts'
import { type Screen, wrapped } from '../console/terminal.ts'
import { parseClient } from '../core/client.ts'
import { misread } from '../core/misread.ts'

/** The answers as they were typed; undefined is asked for. */
export type Words = {
  readonly domain?: string
  readonly primary?: string
  readonly backup?: string
  readonly realMx?: string
}

export type Answers = {
  readonly domains: readonly string[]
  readonly primary: string | null
  readonly backup: string | null
  /** null: found in DNS. */
  readonly realMx: string | null
}

export type Asking = {
  readonly screen: Screen
  /** Where a person types; undefined when there is none, as in a script. */
  readonly input: NodeJS.ReadableStream | undefined
  readonly output: NodeJS.WritableStream
}

/** Asks again at most so often before it gives up on a person, or on a pipe that says the same again and again. */
const TRIES_MAX = 3
/** To the question before, where an earlier answer was the slip: no domain, no address, and neither none nor dns. */
const BACK = 'back'
/** So often, for the same reason. */
const BACKS_MAX = 10

/** Asks for what no flag gave. Undefined when there is nobody to ask, or when nobody answers. */
export async function interview(words: Words, options: Asking): Promise<Words> {
  const open = QUESTIONS.filter(({ key }) => words[key] === undefined)
  if (open.length === 0 || options.input === undefined) return words
  const reader = createInterface({ input: options.input })
  // By lines as they come, so that answers typed ahead are not lost; where they end, what is missing is told by its flag.
  const lines = reader[Symbol.asyncIterator]()
  const answers: Partial<Record<keyof Words, string>> = {}
  const called = {
    primary: words.primary === undefined ? 'the primary decoy' : FLAGS.primary,
    backup: words.backup === undefined ? 'the backup decoy' : FLAGS.backup,
  }
  /** With this answer, and not without it; and the way back, where it is with one that was typed. */
  const clashOf = (key: keyof Words, answer: string, asked: readonly Question[]): string | undefined => {
    const before = clashes(answersOf({ ...words, ...answers }), called)
    const now = clashes(answersOf({ ...words, ...answers, [key]: answer }), called)
    const clash = now.find((each) => !before.includes(each))
    const typed = asked.some((each) => isDecoy(each.key) && clash?.includes(called[each.key]))
    return typed ? `${clash}. If the earlier answer was the slip: "${BACK}"` : clash
  }
  const write = (text: string) => options.output.write(`${wrapped(text, options.screen.width, 0).join('\n')}\n`)
  if (open.length > 1) write(`"${BACK}" in place of an answer asks the question before again.`)
  let backs = 0
  for (let at = 0, tries = 0; at < open.length;) {
    const { key, asks, hint } = open[at] as Question
    write(`${asks} (${hint})`)
    options.output.write('> ')
    const { value: answer, done } = await lines.next()
    if (done) break
    const before = open[at - 1]
    if (before && answer.trim().toLowerCase() === BACK && backs++ < BACKS_MAX) {
      delete answers[before.key]
      ;[at, tries] = [at - 1, 0]
      continue
    }
    const complaint = complaintOf(key, answer) ?? clashOf(key, answer, open.slice(0, at))
    if (complaint === undefined) answers[key] = answer
    else
      for (const line of wrapped(complaint, options.screen.width, 0))
        options.screen.print(options.screen.colours.yellow(line))
    tries++
    if (complaint === undefined || tries === TRIES_MAX) [at, tries] = [at + 1, 0]
  }
  reader.close()
  return { ...words, ...answers }
}

/** What is wrong with each flag that is there, by itself. */
export function mistakesInFlags(words: Words): string[] {
  return QUESTIONS.flatMap(({ key, flag }) => {
    const complaint = words[key] === undefined ? undefined : complaintOf(key, words[key])
    return complaint === undefined ? [] : [`${flag}: ${complaint}`]
  })
}

/** What lacks, and what is wrong with what is there, each by its flag. */
export function mistakesIn(words: Words): string[] {
  return QUESTIONS.flatMap(({ key, flag, asks, hint }) =>
    words[key] === undefined ? [`${flag}: missing. ${asks} (${hint})`] : mistakesInFlags({ [key]: words[key] }),
  )
}

type Question = { readonly key: keyof Words; readonly flag: string; readonly asks: string; readonly hint: string }

const QUESTIONS: readonly Question[] = [
  {
    key: 'domain',
    flag: '--domain',
    asks: 'Which domain do you protect?',
    hint: 'several with commas; the first one names the decoys',
  },
  {
    key: 'primary',
    flag: '--primary',
    asks: 'Spare address for the primary decoy (lowest preference)?',
    hint: 'an IP address that nothing else uses, or none',
  },
  {
    key: 'backup',
    flag: '--backup',
    asks: 'Spare address for the backup decoy (highest preference)?',
    hint: 'another IP address, or none',
  },
  {
    key: 'realMx',
    flag: '--real-mx',
    asks: 'Address of your real MX?',
    hint: 'an IP address, or dns to find it by the MX records',
  },
]

const DOMAIN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/

/** What is wrong with one answer by itself. */
function complaintOf(key: keyof Words, text: string): string | undefined {
  const word = text.trim().toLowerCase()
  if (key === 'domain') {
    if (listOf(word).length > 0 && listOf(word).every((name) => DOMAIN.test(name))) return undefined
    // As it was typed: a blank where a dot was meant is not taken for two names.
    const parts = text.split(',').map((part) => part.trim())
    const strange = parts.filter((part) => !listOf(part.toLowerCase()).every((name) => DOMAIN.test(name)))
    const got = strange.length > 0 ? strange : [text.trim()]
    return `expected a domain like example.org, got ${got.map((part) => JSON.stringify(part)).join(' and ')}`
  }
  const none = key === 'realMx' ? 'dns' : 'none'
  const address = parseClient(word)
  if (!address && word !== none)
    return `expected an IP address or ${none}, got ${JSON.stringify(text.trim())}${misread(text)}`
  // A real MX may be on this very host, and one behind a NAT has a private address; a decoy at these never meets a sender.
  const nowhere = address && key !== 'realMx' ? NOWHERE[ipaddr.process(address.ip).range()] : undefined
  const alone = nowhere === NOWHERE['loopback'] ? `; to try it on this host alone, ${typed('run')} needs no files` : ''
  return nowhere && `expected a spare address that senders can call, got ${nowhere} (${text.trim()})${alone}`
}

/** Ranges as ipaddr.js calls them. */
const NOWHERE: Partial<Record<string, string>> = {
  loopback: 'a loopback address',
  unspecified: 'the address of no host',
  linkLocal: 'a link-local address',
  multicast: 'a multicast address',
  broadcast: 'the broadcast address',
}

/** What cannot be so together, as far as there are answers. `called`: as whoever gave the address knows it. */
export function clashes(
  { primary, backup, realMx }: Partial<Answers>,
  called: Record<Decoy, string> = FLAGS,
): string[] {
  const mistakes: string[] = []
  if (primary === null && backup === null)
    mistakes.push(`${called.primary} and ${called.backup}: expected at least one spare address, got none for both`)
  if (typeof primary === 'string' && primary === backup)
    mistakes.push(`${called.backup}: expected another address than that of ${called.primary}, got ${backup}`)
  for (const [decoy, ip] of [
    ['primary', primary],
    ['backup', backup],
  ] as const)
    if (typeof ip === 'string' && ip === realMx)
      mistakes.push(
        `${called[decoy]}: expected a spare address, got that of the real MX (${ip}), where all mail would go to the decoy`,
      )
  return mistakes
}

type Decoy = 'primary' | 'backup'
const isDecoy = (key: keyof Words): key is Decoy => key in FLAGS
const FLAGS: Record<Decoy, string> = { primary: '--primary', backup: '--backup' }

const listOf = (text: string) =>
  text
    .split(/[\s,]+/)
    .map((name) => name.replace(/\.$/, ''))
    .filter((name) => name !== '')

export function answersOf(words: Required<Words>): Answers
export function answersOf(words: Words): Partial<Answers>
export function answersOf({ domain, primary, backup, realMx }: Words): Partial<Answers> {
  // In the one spelling of each address: 2001:DB8:0::1 is 2001:db8::1.
  const address = (text: string, none: string) => {
    const word = text.trim().toLowerCase()
    return word === none ? null : (parseClient(word)?.ip ?? word)
  }
  return {
    ...(domain === undefined ? {} : { domains: listOf(domain.toLowerCase()) }),
    ...(primary === undefined ? {} : { primary: address(primary, 'none') }),
    ...(backup === undefined ? {} : { backup: address(backup, 'none') }),
    ...(realMx === undefined ? {} : { realMx: address(realMx, 'dns') }),
  }
}

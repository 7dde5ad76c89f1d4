/**
 * `init`: four questions, or their flags, and the two files of a new host are written. Nothing is started.
 *
 * The files are those of deploy/, comments and all, with this host's addresses in them and the rules in mode observe. What is
 * written has passed the check that the daemon makes; with a mistake in any answer nothing is written, and all are told.
 * A file that is there already stays as it is, unless forced.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import ipaddr from 'ipaddr.js'
import { isMap, isSeq, parseDocument } from 'yaml'
import { typed } from '../console/called.ts'
import { type Screen, wrapped } from '../console/terminal.ts'
import { parseClient } from '../core/client.ts'
import { misread } from '../core/misread.ts'
import { readRules } from '../core/rules.ts'
import { spellAddress } from '../settings/places.ts'
import { nearest } from '../settings/reading.ts'
import { readSettings } from '../settings/settings.ts'
import { type Complain, USAGE } from './exit-codes.ts'

const SMTP = 25
const DEPLOY = join(import.meta.dirname, '../../deploy')
const DOMAIN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/
/** Asks again at most so often before it gives up on a person, or on a pipe that says the same again and again. */
const TRIES_MAX = 3
/** To the question before, where an earlier answer was the slip: no domain, no address, and neither none nor dns. */
const BACK = 'back'
/** So often, for the same reason. */
const BACKS_MAX = 10

/** The answers as they were typed; undefined is asked for. */
export type Words = {
  readonly domain?: string
  readonly primary?: string
  readonly backup?: string
  readonly realMx?: string
}

type Answers = {
  readonly domains: readonly string[]
  readonly primary: string | null
  readonly backup: string | null
  /** null: found in DNS. */
  readonly realMx: string | null
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
function clashes({ primary, backup, realMx }: Partial<Answers>, called: Record<Decoy, string> = FLAGS): string[] {
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

function answersOf(words: Required<Words>): Answers
function answersOf(words: Words): Partial<Answers>
function answersOf({ domain, primary, backup, realMx }: Words): Partial<Answers> {
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

/** The two files' texts, from those of deploy/. */
function draft({ domains, primary, backup, realMx }: Answers, port: number): Files {
  const [domain = ''] = domains
  const door = (ip: string | null, at: number) => (ip === null ? [] : [spellAddress({ host: ip, port: at })])
  const settings = filled('decoymx.yaml', [
    [['decoys', 'primary', 'name'], `mx0.${domain}`],
    [['decoys', 'primary', 'listen'], door(primary, port)],
    [['decoys', 'backup', 'name'], `mx9.${domain}`],
    [['decoys', 'backup', 'listen'], door(backup, port)],
    [['dnsbl', 'zone'], `bl.${domain}`],
    [['dnsbl', 'contact'], `postmaster.${domain}`],
    [['real-mx', 'greet'], door(realMx, SMTP)],
    [['real-mx', 'discover'], realMx === null],
  ])
  const rules = filled('rules.yaml', [
    [['domains'], [...domains]],
    [['traps'], []],
    // Without a primary decoy nobody can be seen to walk the right way (see the comment above the rules).
    ...(primary === null ? walkRules().map((i) => [['rules', i, 'mode'], 'observe'] as const) : []),
  ])
  return { settings, rules }
}

/** A file of deploy/ with these values in it, its comments kept, and its schema where it lies. */
function filled(name: string, values: readonly (readonly [readonly (string | number)[], unknown])[]): string {
  const text = template(name)
  const doc = parseDocument(text)
  for (const [path, value] of values)
    doc.setIn(path, Array.isArray(value) ? doc.createNode(value, { flow: true }) : value)
  // What stands above a section is indented by the library where the section before ends in a comment: it stays at the margin.
  const flush = new Set(text.split('\n').filter((line) => line.startsWith('# ')))
  return doc
    .toString({ lineWidth: 0, flowCollectionPadding: false })
    .replace(/^ +(#.*)$/gm, (line, comment: string) => (flush.has(comment) ? comment : line))
    .replace('$schema=schema/', `$schema=${join(DEPLOY, 'schema')}/`)
}

function walkRules(): number[] {
  const rules = parseDocument(template('rules.yaml')).get('rules')
  if (!isSeq(rules)) throw new Error('deploy/rules.yaml has no rules')
  return rules.items.flatMap((rule, i) => (isMap(rule) && rule.has('unless-walked') ? [i] : []))
}

const template = (name: string) => readFileSync(join(DEPLOY, name), 'utf8')

/** Asks for what no flag gave. Undefined when there is nobody to ask, or when nobody answers. */
async function interview(words: Words, options: Asking): Promise<Words> {
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

type Asking = {
  readonly screen: Screen
  /** Where a person types; undefined when there is none, as in a script. */
  readonly input: NodeJS.ReadableStream | undefined
  readonly output: NodeJS.WritableStream
}

/** What is wrong with each flag that is there, by itself. */
export function mistakesInFlags(words: Words): string[] {
  return QUESTIONS.flatMap(({ key, flag }) => {
    const complaint = words[key] === undefined ? undefined : complaintOf(key, words[key])
    return complaint === undefined ? [] : [`${flag}: ${complaint}`]
  })
}

export async function init(
  given: Words,
  options: Asking & {
    readonly into: string
    readonly force: boolean
    /** On which the decoys listen: 25, or another to which something leads 25. */
    readonly port: number
    /** May this user open that port? */
    readonly mayOpen: boolean
    readonly complain: Complain
  },
): Promise<number> {
  const { screen, complain } = options
  const folder = resolve(options.into)
  const files = { settings: join(folder, 'decoymx.yaml'), rules: join(folder, 'rules.yaml') }
  const there = Object.values(files).filter((file) => existsSync(file))
  if (there.length > 0 && !options.force)
    return complain({
      error: `there already: ${there.join(', ')}`,
      hint: `name another folder, like ${typed('init --into host')}; --force writes over what is there`,
    })

  const words = await interview(given, options)
  const mistakes = QUESTIONS.flatMap(({ key, flag, asks, hint }) =>
    words[key] === undefined ? [`${flag}: missing. ${asks} (${hint})`] : mistakesInFlags({ [key]: words[key] }),
  )
  const answers = mistakes.length === 0 ? answersOf(words as Required<Words>) : undefined
  if (!answers) return complain({ errors: mistakes }, USAGE)
  const together = clashes(answers)
  if (together.length > 0) return complain({ errors: together }, USAGE)

  const texts = draft(answers, options.port)
  const unsound = write(folder, files, texts)
  if (unsound.length > 0) return complain({ errors: unsound })
  tellNext(screen, answers, files, options)
  return 0
}

type Files = { readonly settings: string; readonly rules: string }

/** Writes both beside their places, checks them there, and only then puts them in their places. Tells what keeps it from that. */
function write(folder: string, files: Files, texts: Files): string[] {
  const drafts = { settings: `${files.settings}.new`, rules: `${files.rules}.new` }
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(drafts.settings, texts.settings)
    writeFileSync(drafts.rules, texts.rules)
    const [settings, rules] = [readSettings(drafts.settings, {}), readRules(files.rules, texts.rules)]
    const problems = [settings, rules].flatMap((read) => (read.ok ? [] : read.problems))
    if (problems.length > 0)
      return problems.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`)
    renameSync(drafts.settings, files.settings)
    renameSync(drafts.rules, files.rules)
    return []
  } catch (error) {
    return [`cannot be written: ${(error as Error).message}`]
  } finally {
    for (const draft of Object.values(drafts)) if (existsSync(draft)) rmSync(draft)
  }
}

function tellNext(
  screen: Screen,
  { domains, primary, backup }: Answers,
  files: Files,
  { port, mayOpen }: { readonly port: number; readonly mayOpen: boolean },
): void {
  const { bold, dim, green } = screen.colours
  screen.print(`${green('written')}  ${files.settings}\n${green('written')}  ${files.rules}  ${dim('mode observe')}`)
  const [settings, rules] = [nearest(files.settings), nearest(files.rules)]
  const where = `--settings ${settings} --rules ${rules}`
  const steps = [
    [typed(`check ${where}`), 'both files, as the daemon reads them'],
    [
      typed(`run --rules ${rules} --state try`),
      'these rules on loopback, before DNS is changed: play a bot to them (docs/tutorial.md)',
    ],
    [typed(`plan ${domains[0]} --settings ${settings}`), 'the lines for your zone, and in which order'],
    [typed(`run ${where}`), 'or: systemctl enable --now decoymx, with the files in /etc/decoymx'],
    [nearest(join(DEPLOY, 'postfix/main.cf')), 'the lines for a Postfix; deploy/ has more'],
  ] as const
  screen.print('\nNothing is started. Next:')
  // A command stays one line, however long, so that it can be pasted.
  for (const [i, [step, what]] of steps.entries())
    for (const line of [`  ${i + 1}. ${bold(step)}`, ...wrapped(what, screen.width, 5).map(dim)]) screen.print(line)
  const lead = `something must lead port ${SMTP} there, and leave the client its address, as nftables can: dnat to`
  const lacks = [
    ...(port === SMTP
      ? []
      : [`Senders call port ${SMTP} and no other: ${lead} ${spellAddress({ host: primary ?? backup ?? '', port })}.`]),
    ...(mayOpen
      ? []
      : [
          `This user may not open port ${port}: that wants root or CAP_NET_BIND_SERVICE, which the systemd unit gives. Or let the decoys listen on a high port, to which something leads port ${SMTP}: the same again with --port 2525 --force.`,
        ]),
    ...(primary === null
      ? ['Without a primary decoy nobody is seen to walk the right way: rules that need it are in mode observe.']
      : []),
    ...(backup === null
      ? [
          'Without a backup decoy nobody is ever listed by these rules, for all that weigh count there. What remains is nolisting: the primary costs those their mail who try nothing else.',
        ]
      : []),
  ]
  for (const sentence of lacks)
    for (const line of ['', ...wrapped(sentence, screen.width, 0)]) screen.print(line === '' ? '' : dim(line))
}

/** Ports below a bound want a capability, which root has unless it was taken (capabilities(7), ip(7)). */
export function mayOpenPort(port: number, read = (file: string) => readFileSync(file, 'utf8')): boolean {
  try {
    if (port >= Number(read('/proc/sys/net/ipv4/ip_unprivileged_port_start'))) return true
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(read('/proc/self/status'))?.[1] ?? '0'
    return (BigInt(`0x${effective}`) & NET_BIND_SERVICE) !== 0n
  } catch {
    // No Linux, or no /proc: the appliance itself will tell.
    return true
  }
}

const NET_BIND_SERVICE = 1n << 10n

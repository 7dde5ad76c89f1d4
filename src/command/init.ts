/**
 * `init`: four questions, or their flags, and the two files of a new host are written. Nothing is started.
 *
 * The files are those of deploy/, comments and all, with this host's addresses in them and the rules in mode observe. What is
 * written has passed the check that the daemon makes; with a mistake in any answer nothing is written, and all are told.
 * A file that is there already stays as it is, unless forced.
 */
import { type Complain, USAGE } from './exit-codes.ts'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { isMap, isSeq, parseDocument } from 'yaml'
import { type Screen, wrapped } from '../console/terminal.ts'
import { misread } from '../core/misread.ts'
import { readRules } from '../core/rules.ts'
import { spellAddress } from '../settings/places.ts'
import { nearest } from '../settings/reading.ts'
import { readSettings } from '../settings/settings.ts'
import { typed } from '../console/called.ts'

const SMTP = 25
const DEPLOY = join(import.meta.dirname, '../../deploy')
const DOMAIN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/
/** Asks again at most so often before it gives up on a person, or on a pipe that says the same again and again. */
const TRIES_MAX = 3

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
  return word === none || isIP(word) > 0
    ? undefined
    : `expected an IP address or ${none}, got ${JSON.stringify(text.trim())}${misread(text)}`
}

/** What cannot be so together, as far as there are answers. */
function clashes({ primary, backup, realMx }: Partial<Answers>): string[] {
  const mistakes: string[] = []
  if (primary === null && backup === null)
    mistakes.push('--primary and --backup: expected at least one spare address, got none for both')
  if (typeof primary === 'string' && primary === backup)
    mistakes.push(`--backup: expected another address than that of --primary, got ${backup}`)
  for (const [flag, ip] of [
    ['--primary', primary],
    ['--backup', backup],
  ] as const)
    if (typeof ip === 'string' && ip === realMx)
      mistakes.push(
        `${flag}: expected a spare address, got that of the real MX (${ip}), where all mail would go to the decoy`,
      )
  return mistakes
}

const listOf = (text: string) =>
  text
    .split(/[\s,]+/)
    .map((name) => name.replace(/\.$/, ''))
    .filter((name) => name !== '')

function answersOf(words: Required<Words>): Answers
function answersOf(words: Words): Partial<Answers>
function answersOf({ domain, primary, backup, realMx }: Words): Partial<Answers> {
  const address = (text: string, none: string) =>
    text.trim().toLowerCase() === none ? null : text.trim().toLowerCase()
  return {
    ...(domain === undefined ? {} : { domains: listOf(domain.toLowerCase()) }),
    ...(primary === undefined ? {} : { primary: address(primary, 'none') }),
    ...(backup === undefined ? {} : { backup: address(backup, 'none') }),
    ...(realMx === undefined ? {} : { realMx: address(realMx, 'dns') }),
  }
}

/** The two files' texts, from those of deploy/. */
function draft({ domains, primary, backup, realMx }: Answers): { readonly settings: string; readonly rules: string } {
  const [domain = ''] = domains
  const door = (ip: string | null) => (ip === null ? [] : [spellAddress({ host: ip, port: SMTP })])
  const settings = filled('decoymx.yaml', [
    [['decoys', 'primary', 'name'], `mx0.${domain}`],
    [['decoys', 'primary', 'listen'], door(primary)],
    [['decoys', 'backup', 'name'], `mx9.${domain}`],
    [['decoys', 'backup', 'listen'], door(backup)],
    [['dnsbl', 'zone'], `bl.${domain}`],
    [['dnsbl', 'contact'], `postmaster.${domain}`],
    [['real-mx', 'greet'], door(realMx)],
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
  const answers: Record<string, string> = {}
  /** With this answer, and not without it. */
  const clashOf = (key: keyof Words, answer: string): string | undefined => {
    const before = clashes(answersOf({ ...words, ...answers }))
    return clashes(answersOf({ ...words, ...answers, [key]: answer })).find((clash) => !before.includes(clash))
  }
  for (const { key, asks, hint } of open)
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      options.output.write(`${wrapped(`${asks} (${hint})`, options.screen.width, 0).join('\n')}\n> `)
      const { value: answer, done } = await lines.next()
      if (done) return { ...words, ...answers }
      const complaint = complaintOf(key, answer) ?? clashOf(key, answer)
      if (complaint === undefined) {
        answers[key] = answer
        break
      }
      options.screen.print(options.screen.colours.yellow(complaint))
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

export async function init(
  given: Words,
  options: Asking & { readonly into: string; readonly force: boolean; readonly complain: Complain },
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
  const mistakes = QUESTIONS.flatMap(({ key, flag, asks, hint }) => {
    const word = words[key]
    if (word === undefined) return [`${flag}: missing. ${asks} (${hint})`]
    const complaint = complaintOf(key, word)
    return complaint === undefined ? [] : [`${flag}: ${complaint}`]
  })
  const answers = mistakes.length === 0 ? answersOf(words as Required<Words>) : undefined
  if (!answers) return complain({ errors: mistakes }, USAGE)
  const together = clashes(answers)
  if (together.length > 0) return complain({ errors: together }, USAGE)

  const texts = draft(answers)
  const unsound = write(folder, files, texts)
  if (unsound.length > 0) return complain({ errors: unsound })
  tellNext(screen, answers, files)
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

function tellNext(screen: Screen, { domains, primary, backup }: Answers, files: Files): void {
  const { bold, dim, green } = screen.colours
  screen.print(`${green('written')}  ${files.settings}\n${green('written')}  ${files.rules}  ${dim('mode observe')}`)
  const [settings, rules] = [nearest(files.settings), nearest(files.rules)]
  const where = `--settings ${settings} --rules ${rules}`
  const steps = [
    [typed(`check ${where}`), 'both files, as the daemon reads them'],
    [typed(`plan ${domains[0]} --settings ${settings}`), 'the lines for your zone, and in which order'],
    [typed(`run ${where}`), 'or: systemctl enable --now decoymx, with the files in /etc/decoymx'],
    [nearest(join(DEPLOY, 'postfix/main.cf')), 'the lines for a Postfix; deploy/ has more'],
  ] as const
  screen.print('\nNothing is started. Next:')
  steps.forEach(([step, what], i) => screen.print(`  ${i + 1}. ${bold(step)}\n     ${dim(what)}`))
  const lacks = [
    ...(primary === null
      ? ['Without a primary decoy nobody is seen to walk the right way: rules that need it are in mode observe.']
      : []),
    ...(backup === null ? ['Without a backup decoy there is little evidence: nobody is listed by its order.'] : []),
  ]
  for (const sentence of lacks)
    for (const line of ['', ...wrapped(sentence, screen.width, 0)]) screen.print(line === '' ? '' : dim(line))
}

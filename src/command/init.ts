/**
 * `init`: four questions, or their flags (init-questions.ts), and the two files of a new host are written. Nothing is started.
 *
 * The files are those of deploy/, comments and all, with this host's addresses in them and the rules in mode observe. What is
 * written has passed the check that the daemon makes; with a mistake in any answer nothing is written, and all are told.
 * A file that is there already stays as it is, unless forced.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isMap, isSeq, parseDocument } from 'yaml'
import { typed } from '../console/called.ts'
import { type Screen, wrapped } from '../console/terminal.ts'
import { readRules } from '../core/rules.ts'
import { spellAddress } from '../settings/places.ts'
import { nearest } from '../settings/reading.ts'
import { readSettings } from '../settings/settings.ts'
import { type Complain, USAGE } from './exit-codes.ts'
import { type Answers, answersOf, type Asking, clashes, interview, mistakesIn, type Words } from './init-questions.ts'

const SMTP = 25
const DEPLOY = join(import.meta.dirname, '../../deploy')
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
  const mistakes = mistakesIn(words)
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

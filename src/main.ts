/**
 * From the command line to a command: words, usage, exit codes; nothing else.
 */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { NotRunning } from './command/appliance.ts'
import { check, printProblems } from './command/check.ts'
import { audit, LIST_LIMIT, list, say } from './command/decisions.ts'
import { enforce } from './command/enforce.ts'
import { exportList } from './command/export.ts'
import { settleWaiting, showWaiting } from './command/governor.ts'
import { doctor } from './command/doctor.ts'
import { kernel } from './command/kernel.ts'
import { run } from './command/run.ts'
import type { Where } from './command/settings.ts'
import { DAYS_MAX, simulate, WEEKS_MAX } from './command/simulate.ts'
import { status } from './command/status.ts'
import { runTests } from './command/test.ts'
import { why } from './command/why.ts'
import { FORMATS, type Format } from './answer/exports.ts'
import { EVERYTHING, NO_REASON } from './core/evidence.ts'
import { screenOf } from './console/terminal.ts'
import { DEFAULT_LAYOUT } from './core/mx.ts'

/** EX_USAGE and EX_SOFTWARE of sysexits(3). */
const USAGE = 64
const SOFTWARE = 70

const root = join(import.meta.dirname, '..')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const screen = screenOf(process.stdout, process.env)
const errors = screenOf(process.stderr, process.env)

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

function complain(body: unknown): number {
  const { error, hint } = body as { error?: string; hint?: string }
  errors.print(
    `${errors.colours.red('error')}  ${error ?? 'the appliance answered with an error'}${hint ? ` (${hint})` : ''}`,
  )
  return 1
}

type Options = {
  readonly state: string
  readonly settings?: string
  readonly rules: string
  readonly json?: boolean
  readonly only?: string[]
  readonly for?: string
  readonly because: string
  readonly author?: string
  readonly force?: boolean
  readonly limit: number
  readonly verdict?: string
}

type SimulateWords = { weeks: number; days: number; seed: number; layout: string; rules: string; json?: boolean }

function whereOf(options: Options): Where {
  return { state: resolve(options.state), settings: options.settings, rules: options.rules }
}

const state = () =>
  new Option('--state <dir>', 'where the appliance keeps its journal and its socket')
    .env('DECOYMX_STATE')
    .default('var')
const settings = () => new Option('--settings <file>', 'this host: addresses, store, limits').env('DECOYMX_SETTINGS')
const rules = () => new Option('--rules <file>', 'the rules').env('DECOYMX_RULES').default('rules.yaml')
const json = () => new Option('--json', 'print JSON')
const within = () => new Option('--for <span>', 'how long it stands, like 7d; without it until released')
const grace = () =>
  new Option('--for <span>', 'how long it is believed about the order of its visits; by default as the rules say')
const because = () => new Option('--because <reason>', 'why; kept in the journal, shown by why').default(NO_REASON)
const author = () => new Option('--author <name>', 'who says so; by default the user of this shell')
const PARTS = ['decoys', 'policy', 'dnsbl', 'http'] as const

const program = new Command('decoymx')
  .description('Decoy mail exchangers on spare IPs: who insists there is refused at the real MX.')
  .version(version)
  .showHelpAfterError('(decoymx --help lists the commands)')
  .showSuggestionAfterError()
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(errors.colours.red(text)) })

let exitCode = 0
const does =
  (body: (...words: never[]) => number | Promise<number>) =>
  async (...words: unknown[]) => {
    exitCode = await (body as (...all: unknown[]) => number | Promise<number>)(...words)
  }

program
  .command('run')
  .description('the appliance: decoys, policy service, DNSBL, HTTP')
  .addOption(state())
  .addOption(settings())
  .addOption(rules())
  .addOption(
    new Option('--only <parts>', `run a part of it: ${PARTS.join(',')}`).argParser((text) => {
      const parts = text.split(',').map((part) => part.trim())
      const strange = parts.filter((part) => !(PARTS as readonly string[]).includes(part))
      if (strange.length > 0)
        throw new InvalidArgumentError(`Expected a list of ${PARTS.join(', ')}; got ${strange.join(', ')}.`)
      return parts
    }),
  )
  .action(
    does((options: Options) =>
      run(whereOf(options), {
        parts: new Set(options.only ?? PARTS),
        version,
        screen,
        problems: (all) => printProblems(all, errors),
        refuse: (error) => complain({ error }),
      }),
    ),
  )

program
  .command('check')
  .description('are settings and rules sound? every problem with its line')
  .addOption(settings())
  .addOption(rules())
  .addOption(json())
  .action(
    does((options: Options) =>
      check(whereOf({ ...options, state: '.' }), process.env, { json: options.json ?? false, screen, errors }),
    ),
  )

program
  .command('why')
  .description(
    'the decision about a client and its arithmetic; exit 0 clean, 10 observed or deferred, 11 blocked, 12 allowed',
  )
  .argument('<subject>', 'an IP address, a CIDR, or the ticket that a refused sender quotes')
  .addOption(state())
  .addOption(json())
  .action(
    does((subject: string, options: Options) =>
      why(whereOf(options).state, subject, { json: options.json ?? false, screen, complain }),
    ),
  )

program
  .command('list')
  .description('the decisions that stand')
  .argument('[network]', 'only those inside this CIDR')
  .addOption(state())
  .addOption(new Option('--verdict <word>', 'only these').choices(['allow', 'observe', 'defer', 'block']))
  .addOption(new Option('--limit <n>', 'rows on a terminal').default(LIST_LIMIT).argParser(Number))
  .addOption(json())
  .action(
    does((network: string | undefined, options: Options) =>
      list(whereOf(options).state, {
        within: network,
        word: options.verdict,
        limit: options.limit,
        json: options.json ?? false,
        screen,
        complain,
      }),
    ),
  )

const WORDS = {
  allow: 'never refuse this client or network; stands above every block',
  block: 'refuse this client or network',
  release: 'take a block or an allow back, and forget the evidence that led there',
} as const
for (const word of ['allow', 'block', 'release'] as const) {
  const command = program
    .command(word)
    .description(WORDS[word])
    .argument('<target>', 'an IP address, a CIDR, or the name of a pool')
    .addOption(state())
    .addOption(because())
    .addOption(author())
  command.addOption(word === 'release' ? grace() : within())
  command.addOption(new Option('--force', 'also for a very wide network'))
  command.addOption(json()).action(
    does((target: string, options: Options) =>
      say(whereOf(options).state, word, target, {
        for: options.for,
        because: options.because,
        author: options.author,
        force: options.force ?? false,
        json: options.json ?? false,
        screen,
        complain,
      }),
    ),
  )
}

program
  .command('enforce')
  .description('what enforcing would have done lately: who would have been refused, and who of them followed through')
  .option('--preview', 'tell it; nothing is changed')
  .addOption(
    new Option('--days <n>', 'of the last so many days').default(7).argParser((text) => {
      const days = Number(text)
      if (!(days > 0 && days <= 31)) throw new InvalidArgumentError('Expected a number of days up to 31.')
      return days
    }),
  )
  .addOption(state())
  .addOption(settings())
  .addOption(rules())
  .addOption(json())
  .action(
    does((options: Options & { readonly preview?: boolean; readonly days: number }) =>
      enforce(whereOf(options), {
        preview: options.preview ?? false,
        days: options.days,
        json: options.json ?? false,
        screen,
        complain,
        problems: (all) => printProblems(all, errors),
      }),
    ),
  )

program
  .command('audit')
  .description('what operators have said: who, when, about whom, and why')
  .argument('[network]', 'only about this CIDR')
  .addOption(state())
  .addOption(json())
  .action(
    does((network: string | undefined, options: Options) =>
      audit(whereOf(options).state, { within: network, json: options.json ?? false, screen, complain }),
    ),
  )

program
  .command('governor')
  .description('the new listings that wait for a person, because they were too many at once')
  .addArgument(
    new Argument('[action]', 'enlist puts them into effect; discard lets them go until they are seen again').choices([
      'enlist',
      'discard',
    ]),
  )
  .argument('[network]', 'only inside this CIDR', EVERYTHING)
  .addOption(state())
  .addOption(because())
  .addOption(author())
  .addOption(json())
  .action(
    does((action: 'enlist' | 'discard' | undefined, target: string, options: Options) => {
      const { state: folder } = whereOf(options)
      const { because, author, json = false } = options
      if (!action) return showWaiting(folder, { json, screen, complain })
      return settleWaiting(folder, action, target, { because, author, json, screen, complain })
    }),
  )

program
  .command('export')
  .description('who is refused now, for a program that cannot ask us; exit 1 when nothing was written')
  .addArgument(new Argument('<format>', 'how it is written').choices(FORMATS))
  .addOption(state())
  .addOption(new Option('--out <file>', 'into this file, all of it or nothing; without it to the standard output'))
  .addOption(new Option('--force', 'also over a file that is not ours, or when the list has grown or shrunk a lot'))
  .action(
    does((format: Format, options: Options & { readonly out?: string }) =>
      exportList(whereOf(options).state, format, {
        out: options.out,
        force: options.force ?? false,
        screen: errors,
        complain,
      }),
    ),
  )

program
  .command('status')
  .description('one screen; exit 0 ok, 1 warning, 2 critical')
  .addOption(state())
  .addOption(json())
  .action(does((options: Options) => status(whereOf(options).state, { json: options.json ?? false, screen })))

program
  .command('doctor')
  .description('checks of the whole chain, each with a next step; exit 0 ok, 1 warning, 2 critical')
  .addOption(state())
  .addOption(settings())
  .addOption(rules())
  .addOption(json())
  .action(does((options: Options) => doctor(whereOf(options), process.env, { json: options.json ?? false, screen })))

program
  .command('kernel')
  .description(
    'whether the kernel refuses strangers at the primary; off removes our table, with or without an appliance',
  )
  .addArgument(new Argument('<action>', 'on and off last until the appliance ends').choices(['on', 'off', 'status']))
  .addOption(state())
  .addOption(json())
  .action(
    does((action: 'on' | 'off' | 'status', options: Options) =>
      kernel(whereOf(options).state, action, { json: options.json ?? false, screen, complain }),
    ),
  )

program
  .command('test')
  .description('rule cases: given this evidence, expect that verdict')
  .argument('[cases...]', 'files or folders', ['test/stories'])
  .addOption(rules())
  .action(does((cases: string[], options: Options) => runTests({ rulesFile: options.rules, cases, screen })))

const whole = (least: number, most: number) => (text: string) => {
  const n = /^\d{1,10}$/.test(text) ? Number(text) : NaN
  if (n >= least && n <= most) return n
  throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}, got ${text}.`)
}

program
  .command('simulate')
  .description('made-up weeks of senders under these rules: is honest mail touched, which bots are caught? exit 0 or 1')
  .addOption(
    new Option('--weeks <n>', 'so many, each with a seed of its own').argParser(whole(1, WEEKS_MAX)).default(10),
  )
  .addOption(
    new Option('--seed <s>', 'of the first week; the next have the next').argParser(whole(0, 2 ** 31)).default(1),
  )
  .addOption(new Option('--days <n>', 'how long a week lasts').argParser(whole(1, DAYS_MAX)).default(7))
  .addOption(new Option('--layout <mx>', 'the MX records: role and preference of each').default(DEFAULT_LAYOUT))
  .addOption(rules())
  .addOption(json())
  .action(
    does(({ rules: rulesFile, layout, weeks, days, seed, json: asJson }: SimulateWords) =>
      simulate({
        rulesFile,
        layout,
        weeks,
        days,
        seed,
        screen,
        errors,
        complain,
        json: asJson ?? false,
        problems: (all) => printProblems(all, errors),
        now: Date.now,
      }),
    ),
  )

try {
  await program.parseAsync()
  process.exitCode = exitCode
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : USAGE
  else if (error instanceof NotRunning) process.exitCode = complain({ error: error.message })
  else {
    errors.print(error instanceof Error ? (error.stack ?? error.message) : String(error))
    process.exitCode = SOFTWARE
  }
}

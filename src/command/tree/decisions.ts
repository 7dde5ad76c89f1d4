/**
 * The commands about decisions: why, which stand, what operators say about them, and what leaves as a list.
 *
 * All but `enforce` ask the running appliance, through its socket in the state directory.
 */
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { FORMATS, type Format } from '../../answer/formats.ts'
import { EVERYTHING } from '../../core/evidence.ts'
import { audit, LIST_LIMIT, list, mistakesInWord, say } from '../decisions.ts'
import { alsoMistaken } from './mistakes.ts'
import {
  author,
  because,
  json,
  network,
  type Options,
  rules,
  settings,
  type Stage,
  state,
  whereOf,
  whole,
} from './options.ts'

const within = () => new Option('--for <span>', 'how long it stands, like 7d; without it until released')
const grace = () =>
  new Option('--for <span>', 'how long it is believed about the order of its visits; by default as the rules say')

const WORDS = {
  allow: 'never refuse this client or network; stands above every block',
  block: 'refuse this client or network',
  release: 'take a block or an allow back, and forget the evidence that led there',
} as const

type Spoken = Options & { readonly for?: string }

/** Of a word with another mistake in it; that its target is missing is told already. */
async function mistakesBeside(word: string, target: string | undefined, options: Spoken): Promise<readonly string[]> {
  const { because, author, for: span } = options
  const said = { because, ...(author === undefined ? {} : { author }), ...(span === undefined ? {} : { for: span }) }
  return mistakesInWord({ word, target: target ?? EVERYTHING, ...said })
}

export function decisionCommands(program: Command, stage: Stage): void {
  const { screen, errors, complain, problems, does } = stage

  const why = program
    .command('why')
    .description(
      'the decision about a client and its arithmetic; exit 0 clean, 10 observed or deferred, 11 blocked, 12 allowed',
    )
    .argument('<subject>', 'an IP address, a CIDR, or the ticket that a refused sender quotes')
    .addOption(state())
    .addOption(json())
    .action(
      does(async (subject: string, options: Options) =>
        (await import('../why.ts')).why(whereOf(options).state, subject, {
          json: options.json ?? false,
          screen,
          complain,
        }),
      ),
    )
  alsoMistaken(why, async (subject?: string) =>
    subject === undefined ? [] : (await import('../why.ts')).mistakesInSubject(subject),
  )

  program
    .command('list')
    .description('the decisions that stand')
    .argument('[network]', 'only those inside this CIDR', network)
    .addOption(state())
    .addOption(new Option('--verdict <word>', 'only these').choices(['allow', 'observe', 'defer', 'block']))
    .addOption(new Option('--limit <n>', 'rows on a terminal').default(LIST_LIMIT).argParser(whole(1, 1_000_000)))
    .addOption(json())
    .action(
      does((network: string | undefined, options: Options & { readonly limit: number; readonly verdict?: string }) =>
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
      does((target: string, options: Spoken & { readonly force?: boolean }) =>
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
    alsoMistaken(command, (target: string | undefined, options: Spoken) => mistakesBeside(word, target, options))
  }

  program
    .command('enforce')
    .description('what enforcing would have done lately: who would have been refused, and who of them followed through')
    .option('--preview', 'tell it; nothing is changed')
    .addOption(
      new Option('--days <n>', 'of the last so many days').default(7).argParser((text) => {
        const days = Number(text)
        if (!(days > 0 && days <= 31)) throw new InvalidArgumentError(`expected a number of days up to 31, got ${text}`)
        return days
      }),
    )
    .addOption(state())
    .addOption(settings())
    .addOption(rules())
    .addOption(json())
    .action(
      does(async (options: Options & { readonly preview?: boolean; readonly days: number }) =>
        (await import('../enforce.ts')).enforce(whereOf(options), {
          preview: options.preview ?? false,
          days: options.days,
          json: options.json ?? false,
          screen,
          complain,
          problems,
        }),
      ),
    )

  program
    .command('audit')
    .description('what operators have said: who, when, about whom, and why')
    .argument('[network]', 'only about this CIDR', network)
    .addOption(state())
    .addOption(json())
    .action(
      does((network: string | undefined, options: Options) =>
        audit(whereOf(options).state, { within: network, json: options.json ?? false, screen, complain }),
      ),
    )

  const governor = program
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
      does(async (action: 'enlist' | 'discard' | undefined, target: string, options: Options) => {
        const { state: folder } = whereOf(options)
        const { because, author, json = false } = options
        if (!action) return (await import('../governor.ts')).showWaiting(folder, { json, screen, complain })
        return (await import('../governor.ts')).settleWaiting(folder, action, target, {
          because,
          author,
          json,
          screen,
          complain,
        })
      }),
    )
  alsoMistaken(governor, async (action: 'enlist' | 'discard' | undefined, target: string, options: Spoken) =>
    action ? mistakesBeside(action, target, options) : [],
  )

  program
    .command('export')
    .description('who is refused now, for a program that cannot ask us; exit 1 when nothing was written')
    .addArgument(
      new Argument('<format>', 'how it is written; recording: what a shared Redis has counted, for replay').choices([
        ...FORMATS,
        'recording',
      ]),
    )
    .addOption(state())
    .addOption(settings())
    .addOption(new Option('--out <file>', 'into this file, all of it or nothing; without it to the standard output'))
    .addOption(new Option('--force', 'also over a file that is not ours, or when the list has grown or shrunk a lot'))
    .action(
      does(
        async (
          format: Format | 'recording',
          options: Options & { readonly out?: string; readonly force?: boolean },
        ) => {
          const { out, force = false } = options
          const { state: folder, settings: file } = whereOf(options)
          return format === 'recording'
            ? (await import('../export-recording.ts')).exportRecording(file, {
                out,
                force,
                screen: errors,
                complain,
                problems,
                now: Date.now,
              })
            : (await import('../export.ts')).exportList(folder, format, { out, force, screen: errors, complain })
        },
      ),
    )
}

/**
 * The commands about rules: what they say of a case, and of a made-up world.
 *
 * None of them needs an appliance.
 */
import { type Command, Option } from 'commander'
import { DEFAULT_LAYOUT, readLayout } from '../../core/mx.ts'
import { alsoMistaken } from './mistakes.ts'
import { json, type Options, rules, settings, type Stage, state, whereOf, whole } from './options.ts'

/** Bounds of one simulation: a day of work, and facts are kept for 31 days. */
const WEEKS_MAX = 100_000
const DAYS_MAX = 31

type SimulateWords = {
  weeks: number
  days: number
  seed: number
  layout: string
  rules: string
  json?: boolean
  with?: string
  population?: string
}

export function ruleCommands(program: Command, stage: Stage): void {
  const { screen, errors, complain, problems, does } = stage

  program
    .command('test')
    .description('rule cases: given this evidence, expect that verdict; and which rules no case reaches')
    .argument('[cases...]', 'files or folders', ['test/stories'])
    .addOption(rules())
    .addOption(json())
    .action(
      does(async (cases: string[], options: Options) =>
        (await import('../test.ts')).runTests({
          rulesFile: options.rules,
          cases,
          json: options.json ?? false,
          screen,
          problems,
        }),
      ),
    )

  program
    .command('replay')
    .description(
      'recordings under other rules: who would newly be listed, who no longer; exit 10 if somebody worse off had followed through, is allowed or was released',
    )
    .argument(
      '[journals...]',
      'state directories, journals or files of them, of any number of hosts; by default our own',
    )
    .addOption(new Option('--rules <file>', 'the other rules').makeOptionMandatory())
    .addOption(new Option('--against <file>', 'the rules of today').env('DECOYMX_RULES').default('rules.yaml'))
    .addOption(new Option('--picture <file>', 'draw how many are listed when, under both, as an SVG'))
    .addOption(state())
    .addOption(settings())
    .addOption(json())
    .action(
      does(async (journals: string[], options: Options & { readonly against: string; readonly picture?: string }) =>
        (await import('../replay.ts')).replay(journals, whereOf(options), {
          against: options.against,
          picture: options.picture,
          json: options.json ?? false,
          screen,
          errors,
          complain,
          problems,
          now: Date.now,
        }),
      ),
    )

  const simulate = program
    .command('simulate')
    .description(
      'made-up weeks of senders under these rules: is honest mail touched, which bots are caught? exit 0 or 1',
    )
    .addOption(
      new Option('--weeks <n>', 'so many, each with a seed of its own').argParser(whole(1, WEEKS_MAX)).default(10),
    )
    .addOption(
      new Option('--seed <s>', 'of the first week; the next have the next').argParser(whole(0, 2 ** 31)).default(1),
    )
    .addOption(new Option('--days <n>', 'how long a week lasts').argParser(whole(1, DAYS_MAX)).default(7))
    .addOption(
      new Option(
        '--layout <mx>',
        'the MX records: role and preference of each; closed-primary where the kernel refuses',
      ).default(DEFAULT_LAYOUT),
    )
    .addOption(new Option('--population <file>', 'who comes, and how many of each kind, like deploy/population.yaml'))
    .addOption(new Option('--with <file>', 'other rules, for the same weeks under both side by side'))
    .addOption(rules())
    .addOption(json())
    .action(
      does(
        async ({
          rules: rulesFile,
          with: otherFile,
          population: populationFile,
          layout,
          weeks,
          days,
          seed,
          json: asJson,
        }: SimulateWords) =>
          (await import('../simulate.ts')).simulate({
            rulesFile,
            otherFile,
            populationFile,
            layout,
            weeks,
            days,
            seed,
            screen,
            errors,
            complain,
            json: asJson ?? false,
            problems,
            now: Date.now,
          }),
      ),
    )
  alsoMistaken(simulate, async ({ layout }: SimulateWords) => {
    const read = readLayout(layout)
    return typeof read === 'string' ? [`--layout: ${read}`] : []
  })
}

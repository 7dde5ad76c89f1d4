/**
 * The commands about a domain's MX layout. None of them needs an appliance, and none changes anything.
 */
import { type Command, Option } from 'commander'
import type { PlanWords } from '../plan.ts'
import type { SurveyWords } from '../surveying.ts'
import { alsoMistaken } from './mistakes.ts'
import { json, settings, type Stage, whole } from './options.ts'

const several = (text: string, before: readonly string[] = []) => [...before, text]
const decoy = (role: string) =>
  new Option(`--${role} <name>`, `this exchange is the ${role} decoy; by default by the settings`).argParser(several)
const address = (role: string) =>
  new Option(`--${role}-address <ip>`, `the address that the ${role} decoy shall have`).argParser(several)

export function layoutCommands(program: Command, { screen, errors, problems, does }: Stage): void {
  const asking = (command: Command) =>
    command
      .argument('<domain>', 'the domain that is protected')
      .addOption(decoy('primary'))
      .addOption(decoy('backup'))
      .addOption(new Option('--server <ip[:port]>', 'ask this name server; by default those of the system'))
      .addOption(new Option('--zone <file>', 'read this zone file (master format) in place of DNS'))
      .addOption(settings())
      .addOption(json())

  const linting = asking(
    program
      .command('lint')
      .description('is this MX layout safe to have decoys in? exit 0 ok, 1 warning, 2 critical, 3 unknown'),
  )
    .addOption(new Option('--sts <file>', 'the MTA-STS policy; by default it is fetched where there is one'))
    .addOption(new Option('--probe', 'also call port 25 of every exchange, as a stranger from this host'))
    .addOption(new Option('--port <n>', 'call this port in place of 25').argParser(whole(1, 65_535)))
    .action(
      does(async (domain: string, words: SurveyWords & { readonly json?: boolean }) =>
        (await import('../lint.ts')).lintDomain(domain, words, process.env, {
          json: words.json ?? false,
          screen,
          errors,
          problems,
        }),
      ),
    )

  alsoMistaken(linting, async (domain: string | undefined, words: SurveyWords) =>
    (await import('../surveying.ts')).mistakesInSurvey(domain, words, process.env),
  )

  const planning = asking(
    program
      .command('plan')
      .description('the zone lines to add and to remove so that decoys may stand in this layout, step by step'),
  )
    .addOption(address('primary'))
    .addOption(address('backup'))
    .action(
      does(async (domain: string, words: PlanWords & { readonly json?: boolean }) =>
        (await import('../plan.ts')).planDomain(domain, words, process.env, {
          json: words.json ?? false,
          screen,
          errors,
          problems,
        }),
      ),
    )
  alsoMistaken(planning, async (domain: string | undefined, words: PlanWords) =>
    (await import('../plan.ts')).mistakesInPlan(domain, words, process.env),
  )
}

/**
 * The command tree: every word that a person can type, with its arguments and options, as one value.
 *
 * It is apart from main.ts so that what is made of it (usage, shell completion, manual pages) reads the same tree.
 * What a command does is opened when it is typed: whoever asks for a status does not wait for the daemon's packages.
 */
import { Argument, Command, type HelpConfiguration } from 'commander'
import { asTyped, typed } from '../../console/called.ts'
import { completionScript, type Shell, SHELLS } from '../completion.ts'
import { applianceCommands } from './appliance.ts'
import { decisionCommands } from './decisions.ts'
import { layoutCommands } from './layout.ts'
import { gatherMistakes } from './mistakes.ts'
import type { Stage } from './options.ts'
import { ruleCommands } from './rules.ts'

export function commandTree(stage: Stage): Command {
  const program = new Command('decoymx')
    .description('Decoy mail exchangers on spare IPs: who insists there is refused at the real MX.')
    .version(stage.version)
    .showHelpAfterError(`(${typed('--help')} lists the commands)`)
    .showSuggestionAfterError()
    // Its commands take this over as they are made.
    .configureHelp(HELP)
    .exitOverride()
  applianceCommands(program, stage)
  decisionCommands(program, stage)
  ruleCommands(program, stage)
  layoutCommands(program, stage)
  program
    .command('completion')
    .description('what a shell needs to complete these words: source <(decoymx completion bash)')
    .addArgument(new Argument('<shell>', 'which').choices(SHELLS))
    .action(
      stage.does((shell: Shell) => {
        stage.screen.print(completionScript(program, shell).trimEnd())
        return 0
      }),
    )
  for (const command of program.commands) command.showHelpAfterError(usageOf(command))
  gatherMistakes(program, stage)
  return program
}

/** As it is typed here: how a command is called, and what its description names. */
const HELP: HelpConfiguration = {
  commandUsage: (command) => typed(command.parent ? `${command.name()} ${command.usage()}` : command.usage()),
  commandDescription: (command) => asTyped(command.description()),
  subcommandDescription: (command) => asTyped(command.summary() || command.description()),
}

/** After a mistake: how this one is typed, what may stand where there is a choice, and where there is more. */
function usageOf(command: Command): string {
  const choices = command.registeredArguments.flatMap((argument) =>
    argument.argChoices ? [`       ${argument.name()}: ${argument.argChoices.join(', ')}`] : [],
  )
  const must = command.options.filter(({ mandatory }) => mandatory).map(({ flags }) => `${flags} `)
  const words = command.registeredArguments.map((argument) => spellArgument(argument))
  return [
    `usage: ${typed([command.name(), ...words].join(' '))} ${must.join('')}[options]`,
    ...choices,
    `(${typed(`${command.name()} --help`)} says more)`,
  ].join('\n')
}

function spellArgument(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${name}>` : `[${name}]`
}

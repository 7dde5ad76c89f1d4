/**
 * What is wrong with a command line: all of it at once, and in the one style of our errors.
 *
 * commander ends at the first value that it cannot take. Here a value that is wrong is remembered and left out, so that the
 * others are still read; before anything is done all of them are told, with what commander itself finds (an unknown option, a
 * missing word), and with how the command is typed.
 */
import { type Argument, type Command, InvalidArgumentError, type Option } from 'commander'
import type { Stage } from './options.ts'

export function gatherMistakes(program: Command, { complain }: Stage): void {
  const mistakes: string[] = []
  for (const command of program.commands) {
    for (const option of command.options) gather(option, option.long ?? option.flags, mistakes)
    for (const argument of command.registeredArguments) gather(argument, argument.name(), mistakes)
    command.hook('preAction', () => {
      if (mistakes.length > 0) command.error('')
    })
    command.configureOutput({ outputError: tell })
  }
  program.configureOutput({ outputError: tell })

  function tell(text: string): void {
    // "error: unknown option '--fro'\n(Did you mean --for?)\n"
    const found = text
      .replace(/^error: /, '')
      .trim()
      .replaceAll('\n', ' ')
    complain({ errors: [...mistakes, ...(found === '' ? [] : [found])] })
  }
}

function gather(target: Option | Argument, name: string, mistakes: string[]): void {
  const parse = target.parseArg?.bind(target)
  if (!parse) return
  target.argParser((text: string, previous: unknown) => {
    try {
      return parse(text, previous)
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      const { argChoices } = target
      mistakes.push(
        `${name}: ${argChoices ? `expected one of ${argChoices.join(', ')}, got "${text}"` : error.message}`,
      )
      return previous
    }
  })
}

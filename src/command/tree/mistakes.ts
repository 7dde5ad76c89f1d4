/**
 * What is wrong with a command line: all of it at once, and in the one style of our errors.
 *
 * commander ends at the first mistake that it finds. Here each is remembered and left out, so that the rest is still read:
 * a value that is wrong, a word that is missing, an option that there is not. An option that was most likely another one is
 * read as that one, so that its value is not taken for a word of its own. Before anything is done all mistakes are told, with
 * what only the command knows of its words (`alsoMistaken`), and with how it is typed.
 */
import { type Argument, type Command, InvalidArgumentError, type Option } from 'commander'
import { didYouMean, nearest } from '../../core/likely.ts'
import { typed } from '../../console/called.ts'
import type { Stage } from './options.ts'

/** What a command finds wrong with its words beyond what each of them alone shows; asked only where there is a mistake already. */
type Further = (words: readonly unknown[]) => Promise<readonly string[]>

const FURTHER = new WeakMap<Command, Further>()

/** @param further - is given what the action would be given: arguments, then options */
export function alsoMistaken(command: Command, further: (...words: never[]) => Promise<readonly string[]>): Command {
  FURTHER.set(command, (words) => (further as (...all: readonly unknown[]) => Promise<readonly string[]>)(...words))
  return command
}

export function gatherMistakes(program: Command, { complain }: Stage): void {
  for (const command of program.commands) gatherIn(command, complain)
  program.configureOutput({
    outputError: (text) => {
      const command = program.commands.find((each) => program.args.includes(each.name()))
      const option = /unknown option '--([\w-]+)/.exec(text)?.[1]
      const meant = command && option !== undefined ? nearest(option, longNames(command)) : undefined
      const hint = meant && `options stand behind the command: ${typed(`${command?.name()} --${meant}`)}`
      complain({ error: plainly(text), hint })
    },
  })
}

function gatherIn(command: Command, complain: Stage['complain']): void {
  const mistakes: string[] = []
  for (const option of command.options) gather(option, option.long ?? option.flags, mistakes)
  for (const argument of command.registeredArguments) gather(argument, argument.name(), mistakes)
  const unknown = readUnknown(command, mistakes)

  const end = command.error.bind(command)
  const bare: string[] = []
  // commander goes on behind each of its own errors: what it reads then is looked at, and never used.
  command.error = ((text: string) => {
    const [, option] = /^error: option '(--[\w-]+).*' argument missing/.exec(text) ?? []
    if (option !== undefined) bare.push(option)
    // Of a word too many behind an option that there is not, nobody knows whose it was.
    if (!(unknown.some && text.startsWith('error: too many arguments'))) mistakes.push(plainly(text))
  }) as typeof command.error
  command.configureOutput({ outputError: () => complain({ errors: mistakes }) })
  command.hook('preAction', async () => {
    if (mistakes.length === 0) return
    const options: Record<string, unknown> = command.opts()
    // Of an option that nothing stands behind commander keeps a value that nobody gave.
    for (const option of command.options) if (bare.includes(option.long ?? '')) delete options[option.attributeName()]
    mistakes.push(...((await FURTHER.get(command)?.([...command.processedArgs, options])) ?? []))
    end('')
  })
}

/** Remembers each option that there is not; what stands behind it is read as behind the option that was most likely meant. */
function readUnknown(command: Command, mistakes: string[]): { readonly some: boolean } {
  const read = command.parseOptions.bind(command)
  const names = longNames(command)
  const found = { some: false }
  command.parseOptions = (words) => {
    const all = read(words)
    while (all.unknown.length > 0 && !HELP.has(all.unknown[0] as string)) {
      const [first = '', ...behind] = all.unknown
      const [, name = first, value] = /^--([^=]+)(?:=(.*))?$/s.exec(first) ?? []
      const meant = nearest(name, names)
      if (name === meant) mistakes.push(`--${name}: expected no value, got "${value}"`)
      else mistakes.push(`unknown option '${first}'${meant === undefined ? '' : `; did you mean --${meant}?`}`)
      found.some = true
      const option = command.options.find(({ long }) => long === `--${meant}`)
      const given = value === undefined || !(option?.required || option?.optional) ? [] : [value]
      const next = read(option ? [`--${meant}`, ...given, ...behind] : behind)
      all.operands.push(...next.operands)
      all.unknown = next.unknown
    }
    return all
  }
  return found
}

function longNames(command: Command): string[] {
  return command.options.flatMap(({ long }) => long?.slice(2) ?? [])
}

const HELP = new Set(['-h', '--help'])

function gather(target: Option | Argument, name: string, mistakes: string[]): void {
  const parse = target.parseArg?.bind(target)
  if (!parse) return
  target.argParser((text: string | undefined, previous: unknown) => {
    // Nothing stands behind it, which commander has told already.
    if (text === undefined) return previous
    try {
      return parse(text, previous)
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error
      const { argChoices } = target
      const hint = argChoices && didYouMean(text, argChoices)
      mistakes.push(
        `${name}: ${argChoices ? `expected one of ${argChoices.join(', ')}, got "${text}"${hint === undefined ? '' : `; ${hint}`}` : error.message}`,
      )
      return previous
    }
  })
}

// "error: unknown command 'lits'\n(Did you mean list?)\n"
function plainly(text: string): string {
  return text
    .replace(/^error: /, '')
    .trim()
    .replaceAll('\n', ' ')
}

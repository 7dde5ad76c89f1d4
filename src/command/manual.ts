/**
 * Manual pages, made of the command tree: decoymx(1), and a page for each command. In man(7)'s macros, which every man reads.
 *
 * `manual.ts FOLDER VERSION` writes them, as the package's build does.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Argument, Command, Option } from 'commander'

/** The pages, by their file names: `decoymx.1`, `decoymx-why.1`. */
export function manualPages(program: Command): Record<string, string> {
  return Object.fromEntries([
    [`${program.name()}.1`, overview(program)],
    ...program.commands.map((command) => [`${program.name()}-${command.name()}.1`, pageOf(program, command)]),
  ])
}

function overview(program: Command): string {
  const name = program.name()
  return page([
    title(program, name),
    '.SH NAME',
    `${name} \\- ${text(sentence(program.description()))}`,
    '.SH SYNOPSIS',
    `.B ${name}`,
    '.I command',
    '.RI [ options ]',
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => [
      '.TP',
      `.BR ${name}\\-${text(command.name())} (1)`,
      text(command.description()),
    ]),
    '.SH FILES',
    ...FILES.flatMap(([path, what]) => ['.TP', `.I ${text(path)}`, text(what)]),
    '.SH ENVIRONMENT',
    ...environmentOf(program).flatMap(([variable, option]) => [
      '.TP',
      `.B ${variable}`,
      `In place of ${text(option)}.`,
    ]),
    '.TP',
    '.B NO_COLOR',
    'No colours, whatever it is set to.',
  ])
}

const FILES = [
  ['/etc/decoymx/decoymx.yaml', 'Settings of this host, as the package has them.'],
  ['/etc/decoymx/rules.yaml', 'What the evidence means here. SIGHUP loads it into a running appliance.'],
  ['/var/lib/decoymx', 'The recording, the store, and the socket for commands.'],
] as const

function environmentOf(program: Command): [string, string][] {
  const options = program.commands.flatMap((command) => command.options)
  return [...new Map(options.flatMap(({ envVar, long }) => (envVar && long ? [[envVar, long]] : [])))] as [
    string,
    string,
  ][]
}

function pageOf(program: Command, command: Command): string {
  const name = `${program.name()}-${command.name()}`
  const places = command.registeredArguments
  return page([
    title(program, name),
    '.SH NAME',
    `${text(name)} \\- ${text(sentence(command.description()))}`,
    '.SH SYNOPSIS',
    `.B ${program.name()} ${text(command.name())}`,
    ...places.map((argument) => `.I ${text(spelling(argument))}`),
    ...(command.options.length > 0 ? ['.RI [ options ]'] : []),
    ...(places.length > 0 ? ['.SH ARGUMENTS'] : []),
    ...places.flatMap((argument) => ['.TP', `.I ${text(argument.name())}`, described(argument)]),
    '.SH OPTIONS',
    ...command.options.flatMap((option) => ['.TP', `.B ${text(option.flags)}`, described(option)]),
    '.TP',
    '.B \\-\\-help',
    'Tells these in short.',
    '.SH SEE ALSO',
    `.BR ${program.name()} (1)`,
  ])
}

function title(program: Command, name: string): string {
  return `.TH ${text(name.toUpperCase())} 1 "" "decoymx ${program.version() ?? ''}" "decoymx"`
}

function spelling(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? name : `[${name}]`
}

function described(place: Argument | Option): string {
  const { description, argChoices, defaultValue } = place
  const environment = 'envVar' in place && place.envVar ? `Environment: ${place.envVar}.` : ''
  const choices = argChoices ? `One of ${argChoices.join(', ')}.` : ''
  const usual =
    defaultValue === undefined || defaultValue === false ? '' : `Default: ${[defaultValue].flat().join(' ')}.`
  const parts = [description === '' ? '' : `${sentence(description)}.`, choices, usual, environment]
  return text(parts.filter((part) => part !== '').join(' '))
}

const sentence = (words: string) => words.replace(/\.$/, '')

/** As groff reads it: a backslash and a hyphen are themselves, and no line begins a request. */
function text(words: string): string {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
}

const page = (lines: readonly string[]) => `${lines.join('\n')}\n`

if (import.meta.main) {
  const [, , folder = '.', version = ''] = process.argv
  const [{ stageOn }, { commandTree }, { screenOf }] = await Promise.all([
    import('./tree/options.ts'),
    import('./tree/tree.ts'),
    import('../console/terminal.ts'),
  ])
  const screen = screenOf(process.stdout, process.env)
  mkdirSync(folder, { recursive: true })
  const pages = manualPages(commandTree(stageOn(version, screen, screen, () => {})))
  for (const [file, page] of Object.entries(pages)) writeFileSync(join(folder, file), page)
}

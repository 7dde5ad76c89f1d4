/**
 * `completion SHELL`: what bash, zsh or fish needs to finish our words, made of the command tree, so that it is never behind it.
 *
 *     source <(decoymx completion bash)         in ~/.bashrc
 *     source <(decoymx completion zsh)          in ~/.zshrc, after compinit
 *     decoymx completion fish > ~/.config/fish/completions/decoymx.fish
 */
import type { Argument, Command, Option } from 'commander'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

export function completionScript(program: Command, shell: Shell): string {
  const commands = program.commands.map(wordsOf)
  return `${{ bash, zsh, fish }[shell](commands)}\n`
}

/** What may stand at a place: one of these words, a file, a folder, or what only a person knows. */
type Value = { readonly words: readonly string[] } | 'file' | 'folder' | 'anything'
type Flag = { readonly name: string; readonly what: string; readonly value: Value | undefined }
type Words = {
  readonly name: string
  readonly what: string
  readonly flags: readonly Flag[]
  /** Of the first argument. */
  readonly value: Value | undefined
}

function wordsOf(command: Command): Words {
  const flags = command.options.flatMap((option) =>
    option.long
      ? [{ name: option.long, what: option.description, value: option.isBoolean() ? undefined : valueOf(option) }]
      : [],
  )
  const [argument] = command.registeredArguments
  return { name: command.name(), what: command.description(), flags, value: argument && valueOf(argument) }
}

function valueOf(place: Option | Argument): Value {
  if (place.argChoices) return { words: place.argChoices }
  const name = 'flags' in place ? place.flags : place.name()
  if (/<(dir|folder)>/.test(name)) return 'folder'
  return /file|cases|journal|zone/.test(name) ? 'file' : 'anything'
}

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

function bash(commands: readonly Words[]): string {
  const offer = (value: Value) => {
    if (value === 'file') return 'COMPREPLY=($(compgen -f -- "$current"))'
    if (value === 'folder') return 'COMPREPLY=($(compgen -d -- "$current"))'
    return value === 'anything' ? ':' : `COMPREPLY=($(compgen -W ${quote(value.words.join(' '))} -- "$current"))`
  }
  const cases = commands.flatMap(({ name, flags, value }) => [
    ...flags.flatMap((flag) => (flag.value ? [`    ${quote(`${name} ${flag.name}`)}) ${offer(flag.value)} ;;`] : [])),
    `    ${name}\\ *) case $current in`,
    `      -*) COMPREPLY=($(compgen -W ${quote(flags.map((flag) => flag.name).join(' '))} -- "$current")) ;;`,
    `      *) ${offer(value ?? 'anything')} ;;`,
    '    esac ;;',
  ])
  return [
    '_decoymx() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= word',
    '  COMPREPLY=()',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    case $word in -*) ;; *) command=$word; break ;; esac',
    '  done',
    '  case "$command $before" in',
    `    ' '*) COMPREPLY=($(compgen -W ${quote(commands.map(({ name }) => name).join(' '))} -- "$current")) ;;`,
    ...cases,
    '  esac',
    '}',
    'complete -F _decoymx decoymx',
  ].join('\n')
}

function zsh(commands: readonly Words[]): string {
  const action = (value: Value) => {
    if (value === 'file') return '_files'
    if (value === 'folder') return '_files -/'
    return value === 'anything' ? ' ' : `(${value.words.join(' ')})`
  }
  // A colon ends a part, a bracket the description.
  const plain = (text: string) => text.replace(/[\\:[\]]/g, String.raw`\$&`)
  const cases = commands.flatMap(({ name, flags, value }) => [
    `    ${name}) _arguments \\`,
    ...flags.map((flag) => {
      const takes = flag.value ? `:value:${action(flag.value)}` : ''
      return `      ${quote(`${flag.name}[${plain(flag.what)}]${takes}`)} \\`
    }),
    ...(value ? [`      ${quote(`*:value:${action(value)}`)} \\`] : []),
    '      && return ;;',
  ])
  return [
    '#compdef decoymx',
    '_decoymx() {',
    '  local -a commands=(',
    ...commands.map(({ name, what }) => `    ${quote(`${name}:${plain(what)}`)}`),
    '  )',
    '  if (( CURRENT == 2 )); then _describe command commands; return; fi',
    '  local command=$words[2]',
    '  shift words; (( CURRENT-- ))',
    '  case $command in',
    ...cases,
    '  esac',
    '}',
    // As a file on the fpath it is this function's body; sourced, it must be told to the completion system.
    'if [ "$funcstack[1]" = _decoymx ]; then _decoymx "$@"; else compdef _decoymx decoymx; fi',
  ].join('\n')
}

function fish(commands: readonly Words[]): string {
  const takes = (value: Value) => {
    if (value === 'file') return '-r -F'
    if (value === 'folder') return "-x -a '(__fish_complete_directories)'"
    return value === 'anything' ? '-x' : `-x -a ${fishQuote(value.words.join(' '))}`
  }
  const lines = commands.flatMap(({ name, what, flags, value }) => {
    const here = `complete -c decoymx -n '__fish_seen_subcommand_from ${name}'`
    return [
      `complete -c decoymx -n __fish_use_subcommand -a ${name} -d ${fishQuote(what)}`,
      ...flags.map((flag) => {
        const option = `${here} -l ${flag.name.slice(2)}${flag.value ? ` ${takes(flag.value)}` : ''}`
        return `${option} -d ${fishQuote(flag.what)}`
      }),
      ...(value === 'file' ? [`${here} -F`] : []),
      ...(value && typeof value === 'object' ? [`${here} -a ${fishQuote(value.words.join(' '))}`] : []),
    ]
  })
  return ['complete -c decoymx -f', ...lines].join('\n')
}

/** Fish takes a backslash before a quote within quotes. */
function fishQuote(text: string): string {
  return `'${text.replace(/['\\]/g, String.raw`\$&`)}'`
}

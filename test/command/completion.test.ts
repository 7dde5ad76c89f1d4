import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import picocolors from 'picocolors'
import { describe, expect, inject, test } from 'vitest'
import { completionScript, type Shell, SHELLS } from '../../src/command/completion.ts'
import { manualPages } from '../../src/command/manual.ts'
import { stageOn } from '../../src/command/tree/options.ts'
import { commandTree } from '../../src/command/tree/tree.ts'
import { folder } from '../folders.ts'

const screen = { colours: picocolors.createColors(false), person: false, width: 100, height: 24, print: () => {} }
const program = commandTree(stageOn('1.2.3', screen, screen, () => {}))
const commands = program.commands.map((command) => command.name())

/** A real shell's answer, a line each. */
function shell(program: string, words: readonly string[]): string[] {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' })
  if (status !== 0 || stderr !== '') throw new Error(`${program}: ${status} ${stderr}`)
  return stdout.split('\n').filter((line) => line !== '')
}

function scriptFile(name: Shell): string {
  const file = join(folder(), `decoymx.${name}`)
  writeFileSync(file, completionScript(program, name))
  return file
}

/** What bash would offer after these words, the last of which is being typed. */
function bashOffers(...words: string[]): string[] {
  const typed = ['decoymx', ...words].map((word) => `'${word}'`).join(' ')
  return shell('bash', [
    '-c',
    `source ${scriptFile('bash')}; COMP_WORDS=(${typed}); COMP_CWORD=${words.length}; _decoymx; printf '%s\\n' "\${COMPREPLY[@]}"`,
  ])
}

describe('completion', () => {
  test.each(SHELLS)('%s: each command and each of its options is there', (name) => {
    const script = completionScript(program, name)
    expect(commands.filter((command) => !script.includes(command))).toEqual([])
    const options = program.commands.flatMap((command) => command.options.map(({ long }) => long ?? ''))
    expect(options.length).toBeGreaterThan(30)
    expect(options.filter((long) => !script.includes(name === 'fish' ? `-l ${long.slice(2)}` : long))).toEqual([])
  })

  test('bash offers commands, options, and the words that may stand at a place', () => {
    expect(bashOffers('').toSorted()).toEqual(commands.toSorted())
    expect(bashOffers('wh')).toEqual(['why'])
    expect(bashOffers('why', '--')).toEqual(['--state', '--json'])
    expect(bashOffers('export', 'rb')).toEqual(['rbldnsd'])
    expect(bashOffers('list', '--verdict', '')).toEqual(['allow', 'observe', 'defer', 'block'])
    expect(bashOffers('check', '--rules', '/etc/host')).toContain('/etc/hosts')
    expect(bashOffers('why', '')).toEqual([])
  })

  test.skipIf(inject('missing').includes('fish'))('fish offers the same', () => {
    const offers = (typed: string) =>
      shell('fish', ['--no-config', '-c', `source ${scriptFile('fish')}; complete -C ${JSON.stringify(typed)}`]).map(
        (line) => line.split('\t')[0] ?? '',
      )
    expect(offers('decoymx ').toSorted()).toEqual(commands.toSorted())
    expect(offers('decoymx export rb')).toEqual(['rbldnsd'])
    expect(offers('decoymx why --')).toContain('--json')
  })

  test.skipIf(inject('missing').includes('zsh'))('zsh takes its script, and knows who completes us', () => {
    const asks = `autoload -U compinit; compinit -D; source ${scriptFile('zsh')}; print $_comps[decoymx]`
    expect(shell('zsh', ['-f', '-c', asks])).toEqual(['_decoymx'])
  })
})

describe.skipIf(inject('missing').includes('man'))('manual pages', () => {
  const pages = Object.entries(manualPages(program))
  test('there is one for all, and one for each command', () => {
    expect(pages.map(([file]) => file).toSorted()).toEqual(
      ['decoymx.1', ...commands.map((command) => `decoymx-${command}.1`)].toSorted(),
    )
  })

  test.each(pages)('%s is read by man without a complaint, and says every option', (file, source) => {
    const place = join(folder(), file)
    writeFileSync(place, source)
    const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '100', MAN_KEEP_FORMATTING: '' }
    const { status, stdout, stderr } = spawnSync('man', ['--warnings', '-l', place], { encoding: 'utf8', env })
    expect([status, stderr]).toEqual([0, ''])
    const command = program.commands.find((each) => file === `decoymx-${each.name()}.1`)
    // Man may divide a line between words, never within an option.
    const said = stdout.replaceAll('\u2010', '-')
    expect((command?.options ?? []).filter(({ long }) => !said.includes(long ?? ''))).toEqual([])
    expect(said).toContain('NAME')
  })
})

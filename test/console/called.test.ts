/** Whoever is told what to type next can paste it: where it is installed, and in a clone. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { commandTree } from '../../src/command/tree/tree.ts'
import { stageOn } from '../../src/command/tree/options.ts'
import { COMMANDS, nameOf } from '../../src/console/called.ts'
import { screenOf } from '../../src/console/terminal.ts'

const NPX = { npm_package_name: 'decoymx', npm_lifecycle_event: 'npx', PATH: '/clone/node_modules/.bin:/usr/bin' }
const nowhere = () => false
const inUsrBin = (path: string) => path === '/usr/bin/decoymx'
const everywhere = () => true

test.each([
  ['by npx in a clone', 'npx decoymx', '/root/.npm/_npx/5688/node_modules/.bin/decoymx', NPX, everywhere],
  ['the same, handed over to another Node', 'npx decoymx', '/clone/src/start.js', NPX, everywhere],
  ['by npm start', 'npx decoymx', '/clone/src/start.js', { ...NPX, npm_lifecycle_event: 'start' }, nowhere],
  ['by node, there', 'node src/start.js', '/clone/src/start.js', {}, nowhere],
  ['by node, from elsewhere', 'node /opt/decoymx/src/start.js', '/opt/decoymx/src/start.js', {}, nowhere],
  ['by the script of the package', 'decoymx', '/usr/lib/decoymx/src/start.js', { PATH: '/usr/bin' }, inUsrBin],
  ['by a link', 'decoymx', '/usr/local/bin/decoymx', {}, nowhere],
  ["by another project's npm", 'decoymx', '/p/node_modules/.bin/decoymx', { ...NPX, npm_package_name: 'p' }, nowhere],
  ['not at all, as in a test', 'decoymx', '/clone/node_modules/vitest/vitest.mjs', NPX, everywhere],
])('started %s it is %s', (_, name, script, env, isThere) => {
  expect(nameOf(script, '/clone', env, isThere)).toBe(name)
})

test('the commands that a text may name are those that there are', () => {
  const screen = screenOf(process.stderr, {})
  const tree = commandTree(stageOn('0', screen, screen, () => {}))
  expect(COMMANDS.toSorted()).toEqual(tree.commands.map((command) => command.name()).toSorted())
})

test.each([
  ['see "decoymx governor"', 'see "npx decoymx governor"'],
  [
    'decoymx kernel off, then on; then decoymx reload --force',
    'npx decoymx kernel off, then on; then npx decoymx reload --force',
  ],
  ['another decoymx runs on it, and this decoymx reads 4', 'another decoymx runs on it, and this decoymx reads 4'],
  ['npx decoymx why 192.0.2.1', 'npx decoymx why 192.0.2.1'],
  ['/usr/bin/decoymx run', '/usr/bin/decoymx run'],
])('as it is typed in a clone: %s', (text, told) => {
  expect(
    inClone(`import { asTyped } from './src/console/called.ts'; console.log(asTyped(${JSON.stringify(text)}))`),
  ).toBe(told)
})

test('a log line that says what to do says it as it is typed there, also to machines', () => {
  const lines = inClone(`
    import { createLog } from './src/console/log.ts'
    import { screenOf } from './src/console/terminal.ts'
    const log = createLog('info', process.stdout, screenOf(process.stdout, {}))
    log.warn({ because: 'see decoymx status', n: 1 }, 'new listings wait; see "decoymx governor"')
    log.error('another decoymx runs')
    log.info('seen: decoymx why')`)
  expect(lines.split('\n').map((line) => JSON.parse(line) as object)).toMatchObject([
    { because: 'see npx decoymx status', n: 1, msg: 'new listings wait; see "npx decoymx governor"' },
    { msg: 'another decoymx runs' },
    // There are many of these, and none says what to do.
    { msg: 'seen: decoymx why' },
  ])
})

test('the usage of a command is as it is typed there', () => {
  const help = spawnSync(process.execPath, ['src/start.js', 'why', '--help'], {
    cwd: ROOT,
    env: CLONE,
    encoding: 'utf8',
  })
  expect(help.stdout).toMatch(/^Usage: npx decoymx why \[options\] <subject>\n/)
  const all = spawnSync(process.execPath, ['src/start.js', '--help'], { cwd: ROOT, env: CLONE, encoding: 'utf8' })
  expect(all.stdout).toMatch(/^Usage: npx decoymx \[options\] \[command\]\n/)
  expect(all.stdout.replaceAll(/\s+/g, ' ')).toContain('source <(npx decoymx completion bash)')
})

const ROOT = join(import.meta.dirname, '../..')
const CLONE = { ...process.env, ...NPX, PATH: process.env['PATH'] }

/** What this prints; which name it is, is known once for each process. */
function inClone(code: string): string {
  const words = ['--input-type=module', '-e', `process.argv[1] = 'src/start.js'; ${code}`]
  return spawnSync(process.execPath, words, { cwd: ROOT, env: CLONE, encoding: 'utf8' }).stdout.trim()
}

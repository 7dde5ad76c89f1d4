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
  const code = `import { asTyped } from './src/console/called.ts'; console.log(asTyped(${JSON.stringify(text)}))`
  const root = join(import.meta.dirname, '../..')
  // Which name it is, is known once for each process.
  const env = { ...process.env, ...NPX, PATH: process.env['PATH'] }
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', `process.argv[1] = 'src/start.js'; ${code}`], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
  expect(run.stdout.trim()).toBe(told)
})

import { expect, test } from 'vitest'
import { nameOf } from '../../src/command/called.ts'

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

/** start.js under a Node that is too old, which is played by a copy of it that wants a newer one than there is. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder } from './folders.ts'

const START = readFileSync(join(import.meta.dirname, '../src/start.js'), 'utf8')

function program(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, 0o755)
}

/** A clone whose pinned Node is this script, with these programs called node on the PATH. */
function started(pinned: string | undefined, onPath: string | undefined) {
  const clone = folder()
  mkdirSync(join(clone, 'src'))
  writeFileSync(join(clone, 'package.json'), '{"type": "module"}')
  const start = join(clone, 'src/start.js')
  writeFileSync(start, START.replace('const NEEDED = 24', 'const NEEDED = 1000'))
  if (pinned !== undefined)
    program(join(clone, `node_modules/node-${process.platform}-${process.arch}/bin/node`), pinned)
  if (onPath !== undefined) program(join(clone, 'path/node'), onPath)
  const { status, stdout, stderr } = spawnSync(process.execPath, [start, 'status', '--json'], {
    encoding: 'utf8',
    env: { PATH: join(clone, 'path') },
  })
  return { status, stdout, stderr }
}

const SAYS = (name: string) =>
  `#!/bin/sh\nif [ "$1" = --version ]; then echo v1000.0.0; else echo "${name}: $2 $3"; fi\n`
/** A program whose loader is not there, as one for glibc is met where musl is. */
const UNLOADED = '#!/nonexistent/ld-linux.so.2\n'

test.each([
  ['the pinned one', SAYS('pinned'), SAYS('path'), 'pinned: status --json\n'],
  ['one on the PATH, where none is pinned', undefined, SAYS('path'), 'path: status --json\n'],
  ['one on the PATH, where the pinned one cannot be loaded', UNLOADED, SAYS('path'), 'path: status --json\n'],
])('a Node that is too old hands over to %s', (_, pinned, onPath, stdout) => {
  expect(started(pinned, onPath)).toEqual({ status: 0, stdout, stderr: '' })
})

test.each([
  ['no other', undefined, /^decoymx needs Node 1000 or newer and this is v\d+/],
  ['one that cannot be loaded', UNLOADED, /^cannot start \S+: this Linux has not the C library \(glibc\)/],
])('where there is %s, it says what to do', (_, pinned, said) => {
  const { status, stderr } = started(pinned, undefined)
  expect([status, stderr]).toEqual([69, expect.stringMatching(said)])
  expect(stderr).toContain('run again.')
})

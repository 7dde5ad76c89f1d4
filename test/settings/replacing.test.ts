import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest'
import { hindranceAt, replaceText } from '../../src/settings/replacing.ts'

let folder: string
let file: string
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'dmx-replacing-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeEach(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  file = join(folder, 'rules.yaml')
  writeFileSync(file, 'old')
  chmodSync(file, 0o640)
})

test('whole, with mode and owner; what was before stands beside it, and nothing else', () => {
  if (process.getuid?.() === 0) chownSync(file, 65534, 65534)
  const { uid, gid, ino } = statSync(file)
  expect(replaceText(file, 'new')).toBeUndefined()
  const now = statSync(file)
  expect([now.mode & 0o777, now.uid, now.gid]).toEqual([0o640, uid, gid])
  expect(now.ino).not.toBe(ino)
  expect([readFileSync(file, 'utf8'), readFileSync(`${file}.bak`, 'utf8')]).toEqual(['new', 'old'])
  expect(readdirSync(folder).toSorted()).toEqual(['rules.yaml', 'rules.yaml.bak'])
})

test('a link stays one: what it leads to is replaced', () => {
  const link = join(folder, 'link.yaml')
  symlinkSync('rules.yaml', link)
  expect(replaceText(link, 'new')).toBeUndefined()
  expect([readFileSync(file, 'utf8'), readdirSync(folder)]).toEqual([
    'new',
    ['link.yaml', 'rules.yaml', 'rules.yaml.bak'],
  ])
})

test('a file that is gone is not made anew', () => {
  rmSync(file)
  expect(replaceText(file, 'new')).toEqual({
    error: expect.stringContaining('ENOENT') as string,
    hint: 'the file is gone: put one there first',
  })
  expect(readdirSync(folder)).toEqual([])
})

/** As another user, in a process of its own: root may write everywhere. */
const asNobody = (path: string, ...under: string[]): unknown => {
  const code = `const { replaceText } = await import(${JSON.stringify(new URL('../../src/settings/replacing.ts', import.meta.url).href)});
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    console.log(JSON.stringify(replaceText(${JSON.stringify(path)}, 'new') ?? null))`
  const [program, ...words] = [...under, process.execPath, '--input-type=module', '--eval', code]
  return JSON.parse(execFileSync(program, words, { encoding: 'utf8' })) as unknown
}

test.runIf(process.getuid?.() === 0)('what hinders it is told with the next step, and nothing is touched', () => {
  chmodSync(folder, 0o755)
  chmodSync(file, 0o644)
  expect(asNobody(file)).toMatchObject({
    error: expect.stringContaining('EACCES'),
    hint: expect.stringContaining('must be writable'),
  })
  chmodSync(folder, 0o777)
  chmodSync(file, 0o666)
  expect(asNobody(file)).toMatchObject({ error: expect.stringContaining('belongs to another user (0)') })
  expect([readFileSync(file, 'utf8'), readdirSync(folder)]).toEqual(['old', ['rules.yaml']])
  chownSync(file, 65534, 65534)
  expect(asNobody(file)).toBeNull()
  expect(hindranceAt(file)).toBeUndefined()
})

/** Not where the kernel lets nobody look at another process, as in some containers. */
const traces = () => spawnSync('strace', ['-f', '-qq', '-o', '/dev/null', 'true']).status === 0
const hindered = process.getuid?.() !== 0 || inject('missing').includes('strace') || !traces()
test.skipIf(hindered)('what is ours is replaced where no chown is let through, as under the systemd unit', () => {
  const unit = readFileSync(join(import.meta.dirname, '../../deploy/systemd/decoymx.service'), 'utf8')
  expect(unit).toMatch(/^SystemCallFilter=~@privileged @resources\nSystemCallErrorNumber=EPERM$/m)
  chmodSync(folder, 0o777)
  chownSync(file, 65534, 65534)
  const refused = ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=chown,fchown,lchown,fchownat:error=EPERM']
  expect(asNobody(file, 'strace', ...refused)).toBeNull()
  expect(readFileSync(file, 'utf8')).toBe('new')
})

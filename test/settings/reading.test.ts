import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readRulesFile } from '../../src/settings/checked.ts'
import { readText } from '../../src/settings/reading.ts'
import { folder } from '../folders.ts'

const problemsOf = (path: string) => {
  const read = readText(path)
  return read.ok ? [] : read.problems.map(({ line, column, code, message }) => `${line}:${column} ${code} ${message}`)
}

describe('a file that cannot be text is told, and nothing waits for it', () => {
  test('none, a folder, a pipe that nobody writes to, a device without end', () => {
    const at = folder()
    mkdirSync(join(at, 'rules.d'))
    execFileSync('mkfifo', [join(at, 'pipe')])
    expect(problemsOf(join(at, 'none'))).toEqual([expect.stringMatching(/^1:1 D001 there is no such file/)])
    expect(problemsOf(join(at, 'rules.d'))).toEqual(['1:1 D001 cannot be read: it is a directory'])
    expect(problemsOf(join(at, 'pipe'))).toEqual(['1:1 D001 cannot be read: it is no plain file'])
    expect(problemsOf('/dev/zero')).toEqual(['1:1 D001 cannot be read: it is no plain file'])
  })

  test('another encoding has its place in the file', () => {
    const path = join(folder(), 'rules.yaml')
    writeFileSync(path, Buffer.from('mode: observe\nbecause: caf\xe9\n', 'latin1'))
    expect(problemsOf(path)).toEqual(['2:13 D002 byte 0xe9 is no UTF-8 here; in Latin-1 it would be é'])
  })
})

test('a mark of UTF-8 and lines that end with CRLF change nothing', () => {
  const path = join(folder(), 'rules.yaml')
  writeFileSync(
    path,
    '\ufeffmode: observe\r\ndomains: [example.org]\r\nthresholds: { observe: 1, defer: 2, block: 3 }\r\nstands: { observe: 1h, defer: 1h, block: 1h }\r\nrules: []\r\n',
  )
  expect(readRulesFile(path)).toMatchObject({ ok: true, rules: { mode: 'observe', domains: ['example.org'] } })
})

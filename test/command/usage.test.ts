/** A mistake on the command line ends with 64, and what is told leads on: how it is typed, and what may stand there. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder } from '../folders.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

test.each([
  [['export'], 'missing required argument', 'usage: decoymx export <format> [options]', 'plain, cidr, nft'],
  [['kernel', 'maybe'], "'maybe' is invalid", 'action: on, off, status'],
  [['replay'], "'--rules <file>' not specified", 'usage: decoymx replay [journals...] --rules <file> [options]'],
  [['list', '--limit', '-3'], 'Expected a whole number from 1', 'got -3', 'usage: decoymx list [network]'],
  [['allow'], "missing required argument 'target'", 'decoymx allow --help says more'],
  [['lits'], 'Did you mean list?', 'decoymx --help lists the commands'],
])('%j', (words, ...told) => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...words], { cwd: folder(), encoding: 'utf8' })
  for (const each of told) expect(stderr).toContain(each)
  expect(status).toBe(64)
})

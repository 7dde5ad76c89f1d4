/** Exports as a person, a cron job and a program over HTTP get them. */
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FORMATS } from '../../src/answer/formats.ts'
import { folder } from '../folders.ts'
import { type Appliance, startAppliance } from './appliance.ts'

let appliance: Appliance
beforeAll(async () => {
  appliance = await startAppliance({})
  await appliance.decoymx('block', '203.0.113.0/24', '--because', 'a leased range')
  await appliance.decoymx('allow', '203.0.113.128/25', '--because', 'they rang')
})
afterAll(() => appliance?.clear())

const exported = (...words: string[]) => appliance.decoymx('export', ...words)

test('without --out the list goes to the standard output', async () => {
  const { code, stdout, stderr } = await exported('plain')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(
    /^# decoymx export plain: .*\n# made .*\n# listings 1 entries 1 digest \w+\n# @list\n203\.0\.113\.0\/25\n$/,
  )
})

test('an unknown format is a mistake in the words', async () => {
  const { code, stderr } = await exported('xml')
  expect(code).toBe(64)
  expect(stderr).toContain(FORMATS.join(', '))
})

describe('--out', () => {
  test('writes the file, and leaves it alone when nothing has changed', async () => {
    const file = join(folder(), 'list.cidr')
    const { code, stderr } = await exported('cidr', '--out', file)
    expect({ code, stderr }).toEqual({ code: 0, stderr: `${file}: 1 listing in 1 entry\n` })
    const before = statSync(file)
    expect(before.mode & 0o777).toBe(0o644)
    const again = await exported('cidr', '--out', file)
    expect(again).toEqual({ code: 0, stdout: '', stderr: `${file}: unchanged, 1 listing in 1 entry\n` })
    expect(statSync(file).ino).toBe(before.ino)
  })

  test('a file whose times run down is always new; its rights stay, and a link goes on pointing there', async () => {
    const place = folder()
    const [file, link] = [join(place, 'list.nft'), join(place, 'link')]
    symlinkSync(file, link)
    await exported('nft', '--out', file)
    chmodSync(file, 0o640)
    const { ino } = statSync(file)
    expect((await exported('nft', '--out', link)).code).toBe(0)
    expect(statSync(file).ino).not.toBe(ino)
    expect(statSync(file).mode & 0o777).toBe(0o640)
    expect(readdirSync(place).toSorted()).toEqual(['link', 'list.nft'])
  })

  test('a file that is not ours is left alone until somebody insists', async () => {
    const file = join(folder(), 'hosts')
    writeFileSync(file, '127.0.0.1 localhost\n')
    const { code, stderr } = await exported('plain', '--out', file)
    expect(code).toBe(1)
    expect(stderr).toContain(`${file} was not written by "`)
    expect(stderr).toContain(' export" (--force writes it all the same)')
    expect(readFileSync(file, 'utf8')).toBe('127.0.0.1 localhost\n')
    expect((await exported('plain', '--out', file, '--force')).code).toBe(0)
    expect(readFileSync(file, 'utf8')).toContain('203.0.113.0/25')
  })

  test('a list that jumps is left as it was until somebody insists', async () => {
    const file = join(folder(), 'list')
    await exported('plain', '--out', file)
    const larger = readFileSync(file, 'utf8').replace('listings 1 ', 'listings 4000 ')
    writeFileSync(file, larger)
    const { code, stderr } = await exported('plain', '--out', file)
    expect(code).toBe(1)
    expect(stderr).toContain('the list would jump from 4000 listings to 1')
    expect(readFileSync(file, 'utf8')).toBe(larger)
    expect((await exported('plain', '--out', file, '--force')).code).toBe(0)
  })

  test('a folder that is not there is said in a sentence, and nothing is left behind', async () => {
    const place = folder()
    const { code, stderr } = await exported('plain', '--out', join(place, 'nowhere', 'list'))
    expect(code).toBe(1)
    expect(stderr).toContain('cannot be written')
    expect(readdirSync(place)).toEqual([])
  })
})

describe('over HTTP', () => {
  const url = (format: string) => {
    const { host, port } = appliance.door('HTTP')
    return `http://${host}:${port}/api/v1/exports/${format}`
  }

  test.each([
    ['cidr', 'text/plain; charset=utf-8', '203.0.113.0/25 REJECT'],
    ['csv', 'text/csv; charset=utf-8', '203.0.113.0/25,,operator,'],
    ['json', 'application/json', '"network":"203.0.113.0/25","until":null,"by":"operator"'],
  ])('%s has its type', async (format, type, content) => {
    const reply = await fetch(url(format))
    expect([reply.status, reply.headers.get('content-type')]).toEqual([200, type])
    expect(await reply.text()).toContain(content)
  })

  test('whoever has this list already gets 304, until it changes', async () => {
    const etag = (await fetch(url('plain'))).headers.get('etag') as string
    expect(etag).toMatch(/^W\/"\d+-\w+-\w+"$/)
    const ask = async () => {
      const reply = await fetch(url('plain'), { headers: { 'if-none-match': `"other", ${etag}` } })
      return [reply.status, await reply.text()] as const
    }
    expect(await ask()).toEqual([304, ''])
    await appliance.decoymx('block', '198.51.100.7', '--because', 'another')
    const [status, text] = await ask()
    expect(status).toBe(200)
    expect(text).toContain('198.51.100.7\n')
  })

  test('an unknown format is not there', async () => {
    const reply = await fetch(url('xml'))
    expect(reply.status).toBe(404)
    expect(await reply.json()).toMatchObject({ hint: `expected one of ${FORMATS.join(', ')}` })
  })
})

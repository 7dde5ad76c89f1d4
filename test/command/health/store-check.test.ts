/** What the doctor says of a Redis that may forget what it is given: real ones, set in each way. */
import { Redis } from 'ioredis'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { storeKeeps } from '../../../src/command/health/store-check.ts'
import { type Settings } from '../../../src/settings/settings.ts'
import { startRedis } from '../../servers.ts'

async function server(...args: string[]): Promise<string> {
  const redis = await startRedis(args)
  onTestFinished(() => redis.stop())
  return redis.url
}

async function examined(path: string, more: object = {}) {
  const store = { redis: { at: { path }, commandTimeoutMs: 2000, ...more } }
  return (await storeKeeps({ settings: { store } as Settings, view: undefined })).map(({ level, seen, next }) => ({
    level,
    seen,
    next,
  }))
}

describe.skipIf(inject('missing').includes('redis-server'))('doctor, about the store', () => {
  test('one that throws keys away, and keeps nothing, has two warnings, each with the next step', async () => {
    expect(await examined(await server('--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'))).toEqual([
      {
        level: 'warn',
        seen: expect.stringMatching(/throws keys away .*maxmemory-policy allkeys-lru, at 64 MB/) as string,
        next: expect.stringContaining('maxmemory-policy noeviction') as string,
      },
      {
        level: 'warn',
        seen: expect.stringContaining('keeps nothing on disk') as string,
        next: expect.stringContaining('appendonly yes') as string,
      },
    ])
    // Those with an end, like our records, go first there.
    expect(await examined(await server('--maxmemory-policy', 'volatile-ttl', '--appendonly', 'yes'))).toMatchObject([
      { level: 'warn', seen: expect.stringContaining('once it has a maxmemory') as string },
    ])
  })

  test('one that keeps all is said to be well, also by a user who may not ask how it is set', async () => {
    expect(await examined(await server('--appendonly', 'yes'))).toMatchObject([{ level: 'ok', next: null }])
    const path = await server('--save', '3600 1')
    expect(await examined(path)).toMatchObject([{ level: 'ok', seen: expect.stringContaining('snapshots') as string }])
    const admin = new Redis(path)
    await admin.call('ACL', 'SETUSER', 'decoymx', 'reset', 'on', '>word', '+info')
    const who = { user: 'decoymx', password: 'word' }
    expect(await examined(path, who)).toMatchObject([{ level: 'warn' }])
    await admin.save()
    admin.disconnect()
    expect(await examined(path, who)).toMatchObject([{ level: 'ok' }])
    expect(await examined(path, { ...who, password: 'other' })).toMatchObject([
      { level: 'fail', seen: expect.stringContaining('WRONGPASS') as string },
    ])
  })
})

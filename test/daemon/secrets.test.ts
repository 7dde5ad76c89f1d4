import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { Secrets } from '../../src/daemon/secrets.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { folder } from '../folders.ts'

/** Settings with Sentinels, and what is changed in them later. */
function written(master = 'mail') {
  const place = folder()
  const where = { state: place, settings: join(place, 'decoymx.yaml'), rules: join(place, 'rules.yaml') }
  const file = (name: string) => join(place, name)
  const say = (given: { master?: string; ours?: string; theirs?: string }) => {
    writeFileSync(file('ours'), `${given.ours ?? 'first'}\n`)
    writeFileSync(file('theirs'), `${given.theirs ?? 'first'}\n`)
    const sentinel = { master: given.master ?? master, at: ['127.0.0.1:26379'], 'password-file': file('theirs') }
    writeFileSync(where.settings, stringify({ store: { sentinel, 'password-file': file('ours') } }))
  }
  say({})
  const read = readSettings(where.settings, {})
  if (!read.ok || !read.settings.store.redis) throw new Error('not sound')
  return { where, file, say, settings: read.settings, redis: read.settings.store.redis }
}

test('passwords of the store and of its Sentinels are read again', () => {
  const { where, say, redis, settings } = written()
  say({ ours: 'second', theirs: 'third' })
  expect(new Secrets(where, redis, settings.decoys).renew(undefined)).toEqual([])
  expect(redis).toMatchObject({ password: 'second', at: { master: 'mail', password: 'third' } })
})

test('another store wants a restart, and nothing is changed', () => {
  const { where, say, redis, settings } = written()
  say({ master: 'other', ours: 'second' })
  expect(new Secrets(where, redis, settings.decoys).renew(undefined)).toMatchObject([
    { message: 'the store has moved: restart for that' },
  ])
  expect(redis).toMatchObject({ password: 'first', at: { master: 'mail', password: 'first' } })
})

test('the files that it all stands in', () => {
  const { where, file, redis, settings } = written()
  const files = (...of: [typeof redis | undefined, typeof settings.decoys]) =>
    new Secrets(where, ...of).watched(() => {}).map(([path]) => path)
  const backup = { ...settings.decoys.backup, tls: { certificate: '/c.pem', key: '/c.pem' } }
  expect(files(redis, { ...settings.decoys, backup })).toEqual([file('ours'), file('theirs'), '/c.pem'])
  expect(files(undefined, settings.decoys)).toEqual([])
  expect(new Secrets(where, undefined, settings.decoys).renew(undefined)).toBeUndefined()
})

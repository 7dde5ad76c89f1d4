import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { OpenSocket } from '../../src/answer/open-sockets.ts'
import { SOCKET_NAMES, takeSockets } from '../../src/daemon/activation.ts'
import { parseAddress, spellAddress } from '../../src/settings/places.ts'
import { readSettings, type Settings } from '../../src/settings/settings.ts'
import { spellProblem } from '../../src/core/document.ts'
import { folder } from '../folders.ts'

const ALL = new Set(['decoys', 'policy', 'dnsbl', 'http'])
const PID = 4242

function settings(text = ''): Settings {
  let file: string | undefined
  if (text !== '') writeFileSync((file = join(folder(), 'decoymx.yaml')), text)
  const read = readSettings(file, {})
  if (!read.ok) throw new Error(read.problems.map(spellProblem).join('\n'))
  return read.settings
}

/** `name=tcp 192.0.2.66:25`, from descriptor 3 on; what has no second word is told as what is wrong with it. */
function take(given: readonly string[], { text = '', parts = ALL, forWhom = String(PID) } = {}) {
  const names = given.map((each) => each.slice(0, each.indexOf('=')))
  const env: NodeJS.ProcessEnv = {
    LISTEN_FDS: String(given.length),
    LISTEN_PID: forWhom,
    LISTEN_FDNAMES: names.join(':'),
  }
  const lookUp = (fd: number): OpenSocket | string => {
    const what = (given[fd - 3] as string).slice((names[fd - 3] as string).length + 1)
    const [over, place = ''] = what.split(' ')
    const address = parseAddress(place)
    return address && (over === 'tcp' || over === 'udp') ? { over, address } : what
  }
  const taken = takeSockets(settings(text), parts, env, PID, lookUp)
  expect(env).toEqual({})
  return taken
}

function listsOf(taken: ReturnType<typeof take>) {
  if (!taken.ok) throw new Error(taken.problems.map(spellProblem).join('\n'))
  const { decoys, policy, milter, readsocket, dnsbl, http } = taken.settings
  const spell = (list: Settings['policy']['listen']) =>
    list.map((each) => [spellAddress(each), ...Object.entries(each.fds ?? {}).flat()].join(' '))
  return {
    primary: spell(decoys.primary.listen),
    'primary-proxy': spell(decoys.primary.proxy),
    backup: spell(decoys.backup.listen),
    'backup-proxy': spell(decoys.backup.proxy),
    policy: spell(policy.listen),
    'tcp-table': spell(taken.settings['tcp-table'].listen),
    readsocket: spell(readsocket.listen),
    milter: spell(milter.listen),
    dnsbl: spell(dnsbl.listen),
    http: spell(http.listen),
  }
}

function problemsOf(taken: ReturnType<typeof take>): string[] {
  return taken.ok ? [] : taken.problems.map(spellProblem)
}

const DEFAULTS = listsOf(take([]))

describe('sockets from the init system', () => {
  test('each name has its door; an address in the settings is not opened twice, another is opened, too', () => {
    const taken = take([
      'primary=tcp 192.0.2.66:25',
      'primary-proxy=tcp 127.0.0.1:2511',
      'backup=tcp [2001:db8::67]:25',
      'backup-proxy=tcp 127.0.0.1:2599',
      'policy=tcp 127.0.0.1:10040',
      'dnsbl-udp=udp 127.0.0.1:5300',
      'dnsbl-tcp=tcp 127.0.0.1:5300',
      'http=tcp 127.0.0.1:8025',
      'milter=tcp 127.0.0.1:10043',
      'tcp-table=tcp 127.0.0.1:10041',
      'readsocket=tcp 127.0.0.1:10042',
    ])
    expect(listsOf(taken)).toEqual({
      primary: [...DEFAULTS.primary, '192.0.2.66:25 tcp 3'],
      'primary-proxy': ['127.0.0.1:2511 tcp 4'],
      backup: [...DEFAULTS.backup, '[2001:db8::67]:25 tcp 5'],
      'backup-proxy': [...DEFAULTS['backup-proxy'], '127.0.0.1:2599 tcp 6'],
      policy: ['127.0.0.1:10040 tcp 7'],
      dnsbl: ['127.0.0.1:5300 udp 8 tcp 9'],
      http: ['127.0.0.1:8025 tcp 10'],
      milter: ['127.0.0.1:10043 tcp 11'],
      'tcp-table': ['127.0.0.1:10041 tcp 12'],
      readsocket: ['127.0.0.1:10042 tcp 13'],
    })
    expect(SOCKET_NAMES).toContain('decoys')
  })

  test('the name of a unit says the door, too; one that says nothing leaves it to the address', () => {
    const given = ['decoymx-policy.socket=tcp 127.0.0.1:99', 'decoymx.socket=tcp 127.0.0.1:8025', '=udp 127.0.0.1:5300']
    expect(listsOf(take(given))).toEqual({
      ...DEFAULTS,
      policy: [...DEFAULTS.policy, '127.0.0.1:99 tcp 3'],
      http: ['127.0.0.1:8025 tcp 4'],
      dnsbl: ['127.0.0.1:5300 udp 5'],
    })
  })

  test.each(['decoys', 'primary', 'backup', 'decoymx.socket'])('a door that both decoys share is one: %s', (name) => {
    const text =
      'decoys:\n  primary: { listen: ["0.0.0.0:25"], prefixes: [198.51.100.0/25] }\n  backup: { listen: ["0.0.0.0:25"], prefixes: [198.51.100.128/25] }'
    const { primary, backup } = listsOf(take([`${name}=tcp 0.0.0.0:25`], { text }))
    expect([primary, backup]).toEqual([['0.0.0.0:25 tcp 3'], ['0.0.0.0:25 tcp 3']])
  })

  test('what is meant for another process is left alone; what start.js had is ours', () => {
    expect(listsOf(take(['policy=tcp 127.0.0.1:10040'], { forWhom: '1' }))).toEqual(DEFAULTS)
    expect(listsOf(take(['policy=tcp 127.0.0.1:10040'], { forWhom: 'parent' })).policy).toEqual([
      '127.0.0.1:10040 tcp 3',
    ])
  })

  test('all mistakes at once, each with its descriptor', () => {
    const taken = take(
      [
        'bakcup=tcp 127.0.0.1:2590',
        'decoymx.socket=tcp 127.0.0.1:77',
        'dnsbl-udp=tcp 127.0.0.1:5300',
        'policy=is not open',
        'http=tcp 127.0.0.1:8025',
      ],
      { parts: new Set(['decoys', 'policy', 'dnsbl']) },
    )
    const place = 'LISTEN_FDNAMES:1:1: descriptor'
    expect(problemsOf(taken)).toEqual([
      `${place} 3 ("bakcup") is no door of ours (did you mean backup?)`,
      `${place} 4 ("decoymx.socket") says by its name no door of ours, and nothing listens at 127.0.0.1:77 by the settings (names: ${SOCKET_NAMES.join(', ')})`,
      `${place} 5 ("dnsbl-udp") is a TCP socket; that door wants UDP`,
      `${place} 6 ("policy") is not open`,
      `${place} 7 ("http") is for the part http, which --only leaves out: its callers would wait for ever`,
    ])
  })

  test('a door for both decoys without prefixes, and a number that is none, are mistakes', () => {
    expect(problemsOf(take(['decoys=tcp 0.0.0.0:25']))).toEqual([
      'LISTEN_FDNAMES:1:1: decoys.backup.listen: 0.0.0.0:25 is taken by decoys.primary.listen already; two decoys at one address are told apart by prefixes of their own',
    ])
    for (const count of ['many', '-1', '257'])
      expect(problemsOf(takeSockets(settings(), ALL, { LISTEN_FDS: count, LISTEN_PID: String(PID) }, PID))).toEqual([
        `LISTEN_FDS:1:1: expected a number up to 256, got "${count}"`,
      ])
  })
})

test('each socket unit that we ship is a door that we know, at its address in the settings that we ship', () => {
  const deploy = join(import.meta.dirname, '../../deploy')
  // What is off there says behind a # where it would listen.
  const text = readFileSync(join(deploy, 'decoymx.yaml'), 'utf8').replaceAll(
    /listen: \[\] # (\[".+"\])$/gm,
    'listen: $1',
  )
  const units = globSync('systemd/*.socket', { cwd: deploy })
  expect(units.length).toBeGreaterThanOrEqual(6)
  for (const unit of units) {
    const words = readFileSync(join(deploy, unit), 'utf8')
    const [, name = ''] = /^FileDescriptorName=(.+)$/m.exec(words) ?? []
    const [, sort, place] = /^Listen(Stream|Datagram)=(.+)$/m.exec(words) ?? []
    expect(unit).toBe(`systemd/decoymx-${name}.socket`)
    const given = [`${name}=${sort === 'Stream' ? 'tcp' : 'udp'} ${place}`]
    const [before, after] = [[], given].map((each) => listsOf(take(each, { text })))
    const count = (lists: typeof before) => Object.values(lists ?? {}).flat().length
    expect(count(after)).toBe(count(before))
    expect(after).not.toEqual(before)
  }
})

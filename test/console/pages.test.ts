/** What the console's pages say, as text: whatever a browser makes of it is in test/e2e/console.test.ts. */
import { expect, test } from 'vitest'
import { type Health, healthPage, type Remark } from '../../src/console/pages/health.ts'
import type { Guest } from '../../src/console/pages/guest.ts'
import { livePage } from '../../src/console/pages/live.ts'
import type { Visit } from '../../src/console/visits.ts'
import type { Visitor } from '../../src/core/rights.ts'

const NOON = Date.parse('2026-11-24T12:00:00Z')
const ANYBODY = { q: '', choice: '', verdict: '' }

const door = (name: string, address: string) => ({ name, address, open: true, error: null, note: null })
const HEALTH: Health = {
  version: '0',
  mode: 'enforce',
  witness: '',
  doors: [door('primary decoy', '192.0.2.10:25'), door('backup decoy', '192.0.2.90:25')],
  held: { primary: 1, backup: 7 },
  reputation: {
    store: 'embedded',
    ledger: 'fresh',
    waiting: 0,
    rulings: { rules: { allow: 0, defer: 0, block: 0 }, operator: { allow: 0, defer: 0, block: 0 }, overruled: 0 },
  },
  kernel: null,
  realMx: { mxs: [{ name: 'mx1.example.test', outcome: 'up', because: '' }] },
  layouts: [],
}

/** The boxes of the drawing that stands upright: their kind, and what is in them. */
async function boxesOf(health: Partial<Health>): Promise<string[]> {
  const page = (await healthPage({ ...HEALTH, ...health }, [], [])).toString()
  const upright = page.slice(page.indexOf('mx down'), page.indexOf('</svg', page.indexOf('mx down')))
  return upright
    .split('<g class="')
    .slice(1)
    .map((box) => {
      const texts = [...box.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text)
      return [box.slice(0, box.indexOf('"')), ...texts].join('; ').trimEnd()
    })
}

test('the drawing names records, state and addresses', async () => {
  const mx = [
    { preference: 5, name: 'mx0.example.test', decoy: true },
    { preference: 10, name: 'mx1.example.test', decoy: false },
    { preference: 90, name: 'mx9.example.test', decoy: true },
  ]
  expect(await boxesOf({ layouts: [{ domain: 'example.test', mx }] })).toEqual([
    'decoy; MX 5; primary decoy; 1 here now; resets strangers; 192.0.2.10:25',
    'real; MX 10; real MX; up; mx1.example.test;',
    'decoy; MX 90; backup decoy; 7 here now; listens, says later; 192.0.2.90:25',
  ])
})

test.each([
  ['nobody looks at it', { realMx: null }, 1, 'unseen; MX; real MX; not watched; real-mx in the settings;'],
  [
    'one of two is away',
    { realMx: { mxs: ['up', 'down'].map((outcome) => ({ name: outcome, outcome, because: '' })) } },
    1,
    'bad; MX; real MX; up, down; 2 exchanges;',
  ],
  [
    'both decoys share their doors',
    { doors: [door('primary and backup decoy', '[::]:25')] },
    0,
    'decoy; MX, lowest; primary decoy; 1 here now; resets strangers; [::]:25',
  ],
  [
    'there are no decoys here',
    { doors: [] },
    2,
    'unseen; MX, highest; backup decoy; not on this host; listens, says later;',
  ],
  [
    'a door cannot be opened',
    { doors: [{ ...door('backup decoy', '192.0.2.90:25'), open: false }] },
    2,
    'bad; MX, highest; backup decoy; 7 here now; listens, says later; 192.0.2.90:25',
  ],
] as const)('nothing is drawn as sound that is not: %s', async (_, health, box, told) => {
  expect((await boxesOf(health))[box]).toBe(told)
})

function textOf(
  visits: readonly Visit[],
  guests: readonly Guest[] = [],
  { here = guests.length, filter = ANYBODY }: { here?: number; filter?: typeof ANYBODY } = {},
): string {
  const page = livePage({ visits, guests, here, tiles: [], now: NOON }, filter, () => 'clean', undefined)
  return page
    .map(String)
    .join('')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
}

function visit(client: string, deedAt: number): Visit {
  const deeds = [{ kind: 'early-talk' as const, detail: undefined, at: deedAt }]
  return { id: client, client, role: 'backup', where: undefined, first: deedAt, last: deedAt, times: 1, deeds }
}

test('whom we play to ourselves, and who can never be listed, is told apart', () => {
  const canary = { ...ANYBODY, q: '240.' }
  expect(textOf([visit('240.0.0.7', NOON)], [], { filter: canary })).toContain('240.0.0.7 our own canary')
  expect(textOf([visit('127.9.8.7', NOON)])).toContain('127.9.8.7 this host itself: doctor, or by hand clean')
  expect(textOf([visit('10.0.0.7', NOON)])).toMatch(/10\.0\.0\.7 \w+/)
  expect(textOf([visit('203.0.113.7', NOON)])).toContain('203.0.113.7 clean')
})

test('our own canary pushes nobody off the page; who looks for it finds it', () => {
  const both = textOf([visit('240.0.0.7', NOON), visit('240.1.0.7', NOON), visit('203.0.113.7', NOON)])
  expect(both).not.toContain('240.0.0.7')
  expect(both).toContain('203.0.113.7 clean')
  expect(both).toMatch(/Without what our own canary did \(2\)\./)
  expect(textOf([visit('240.0.0.7', NOON)])).toContain('Nobody has come yet.')
})

test('no word is offered about who can never be listed', () => {
  const otto: Visitor = { name: 'otto', by: 'session', rights: 'operator' }
  const offered = (client: string) => {
    const live = { visits: [visit(client, NOON)], guests: [], here: 0, tiles: [], now: NOON }
    const page = livePage(live, ANYBODY, () => 'clean', otto)
      .map(String)
      .join('')
    return [...page.matchAll(/data-say="(\w+)"/g)].map(([, word]) => word)
  }
  expect(offered('203.0.113.7')).toEqual(['allow', 'block'])
  expect(offered('127.9.8.7')).toEqual([])
  expect(offered('10.0.0.7')).toEqual([])
})

test('of who is here it tells how long, and what it did since it came', () => {
  const guest = (sinceMs: number): Guest => {
    return { role: 'backup', client: '203.0.113.7', since: NOON - sinceMs, outcome: 'tarpit' }
  }
  const deed = visit('203.0.113.7', NOON - 60_000)
  expect(textOf([deed], [guest(65_000)])).toContain('1:05 203.0.113.7 backup held, a drop at a time early-talk')
  expect(textOf([deed], [guest(9000)])).toContain('0:09 203.0.113.7 backup held, a drop at a time only connected')
  expect(textOf([], [guest(3_723_000)])).toContain('1:02:03 203.0.113.7')
})

test('of who is here beyond those that are shown it tells how many, and among how many was looked', () => {
  const guests = Array.from({ length: 50 }, (_, i): Guest => {
    const [role, client] = [i % 2 ? 'backup' : 'primary', `203.0.113.${i}`] as const
    return { role, client, since: NOON - 1000 * i, outcome: 'tarpit' }
  })
  const told = (here: number, filter = ANYBODY) => textOf([], guests, { here, filter })
  expect(told(1234)).toContain('… and 1,204 more.')
  expect(told(50)).toContain('… and 20 more.')
  expect(textOf([], guests.slice(0, 30), { here: 30 })).not.toContain('more')
  const backup = { ...ANYBODY, choice: 'backup' }
  expect(told(50, backup)).not.toContain('more')
  expect(told(1234, backup)).toContain('Looked for among 50 of the 1,234 who are here.')
  expect(told(1234, { ...ANYBODY, q: '198.51.100.1' })).toMatch(/Here now Looked for among 50 of the 1,234/)
})

test('health shows what status remarks on, and calls it the same', async () => {
  const page = async (...remarks: Remark[]) =>
    (await healthPage(HEALTH, [], remarks))
      .toString()
      .replace(/<svg[^]*<\/svg>/, '')
      .replace(/\s+/g, ' ')
  const light: Remark = { level: 'warn', seen: '0 networks of <47> pools', next: 'is the resolver reachable?' }
  const grave: Remark = { level: 'fail', seen: 'evidence is lost', next: null }
  expect(await page()).toContain('<span class="chip ok">ok</span>')
  const warned = await page(light)
  expect(warned).toContain('<span class="chip ready">ready</span> <span class="chip warning">warning</span>')
  expect(warned).toMatch(
    /<li class="warn"> 0 networks of &lt;47&gt; pools<br \/><small><b>next<\/b> is the resolver reachable\?<\/small> <\/li>/,
  )
  expect(await page(grave, light)).toMatch(
    /chip critical">critical<.*<li class="fail"> evidence is lost <\/li>.*<li class="warn">/,
  )
  expect(await page({ level: 'note', seen: 'slower', next: 'koffi' })).toMatch(/chip ok">ok<.*<li class="note"> slower/)
})

/**
 * What a Redis holds, written as a recording: for `replay` where the journals are not at hand.
 *
 * It reads only, in small steps (SCAN, HGETALL, HSCAN), while boxes go on writing: a record is as it was when it was read.
 * The first line says what it is, so that nobody takes it for a journal: it has no looks at the real MX, and needs none, for
 * what they withheld is not in it. What operators said and still stands is in it, too.
 */
import { Counted } from '../core/counted.ts'
import { type Event, type Instant, toLine } from '../core/evidence.ts'
import { type Connection, onceConnected, type RedisAccess, serversOf } from './redis-connection.ts'
import { clientOfRecord, RECORDS, RULINGS_KEYS } from './redis-keys.ts'
import { pairs, readCounts } from './redis-wire.ts'
import { readRuling, type Ruling } from './store.ts'

/** Keys that are asked for, and records that are read, in one step. */
const STEP = 500

export type StoreRecording = {
  readonly lines: Iterable<string>
  readonly clients: number
  /** Sightings that there was no room for. */
  readonly leftOut: number
}

export type RecordOptions = {
  readonly commandTimeoutMs: number
  readonly now: () => Instant
  /** So many records have been read. */
  readonly progress?: ((records: number) => void) | undefined
}

/** Rejects when Redis does not answer, or refuses. */
export async function recordRedis(access: RedisAccess, options: RecordOptions): Promise<StoreRecording> {
  const { commandTimeoutMs, now, progress } = options
  return onceConnected(access, commandTimeoutMs, async (connection) => {
    const counted = await readRecords(connection, progress)
    const words = await readWords(connection, now())
    return { lines: linesOf(counted, words, now()), clients: counted.clients, leftOut: counted.leftOut }
  })
}

async function readRecords({ commands }: Connection, progress: RecordOptions['progress']): Promise<Counted> {
  const counted = new Counted()
  // A scan may name a key twice.
  const known = new Set<string>()
  for (const node of serversOf(commands)) {
    let place = '0'
    do {
      const [next, keys] = await node.scan(place, 'MATCH', RECORDS, 'COUNT', STEP)
      const fresh = keys.flatMap((key) => {
        // Records of networks are the sums of their clients'.
        const client = clientOfRecord(key)
        if (!client || known.has(client.key)) return []
        known.add(client.key)
        return { key, client }
      })
      const replies = await Promise.all(fresh.map(({ key }) => node.hgetall(key)))
      fresh.forEach(({ client }, i) =>
        counted.add(client.ip, readCounts(Object.entries(replies[i] ?? {}).flat()).counts),
      )
      progress?.(known.size)
      place = next
    } while (place !== '0')
  }
  return counted
}

/** What operators said, as words again. */
async function readWords({ commands }: Connection, now: Instant): Promise<Event[]> {
  const rulings: Ruling[] = []
  let place = '0'
  do {
    const [next, flat] = await commands.hscan(RULINGS_KEYS[0], place, 'COUNT', STEP)
    for (const [id, text] of pairs(flat)) {
      const ruling = readRuling(id, text)
      if (ruling?.by === 'operator' && (ruling.until ?? ruling.grace ?? Infinity) > now) rulings.push(ruling)
    }
    place = next
  } while (place !== '0')
  return rulings
    .toSorted((a, b) => a.since - b.since)
    .flatMap(({ word, target, since, until, grace, because, author = '' }): Event[] =>
      word === 'allow' || word === 'block' || word === 'release'
        ? [{ type: 'word', at: since, word, target, until: until ?? grace, because, author }]
        : [],
    )
}

function* linesOf(counted: Counted, words: readonly Event[], now: Instant): Generator<string> {
  yield `${JSON.stringify({ type: 'counts', at: now, clients: counted.clients, leftOut: counted.leftOut })}\n`
  let [seq, next] = [1, 0]
  for (const evidence of counted.told()) {
    for (let word = words[next]; word && word.at <= evidence.at; word = words[++next])
      yield toLine({ seq: seq++, event: word })
    yield toLine({ seq: seq++, event: evidence })
  }
  for (const word of words.slice(next)) yield toLine({ seq: seq++, event: word })
}

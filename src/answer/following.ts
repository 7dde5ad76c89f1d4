/**
 * Evidence as it comes, over HTTP: server-sent events (WHATWG HTML, section 9.2), one for each thing seen.
 *
 * Whoever does not read as fast as things happen misses some, and is told how many: nothing is kept for it beyond
 * BEHIND_MAX. A comment now and then shows both ends that the other is there.
 */
import type { Context } from 'hono'
import { type SSEStreamingApi, streamSSE } from 'hono/streaming'
import { clientOf, type Evidence, type Role } from '../core/evidence.ts'
import { covers, type Prefix } from '../core/prefixes.ts'

/** Hears all evidence from now on; the answer ends that. */
export type Follow = (hear: (evidence: Evidence) => void) => () => void

export type Wanted = { readonly within: Prefix | undefined; readonly role: Role | undefined }

/** Streams at once, and what may wait for one that reads slowly. */
const STREAMS_MAX = 64
const BEHIND_MAX = 1000
const BEAT_MS = 15_000

export class Following {
  readonly #follow: Follow
  #streams = 0

  constructor(follow: Follow) {
    this.#follow = follow
  }

  stream(c: Context, wanted: Wanted): Response {
    if (this.#streams >= STREAMS_MAX)
      return c.json({ error: `${STREAMS_MAX} follow already`, hint: 'close one, or read the journal' }, 503)
    this.#streams++
    return streamSSE(c, async (stream) => {
      try {
        await this.#run(stream, wanted)
      } finally {
        this.#streams--
      }
    })
  }

  async #run(stream: SSEStreamingApi, { within, role }: Wanted): Promise<void> {
    const behind: Evidence[] = []
    let missed = 0
    let wake = () => {}
    const silence = this.#follow((evidence) => {
      if (role && evidence.role !== role) return
      if (within && !covers(within, clientOf(evidence))) return
      if (behind.length < BEHIND_MAX) behind.push(evidence)
      else missed++
      wake()
    })
    stream.onAbort(() => wake())
    try {
      await stream.write(': decoymx\n\n')
      while (!stream.aborted && !stream.closed) {
        const evidence = behind.shift()
        if (evidence) await stream.writeSSE({ event: 'evidence', data: JSON.stringify(evidence) })
        else if (missed > 0) {
          await stream.writeSSE({ event: 'missed', data: JSON.stringify({ count: missed }) })
          missed = 0
        } else if (!(await somethingWithin(BEAT_MS, (woken) => (wake = woken)))) await stream.write(': still here\n\n')
      }
    } finally {
      silence()
    }
  }
}

/** True when it was woken before the time was over. */
function somethingWithin(ms: number, wakes: (woken: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, ms, false).unref()
    wakes(() => (clearTimeout(late), resolve(true)))
  })
}

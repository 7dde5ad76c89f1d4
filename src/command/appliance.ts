/**
 * Asks the running appliance, over the socket in its state directory. Every command that is not the appliance itself goes
 * this way, so that there is one truth and one journal.
 */
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { controlSocket } from '../settings/state.ts'
import { typed } from '../console/called.ts'

/** The appliance does not answer: `message` says so, and what to do; `seen` and `next` are the two halves of it. */
export class NotRunning extends Error {
  readonly seen: string
  readonly next: string

  constructor(seen: string, next: string) {
    super(`${seen}. ${next}`)
    this.seen = seen
    this.next = next
  }
}
/** It runs, and we may not ask it. */
export class NotOurs extends NotRunning {}

export type Reply = { readonly status: number; readonly body: unknown }

const DEADLINE_MS = 10_000
/** A million decisions fit; more is not read. */
const REPLY_BYTES_MAX = 512 * 1024 * 1024

export async function ask(
  folder: string,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
  deadlineMs = DEADLINE_MS,
): Promise<Reply> {
  const { status, text } = await askForText(folder, method, path, body, deadlineMs)
  return { status, body: JSON.parse(text) }
}

/** The same, for what is no JSON. */
export function askForText(
  folder: string,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
  deadlineMs = DEADLINE_MS,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
    const asked = request(
      // A connection for each question: one that is kept may be closed while we write on it (RFC 9112, section 9.5).
      { socketPath: controlSocket(folder), method, path, headers, timeout: deadlineMs, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > REPLY_BYTES_MAX) asked.destroy(new Error('the reply is too large'))
          else chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      },
    )
    asked.on('timeout', () => asked.destroy(new Error(`the appliance did not answer within ${deadlineMs / 1000} s`)))
    asked.on('error', (error: NodeJS.ErrnoException) => reject(explain(error, folder)))
    asked.end(payload)
  })
}

/** Why it could not be reached, and what to do. */
export function explain(error: NodeJS.ErrnoException, folder: string): Error {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
    return new NotRunning(
      `no decoymx is running on ${folder}${existsSync(folder) ? '' : ', for there is no such directory'}`,
      `Start it with "${typed('run')}", or name its state directory with --state DIR`,
    )
  if (error.code === 'EACCES')
    return new NotOurs(`the decoymx on ${folder} belongs to another user`, 'Ask as that user, or as root')
  return error
}

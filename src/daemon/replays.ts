/**
 * The box's own recording under proposed rules, one replay at a time, in a process of its own (replay-worker.ts): this one answers
 * the real MX.
 *
 * It ends with whoever asked for it, and after REPLAY_MS in any case. Where memory is short it is the first to go: it can be asked
 * for again.
 */
import { type ChildProcess, fork, type StdioOptions } from 'node:child_process'
import { join } from 'node:path'
import type { ReplayNews, Replaying } from '../answer/editing.ts'
import type { RulesText } from '../settings/checked.ts'

/** What is told again: the journal in this state directory, under the rules in use and under the proposed ones. */
export type ReplayTask = { readonly state: string; readonly today: RulesText; readonly proposed: RulesText }

/** A million events take some ten seconds. */
const REPLAY_MS = 180_000
const FLAGS = ['--max-old-space-size=2048']

export class Replays {
  readonly #now: () => number
  #running: { readonly by: string; readonly since: number; readonly child: ChildProcess } | undefined

  constructor(now: () => number) {
    this.#now = now
  }

  begin(task: ReplayTask, by: string, hear: (news: ReplayNews) => void): Exclude<Replaying, { is: 'unsound' }> {
    if (this.#running) {
      const { by: other, since } = this.#running
      return { is: 'busy', by: other, seconds: Math.round((this.#now() - since) / 1000) }
    }
    const child = fork(join(import.meta.dirname, 'replay-worker.ts'), [], { execArgv: FLAGS, stdio: STDIO })
    this.#running = { by, since: this.#now(), child }
    let over = false
    // Its news is the end of it: whoever has heard that may ask for the next, though the process is not gone yet.
    const free = () => {
      if (this.#running?.child === child) this.#running = undefined
    }
    const end = (news: ReplayNews) => {
      free()
      if (!over) hear(news)
      over = true
    }
    const late = setTimeout(() => {
      end({ what: 'failed', error: `not done within ${REPLAY_MS / 1000} s`, hint: 'decoymx replay has no such bound' })
      child.kill('SIGKILL')
    }, REPLAY_MS).unref()
    const gone = (how: string) => {
      clearTimeout(late)
      end({ what: 'failed', error: `the replay has ended before it was done (${how})`, hint: 'is memory short?' })
    }
    child.on('message', (news: ReplayNews) => (news.what === 'progress' ? over || hear(news) : end(news)))
    child.once('error', (error) => gone(error.message))
    child.once('exit', (code, signal) => gone(signal ?? `exit ${code}`))
    child.send(task, () => {})
    return { is: 'begun', stop: () => void child.kill('SIGKILL') }
  }

  close(): void {
    this.#running?.child.kill('SIGKILL')
  }
}

const STDIO: StdioOptions = ['ignore', 'ignore', 'ignore', 'ipc']

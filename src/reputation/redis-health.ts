/**
 * Is the Redis that we are connected to of any use now? If not, whoever asks it is told at once why.
 *
 * There are three ways in which it is of none: no connection; one that hangs, which costs one deadline and not one for each
 * call (breaker.ts); and a replica, which takes nothing, and whose rulings may be old without its knowing. Each turn for the
 * better or the worse is told once.
 */
import type { Instant } from '../core/evidence.ts'
import { Breaker } from './breaker.ts'
import { type Connection, inTime, plainly } from './redis-connection.ts'
import type { StoreHappening, StoreHealth } from './store.ts'

type RedisHealthOptions = {
  readonly now: () => Instant
  readonly tell: (happening: Extract<StoreHappening, { what: 'up' | 'down' }>) => void
  /** A failure that took about so long was a hang. */
  readonly commandTimeoutMs: number
}

/** A server that hung is looked at again so often. */
const BREAK_MS = 1000
/** What is told of a connection that ended without an error. */
const CLOSED = 'the connection was closed'

export class RedisHealth {
  readonly #connection: Pick<Connection, 'kind' | 'commands'>
  readonly #options: RedisHealthOptions
  /** In a Cluster the rulings may be on a node that answers while one with records hangs, and the other way round. */
  readonly #breakers: Record<'records' | 'rulings', Breaker>
  #connected = false
  /** Settles when it is known whether the server we are connected to is a master. */
  #examined: Promise<void> = Promise.resolve()
  /** Why it is of no use, though it answers. */
  #unfit: string | undefined
  #lastError = CLOSED
  #told: StoreHealth | undefined
  #closed = false

  constructor(connection: Pick<Connection, 'kind' | 'commands'>, options: RedisHealthOptions) {
    this.#connection = connection
    this.#options = options
    const breaker = () =>
      new Breaker({
        slowMs: 0.9 * options.commandTimeoutMs,
        pauseMs: BREAK_MS,
        clock: () => performance.now(),
        turned: (error) => {
          if (error !== undefined) this.#lastError = error
          this.#settle()
        },
      })
    const records = breaker()
    this.#breakers = { records, rulings: connection.kind === 'cluster' ? breaker() : records }
  }

  get told(): StoreHealth {
    return this.#told ?? { state: 'down', since: this.#options.now(), error: this.#lastError }
  }

  /** Settles when it is known what became of the first attempt to connect. */
  async first(attempt: Promise<unknown>): Promise<void> {
    const ended = attempt.catch((error: Error) => {
      if (this.#lastError === CLOSED) this.#lastError = error.message
    })
    await inTime(ended)
    // The library may settle before it says that it is ready.
    await new Promise((resolve) => setImmediate(resolve))
    await this.#examined
    this.#settle()
  }

  /** What the call gives; rejects at once, and asks nothing, while that would be in vain. After `close` nothing is looked at. */
  async through<Value>(what: 'records' | 'rulings', call: () => Promise<Value>): Promise<Value> {
    if (!this.#closed && !this.#connected) throw new Error(`not connected: ${this.#lastError}`)
    if (!this.#closed && this.#unfit !== undefined) throw new Error(this.#unfit)
    try {
      return await this.#breakers[what].through(async () => {
        try {
          return await call()
        } catch (error) {
          throw plainly(error as Error, this.#options.commandTimeoutMs)
        }
      })
    } catch (error) {
      // It was made a replica while we were connected.
      const { message } = error as Error
      if (message.startsWith('READONLY')) void this.#examine()
      // What the library says of a connection that broke meanwhile does not say why.
      if (/max retries per request|Connection is closed|isn't writeable/.test(message) && !this.#closed)
        throw new Error(`not connected: ${this.#lastError}`, { cause: error })
      throw error
    }
  }

  /** A replica may have been made a master. */
  async lookAgain(): Promise<void> {
    if (this.#unfit !== undefined) await this.#examine()
  }

  connected(): void {
    this.#connected = true
    this.#lastError = CLOSED
    for (const breaker of Object.values(this.#breakers)) breaker.close()
    this.#examined = this.#examine()
  }

  disconnected(): void {
    this.#connected = false
    this.#unfit = undefined
    this.#settle()
  }

  /** What is wrong with the connection; whether that ends it is told apart. */
  failed(error: Error): void {
    this.#lastError = plainly(error, this.#options.commandTimeoutMs).message
  }

  /** What comes now is our own doing, and told to nobody. */
  close(): void {
    this.#closed = true
  }

  /** Sentinels and Clusters name their masters; a single server may be a replica. */
  async #examine(): Promise<void> {
    if (this.#connection.kind === 'one') {
      // Who may not ask is not told, and learns it by the first write.
      const text = await this.#connection.commands.info('replication').catch(() => '')
      const master = /^role:slave\r?\nmaster_host:(\S+)\r?\nmaster_port:(\d+)/m.exec(text)
      this.#unfit = master
        ? `this is a read-only replica: the store is at its master, ${master[1]} port ${master[2]}`
        : undefined
    }
    this.#settle()
  }

  #settle(): void {
    if (this.#closed) return
    const before = this.#told?.state
    const hung = this.#breakers.records.error ?? this.#breakers.rulings.error
    const error = this.#connected ? (this.#unfit ?? hung) : this.#lastError
    const state = error === undefined ? 'up' : this.#connected && this.#unfit === undefined ? 'hung' : 'down'
    this.#told = { state, since: state === before ? this.told.since : this.#options.now(), error }
    if (state === before) return
    if (error === undefined) this.#options.tell({ what: 'up' })
    else if (before === undefined || before === 'up') this.#options.tell({ what: 'down', error })
  }
}

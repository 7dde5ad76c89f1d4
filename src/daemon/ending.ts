/**
 * When to end: a signal, or the end of whoever started us. And the signal that by default would end us, but means "read again".
 */

export type Signals = ReturnType<typeof hearSignals>

/** From now on, none of them is missed. */
export function hearSignals() {
  return { ended: untilToldToEnd(), hangUps: hearHangUps() }
}

/** The first signal, or the end of whoever started us by a channel, ends us in order; a second one at once. */
function untilToldToEnd() {
  return new Promise<{ signal: string; late: (ms: number) => Promise<void> }>((resolve) => {
    let told = false
    const end = (signal: string) => {
      if (told) process.exit(1)
      told = true
      resolve({ signal, late: (ms) => new Promise((timeUp) => setTimeout(timeUp, ms).unref()) })
    }
    process.on('SIGTERM', () => end('SIGTERM'))
    process.on('SIGINT', () => end('SIGINT'))
    if (process.channel) {
      process.on('disconnect', () => end('the end of the starting process'))
      process.channel.unref()
    }
  })
}

/** What is still open then is not waited for: a room that hangs, or a log that nobody reads. */
const LEAVE_MS = 1000

/** Everything is done. The process ends by itself when nothing of it is left, and soon in any case. */
export function leave(): void {
  setTimeout(() => process.exit(), LEAVE_MS).unref()
}

type HangUps = { readonly heed: (by: () => void) => void }

/** SIGHUP is heard from now on; what comes before anybody can heed it is heeded then, once. */
function hearHangUps(): HangUps {
  let heeded: (() => void) | undefined
  let missed = false
  process.on('SIGHUP', () => (heeded ? heeded() : (missed = true)))
  return {
    heed(by) {
      heeded = by
      if (missed) by()
    },
  }
}

/**
 * When to end: a signal, or the end of whoever started us.
 */

/** The first signal, or the end of whoever started us by a channel, ends us in order; a second one at once. */
export function untilToldToEnd() {
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

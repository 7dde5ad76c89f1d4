/**
 * Spans of time in words. There are two needs: what can be written in a file or a command is read, and told again so that it
 * can be written there (`90m`); whoever wants to know how long something takes is told the one unit that tells enough (`2 h`).
 *
 * Forms that others have laid down stay where they are read: TTLs of a zone file, timeouts of nftables, a clock that runs.
 */

export const A_SPAN = 'expected a time span like 15m, 24h or 7d'

export const SPAN = /^(\d{1,6})(ms|s|m|h|d|w)$/
const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** `90s`, `15m`, `24h`, `7d`, `2w` in milliseconds; undefined: no span. */
export function parseSpan(text: string): number | undefined {
  const match = SPAN.exec(text.trim())
  return match ? Number(match[1]) * (UNIT_MS[match[2] as string] as number) : undefined
}

/** Exactly, in the greatest unit up to days that needs no fraction: as `parseSpan` reads it. */
export function spellSpan(ms: number): string {
  const unit = ['d', 'h', 'm', 's'].find((each) => ms !== 0 && ms % (UNIT_MS[each] as number) === 0)
  return unit === undefined ? (ms === 0 ? '0s' : `${ms}ms`) : `${ms / (UNIT_MS[unit] as number)}${unit}`
}

/** `7 days`, `1 H`: a span with its unit in other words, as a hint. */
export function spanMeant(text: string): string | undefined {
  const match = /^(\d{1,6})\s*(ms|s|m|h|d|w|milliseconds?|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?)$/i.exec(
    text.trim(),
  )
  const unit = match?.[2]?.toLowerCase()
  return unit && `did you mean ${match?.[1]}${/^(?:ms|milli)/.test(unit) ? 'ms' : unit[0]}?`
}

/** `3 h`, `12 min`, `2 d`: about so long. */
export function span(ms: number): string {
  return inOneUnit(ms, Math.round)
}

/** The same for a wait, of which no part may be missing: two hours and a minute are `3 h`. */
export function waitOf(ms: number): string {
  return inOneUnit(ms, Math.ceil)
}

function inOneUnit(ms: number, whole: (n: number) => number): string {
  const units: readonly [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ]
  const [size, name] = units.find(([each]) => ms >= each * 1.95 || each === 1000) as [number, string]
  return `${Math.max(0, whole(ms / size))} ${name}`
}

/**
 * The rules' word about an IPv4 client as numbers, and read out of them again: what stands and until when, and its ticket.
 *
 * Listings keeps a million of them in columns. What comes out is equal to what went in, and what would not be is not taken (`fits`).
 */
import { dottedOf, numberOfDotted } from '../core/client.ts'
import type { Instant } from '../core/evidence.ts'
import type { Stand } from '../core/listing.ts'
import { type Standing, STANDINGS } from '../core/rules.ts'
import type { Ruling } from './store.ts'

/** Can it be made of numbers again without loss? Only the rules' words about an IPv4 client, with their ends in order. */
export function fits(ruling: Ruling, stands: readonly Stand[], enforced: readonly Stand[]): boolean {
  const { by, word, target, since, until, grace, author, score } = ruling
  return (
    by === 'rules' &&
    target === dottedOf(numberOfDotted(target) | 0) &&
    word === stands[0]?.word &&
    until === lastEnd(stands) &&
    grace === undefined &&
    author === undefined &&
    !Number.isNaN(since) &&
    !Number.isNaN(score) &&
    areInOrder(stands) &&
    areInOrder(enforced)
  )
}

function areInOrder(stands: readonly Stand[]): boolean {
  let before = -1
  for (const { word, until } of stands) {
    const place = STANDINGS.indexOf(word)
    if (place <= before || Number.isNaN(until)) return false
    before = place
  }
  return true
}

export function lastEnd(stands: readonly Stand[]): Instant {
  let last = -Infinity
  for (const { until } of stands) if (until > last) last = until
  return last
}

/** An instant for each word that may stand, heaviest first; NaN where it does not. */
export function writeStands(numbers: Float64Array, from: number, stands: readonly Stand[]): void {
  numbers.fill(Number.NaN, from, from + STANDINGS.length)
  for (const { word, until } of stands) numbers[from + STANDINGS.indexOf(word)] = until
}

export function readStands(numbers: Float64Array, from: number): Stand[] {
  const stands: Stand[] = []
  for (let i = 0; i < STANDINGS.length; i++) {
    const until = numbers[from + i] as number
    if (!Number.isNaN(until)) stands.push({ word: STANDINGS[i] as Standing, until })
  }
  return stands
}

/** The same words stand at both places, until the same instants. */
export function alike(numbers: Float64Array, one: number, other: number): boolean {
  for (let i = 0; i < STANDINGS.length; i++) if (!Object.is(numbers[one + i], numbers[other + i])) return false
  return true
}

/** A ticket as a number, four letters or digits twice; undefined when it is none of these. */
export function codeOfTicket(ticket: string): number | undefined {
  if (ticket.length !== 9 || ticket.charCodeAt(4) !== DASH) return undefined
  let code = 0
  for (let i = 0; i < 9; i++) {
    if (i === 4) continue
    const byte = ticket.charCodeAt(i)
    const digit = byte >= 48 && byte <= 57 ? byte - 48 : byte >= 65 && byte <= 90 ? byte - 55 : -1
    if (digit < 0) return undefined
    code = code * 36 + digit
  }
  return code
}

const DASH = 45

/** Made for each answer about a listed client, so by two letters at a time: as text of base 36 a number of that size takes long. */
export function ticketOfCode(code: number): string {
  const first = Math.floor(code / FOUR_LETTERS)
  return `${fourLetters(first)}-${fourLetters(code - first * FOUR_LETTERS)}`
}

function fourLetters(code: number): string {
  return `${PAIRS[Math.floor(code / 1296)]}${PAIRS[code % 1296]}`
}

const FOUR_LETTERS = 36 ** 4
const PAIRS = Array.from({ length: 1296 }, (_, pair) => pair.toString(36).toUpperCase().padStart(2, '0'))

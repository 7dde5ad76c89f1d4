/**
 * The canary's addresses: those under which the appliance plays senders to itself, to see whether the chain works.
 *
 * They are judged like anybody, so that what is proved of them is proved of everybody. They come from 240.0.0.0/4, which is
 * reserved (RFC 1112 section 4, RFC 6890): no packet from there reaches a mail server, so whoever is told that one of them
 * is listed refuses nobody. It is neither the documentation ranges, which people try things out with, nor the range of
 * benchmarks. What a canary did counts for CANARY_MS only: read from the journal again later, it is nothing.
 */
import { type Client, parseClient } from './client.ts'
import type { Event, Instant } from './evidence.ts'

/** Longer than any canary is on its way; what is older was left behind by a crash. */
export const CANARY_MS = 5 * 60_000
/** So many of each there are. */
export const CANARIES = 65_536

/** `n` below CANARIES. */
export function canaryBot(n: number): Client {
  return parseClient(`240.0.${n >> 8}.${n & 255}`) as Client
}

export function canaryHonest(n: number): Client {
  return parseClient(`240.1.${n >> 8}.${n & 255}`) as Client
}

/** Is this address, or the key of this client, a canary's? */
export function isCanary(ip: string): boolean {
  return ip.startsWith('240.0.') || ip.startsWith('240.1.')
}

/** Was this played to ourselves? A recording is told without it. */
export function isPlayed(event: Event): boolean {
  return event.type === 'evidence' && isCanary(event.client)
}

/** Evidence of a canary that has long had its answer. */
export function isStaleCanary(event: Event, now: Instant): boolean {
  return isPlayed(event) && Math.abs(now - event.at) > CANARY_MS
}

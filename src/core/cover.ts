/**
 * Networks laid over each other, read as one flat list: which stretch of addresses has which value.
 *
 * Two networks are apart or one holds the other; they never cross. So one walk over them in order, with those that hold the
 * present address on a stack, cuts the address space into stretches, and inside each the values of all layers are joined
 * into one. A stretch becomes networks again only at the end: so nothing is ever covered that no layer covers.
 *
 * With many thousands of networks this takes a while, and whoever answers others meanwhile must not be kept: each walk
 * yields every BREATH steps.
 */
import { dottedOf } from './client.ts'
import { addressOf, type Prefix } from './prefixes.ts'

/** From the first address to the last, as numbers. */
export type Stretch<Value> = {
  readonly family: 4 | 6
  readonly first: bigint
  readonly last: bigint
  readonly value: Value
}

/** A walk that can be paused wherever it yields. */
export type Paced<Value> = Generator<undefined, Value>

/** So many steps take a few milliseconds. */
export const BREATH = 1000

/** `join` gets the value of what lies around, and of what lies within it or is the same network, in the order given. */
export function* flatten<Value>(
  layers: readonly (readonly [Prefix, Value])[],
  join: (outer: Value, inner: Value) => Value,
): Paced<Stretch<Value>[]> {
  const flat: Stretch<Value>[] = []
  for (const family of [4, 6] as const) {
    const around: { readonly last: bigint; readonly value: Value }[] = []
    let at = 0n
    const upTo = (last: bigint, value: Value) => {
      if (at <= last) flat.push({ family, first: at, last, value })
      at = last + 1n
    }
    const leaveBefore = (first: bigint | undefined) => {
      for (let top = around.at(-1); top && (first === undefined || top.last < first); top = around.at(-1)) {
        upTo(top.last, top.value)
        around.pop()
      }
    }
    let steps = 0
    for (const { first, last, value } of yield* inOrder(layers, family)) {
      leaveBefore(first)
      const outer = around.at(-1)
      if (outer) upTo(first - 1n, outer.value)
      at = first
      around.push({ last, value: outer ? join(outer.value, value) : value })
      if (++steps % BREATH === 0) yield
    }
    leaveBefore(undefined)
  }
  return flat
}

type Layer<Value> = { readonly first: bigint; readonly last: bigint; readonly length: number; readonly value: Value }

/** By first address, the widest first; sorted in parts, so that there is a pause between them. */
function* inOrder<Value>(layers: readonly (readonly [Prefix, Value])[], family: 4 | 6): Paced<Layer<Value>[]> {
  const runs: Layer<Value>[][] = []
  for (let i = 0; i < layers.length; i += BREATH) {
    const run = layers
      .slice(i, i + BREATH)
      .filter(([prefix]) => prefix.family === family)
      .map(([prefix, value]) => ({ ...endsOf(prefix), length: prefix.length, value }))
    runs.push(run.toSorted(byPlace))
    yield
  }
  while (runs.length > 1) {
    const [a, b] = runs.splice(0, 2) as [Layer<Value>[], Layer<Value>[]]
    runs.push(yield* zipped(a, b))
  }
  return runs[0] ?? []
}

function* zipped<Value>(a: readonly Layer<Value>[], b: readonly Layer<Value>[]): Paced<Layer<Value>[]> {
  const both: Layer<Value>[] = []
  for (let [i, j] = [0, 0]; i < a.length || j < b.length;) {
    const [one, other] = [a[i], b[j]]
    const fromA = one !== undefined && (!other || byPlace(one, other) <= 0)
    both.push((fromA ? one : other) as Layer<Value>)
    if (fromA) i++
    else j++
    if (both.length % BREATH === 0) yield
  }
  return both
}

function byPlace(a: Layer<unknown>, b: Layer<unknown>): number {
  return a.first < b.first ? -1 : a.first > b.first ? 1 : a.length - b.length
}

/** Neighbours made one where `alike` says that nothing is lost by it. They come in order, as `flatten` gives them. */
export function* merge<Value>(
  stretches: readonly Stretch<Value>[],
  alike: (a: Stretch<Value>, b: Stretch<Value>) => boolean,
): Paced<Stretch<Value>[]> {
  const merged: Stretch<Value>[] = []
  for (const [i, next] of stretches.entries()) {
    if (i % BREATH === 0) yield
    const before = merged.at(-1)
    if (before && before.family === next.family && before.last + 1n === next.first && alike(before, next))
      merged[merged.length - 1] = { ...before, last: next.last }
    else merged.push(next)
  }
  return merged
}

/** The fewest networks that are exactly this stretch. */
export function* networksOf({ family, first, last }: Omit<Stretch<unknown>, 'value'>): Generator<Network> {
  const width = family === 4 ? 32 : 128
  let at = first
  while (at <= last) {
    let hostBits = 0
    while (hostBits < width && (at >> BigInt(hostBits)) % 2n === 0n && at + (2n << BigInt(hostBits)) - 1n <= last)
      hostBits++
    yield { family, address: family === 4 ? dottedOf(Number(at)) : addressOf(at, 6), length: width - hostBits }
    at += 1n << BigInt(hostBits)
  }
}

export type Network = { readonly family: 4 | 6; readonly address: string; readonly length: number }

function endsOf({ family, length, bits }: Prefix): { readonly first: bigint; readonly last: bigint } {
  const hostBits = BigInt((family === 4 ? 32 : 128) - length)
  return { first: bits << hostBits, last: ((bits + 1n) << hostBits) - 1n }
}

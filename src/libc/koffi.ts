/**
 * koffi, which calls functions of C: what is used of it, and whether it can be used here.
 *
 * It is optional. What is built on it says why where it cannot be had, and its caller goes another way; and it is tried
 * before it is trusted, for a wrong number would be no exception but a crash. Layouts of memory are those of 64-bit Linux
 * with the low byte first.
 */
import { createRequire } from 'node:module'
import { endianness } from 'node:os'

/** A function of a library; the shape of its arguments is in its definition, which is C. */
export type Native = (...args: readonly (number | undefined)[]) => number
export type Library = { readonly func: (definition: string) => Native }

/** In words of ours: what is built on it must be understood where it was left out. */
export type Koffi = {
  /** null: what this process has loaded already, libc among it. */
  readonly load: (path: null) => Library
  readonly alloc: (type: string, count: number) => unknown
  readonly address: (block: unknown) => bigint
  readonly view: (block: unknown, bytes: number) => ArrayBuffer
}

/** What is tried by what it does to itself: gives what was not as it should be, or undefined. */
type Tried = { readonly fault: (libc: Library) => string | undefined }

/** One of this process, tried; or a sentence that says why there is none. */
export function have<Made extends Tried>(make: new (koffi: Koffi) => Made): Made | string {
  const { platform, arch } = process
  if (platform !== 'linux' || !['x64', 'arm64'].includes(arch) || endianness() !== 'LE')
    return `not made for ${platform} on ${arch}`
  try {
    return prove(make, createRequire(import.meta.url)('koffi') as Koffi)
  } catch (error) {
    return `koffi cannot be used: ${(error as Error).message.split('\n', 1)[0]}`
  }
}

/** With this koffi, tried; or what is wrong with it. Throws what it throws. */
export function prove<Made extends Tried>(make: new (koffi: Koffi) => Made, koffi: Koffi): Made | string {
  const made = new make(koffi)
  return made.fault(koffi.load(null)) ?? made
}

/** Memory that the kernel may write to, all 0, taken for as long as the process lives; and where it is. */
export type Block = { readonly base: number; readonly bytes: Buffer; readonly words: Uint32Array }

export function blockOf({ alloc, address, view }: Koffi, length: number): Block {
  const block = alloc('uint8_t', length)
  const memory = view(block, length)
  return { base: Number(address(block)), bytes: Buffer.from(memory).fill(0), words: new Uint32Array(memory) }
}

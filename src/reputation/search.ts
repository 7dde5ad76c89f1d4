/**
 * What is looked for among all rulings, in two forms: for those that are objects, and for a million in columns, of which no
 * object is made to find out (listings.ts). Both must say the same.
 */
import type { Ruling } from './store.ts'

export type Search = {
  /** The word that stands now; undefined: any. */
  readonly word: Ruling['word'] | undefined
  /** Beside the word, which is looked at already. */
  readonly ruling: (ruling: Ruling) => boolean
  /** Of a listing of an IPv4 client any of these is enough; undefined: all are looked for. */
  readonly listing?:
    | {
        /** The address, as a number of 32 bits without a sign. */
        readonly whole?: ((whole: number) => boolean) | undefined
        readonly because?: ((because: string) => boolean) | undefined
        readonly ticket?: ((ticket: string) => boolean) | undefined
      }
    | undefined
}

/** The newest that are looked for, and how many there are. */
export type Newest = { readonly found: readonly Ruling[]; readonly count: number }

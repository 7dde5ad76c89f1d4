/**
 * What a held offender is told, as slowly as the drip goes: a greeting that never ends, or the replies of a mail server that
 * takes its time and nothing else.
 *
 * In either form it hears no 2xx to anything of a message, and no 5xx: 220 greets, 250 answers EHLO and HELO alone, 221
 * says goodbye, and everything else is told to come again later. So an honest server that is held by mistake keeps its mail
 * and tries again. How it looks (look.ts) and in which words it speaks (phrasing.ts) are those of the dialogue: a tarpit that
 * names itself is one to be skipped.
 *
 * The client's lines are read no further than their first four letters, and only while it waits for us.
 */
import type { Visit } from './crowd.ts'
import { hostOf, type Look } from './look.ts'
import { BANNER_MAX, listOf, phrasesOf, plain } from './phrasing.ts'

export type Form = 'greeting' | 'replies'

/** Texts cut into the pieces of one drip each, by their number. Strings: Node writes a short one with the least ado. */
export type Script = { readonly texts: readonly (readonly string[])[]; readonly form: Form }

/** The texts: numbers, because a held connection remembers which it is told. The first is the greeting. */
const [, EHLO, HELO, LATER, BYE] = [0, 1, 2, 3, 4]
/** It has been told all, and we wait for its next line. */
const WAITING = -1
/** The goodbye has been said. */
const GONE = -2
/** Bytes in one drip. */
const DRIP_BYTES = 4
/** More keywords and longer ones than any mail server has. */
const EHLO_MAX = 20
const KEYWORD_MAX = 64

/** `name`: how we call ourselves where the banner does not begin with a host's name. */
export function scriptOf(name: string, form: Form, look: Look): Script {
  const phrases = phrasesOf(name, look, { auth: false, tls: undefined })
  const self = hostOf(plain(look.banner, BANNER_MAX), name)
  const keywords = look.ehlo.slice(0, EHLO_MAX).map((keyword) => plain(keyword, KEYWORD_MAX))
  const texts = [
    form === 'greeting' ? phrases.greeting.replace('220 ', '220-') : phrases.greeting,
    listOf([self, ...keywords]),
    phrases.helo,
    phrases.later,
    phrases.bye,
  ]
  return { texts: texts.map(piecesOf), form }
}

/** After the goodbye there is no next piece. */
export const ALL_SAID = Symbol('all said')

/** What it is told next; undefined while we wait for its line. */
export function nextPiece({ texts, form }: Script, visit: Visit): string | typeof ALL_SAID | undefined {
  if (visit.text === WAITING) return undefined
  if (visit.text === GONE) return ALL_SAID
  const text = texts[visit.text] ?? []
  // The look may have changed meanwhile, and a text may be shorter than it was.
  const piece = text[visit.turn++]
  if (visit.turn < text.length) return piece
  visit.turn = 0
  // Whoever hears the last piece may answer at once: the greeting that never ends begins anew, any other text is over.
  if (form === 'replies') visit.text = visit.text === BYE ? GONE : WAITING
  return piece
}

/** Takes in what the client sends: a whole line, while we wait for one, chooses what it is told. */
export function hearken(visit: Visit, bytes: Buffer): void {
  for (const byte of bytes) {
    if (byte === LF) {
      // Who does not wait for its answer gets one for all that it says meanwhile.
      if (visit.text === WAITING) {
        visit.text = visit.column === 4 ? (ANSWERS.get(visit.verb) ?? LATER) : LATER
        visit.turn = 0
      }
      visit.verb = visit.column = 0
    } else if (visit.column < 4) {
      visit.verb = (visit.verb << 8) | (byte & UPPER)
      visit.column++
    }
  }
}

const LF = 10
/** Makes an ASCII letter a capital one. */
const UPPER = 0xdf

const ANSWERS: ReadonlyMap<number, number> = new Map([
  [packed('EHLO'), EHLO],
  [packed('HELO'), HELO],
  [packed('QUIT'), BYE],
])

function packed(verb: string): number {
  return Buffer.from(verb, 'latin1').readInt32BE()
}

/** Of ASCII, so a character is a byte. */
function piecesOf(text: string): string[] {
  const count = Math.ceil(text.length / DRIP_BYTES)
  return Array.from({ length: count }, (_, i) => text.slice(i * DRIP_BYTES, (i + 1) * DRIP_BYTES))
}

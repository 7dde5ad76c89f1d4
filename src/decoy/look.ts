/**
 * How our decoys look from outside: as the operator's real MX does, each by its own name. One look for the tarpit and for
 * the dialogue, so that a client that meets first the one and then the other meets one house.
 *
 * Ours is the name, and the form is the real MX's (`mx9.example.org ESMTP Postfix (Debian/GNU)`), as it is with a real backup.
 * With the name of the real MX we would lie to honest senders: a mail server that is answered by its own name takes that for a
 * loop (Postfix defers, and bounces at the best MX: smtp_proto.c, "loops back to myself"), and a certificate of ours would
 * stand beside another's name. So the lie in HELO is our own name alone, too: a real MX that says who it is tells the truth. The
 * time in a banner is left out: that of the witness's last visit would stand still.
 *
 * Of what the real MX offers only that is offered which costs an honest sender nothing. So no SIZE: what is larger than the number
 * is bounced at once, and another real MX may take more. No PIPELINING: who talks ahead without it shows bad manners. No CHUNKING,
 * XCLIENT and the like, which nobody here follows. 8BITMIME and SMTPUTF8 always: senders bounce at once what needs
 * them and is not offered them.
 */

/**
 * How a mail server looks from outside: what stands after `220 `, the lines after the first of its answer to EHLO, and how long
 * it takes to greet.
 */
export type Look = {
  readonly banner: string
  readonly ehlo: readonly string[]
  readonly greetingMs?: number | undefined
}

/** What the settings want of it. */
export type Wish = { readonly [Part in 'banner' | 'ehlo']: Look[Part] | undefined }

/** The settings' word first, then what the real MX says, then the most common. The same object while nothing changes. */
export function lookOf(name: string, wish?: Wish, looksLike?: () => Look | undefined): () => Look {
  let [seen, look] = [undefined as Look | undefined, undefined as Look | undefined]
  return () => {
    const real = looksLike?.()
    if (!look || real !== seen)
      look = {
        banner: wish?.banner ?? (real ? inOurName(real.banner, name) : `${name} ESMTP Postfix`),
        ehlo: wish?.ehlo ?? followed(real?.ehlo ?? COMMON),
        greetingMs: real?.greetingMs,
      }
    seen = real
    return look
  }
}

/** The name that this banner begins with, or ours where it names nobody. */
export function hostOf(banner: string, name: string): string {
  return HOST_FIRST.exec(banner)?.[0] ?? name
}

/** Of these keywords what a decoy may offer. */
export function followed(keywords: readonly string[]): string[] {
  const words = keywords.map((keyword) => keyword.toUpperCase())
  return [...words.filter((word) => FOLLOWED.has(word)), ...ALWAYS.filter((word) => !words.includes(word))]
}

/** RFC 5321, 4.2: a greeting begins with the name of its host, and so does what answers EHLO (4.1.1.1). */
const HOST_FIRST = /^[a-z0-9_-]+(\.[a-z0-9_-]+)+(?= |$)/i

/** As Exim, Sendmail and Exchange write it (RFC 5322, 3.3), at the end of the line. */
const DATE_LAST =
  /[;,]?( at)? +(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} [A-Z][a-z]{2} \d{4} [\d:]{5,8}( [+A-Z-][\dA-Z]{2,4})?( \([A-Z]+\))?$/

function inOurName(banner: string, name: string): string {
  const timeless = banner.trimEnd().replace(DATE_LAST, '')
  const host = HOST_FIRST.exec(timeless)?.[0]
  return host === undefined ? timeless : timeless.replaceAll(host, () => name)
}

/** DSN asks nothing of who takes no message. */
const FOLLOWED: ReadonlySet<string> = new Set(['ENHANCEDSTATUSCODES', '8BITMIME', 'DSN', 'SMTPUTF8'])
const ALWAYS = ['8BITMIME', 'SMTPUTF8'] as const
/** Postfix's, in its order. */
const COMMON = ['ENHANCEDSTATUSCODES', '8BITMIME', 'DSN', 'SMTPUTF8'] as const

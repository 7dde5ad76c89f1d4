/**
 * Does this client guess addresses? Told from the local parts it names in our domains, within one session.
 *
 * Many recipients prove nothing: a mailing list has many, Postfix hands them over in the order of the alphabet, and
 * schools and companies number their people. So only what no list of real people looks like counts, and ten of it:
 *
 * - role names and first guesses (admin, info, sales, test, root, ...), ten different ones;
 * - a series of letters, each the next of the one before it (aaa, aab, aac);
 * - letters that nobody can say, with five consonants on end (xkqzvbn).
 *
 * Random names that can be said, and names from a leaked list, are not told apart from people; `recipient-flood` bounds
 * them. Pure; the memory is a few short words for each session.
 */

/** So many local parts of one sort are guesses. */
export const GUESSES_MIN = 10
/** Longer local parts are nobody's guess, and are not kept. */
const LOCAL_MAX = 64

export type Guessing = { readonly roles: Set<string>; readonly unsayable: Set<string>; last: string; series: number }

export function newGuessing(): Guessing {
  return { roles: new Set(), unsayable: new Set(), last: '', series: 1 }
}

/** One more local part, lower case. What it completes, if anything. */
export function guess(guessing: Guessing, local: string): string | undefined {
  if (local.length > LOCAL_MAX) return undefined
  if (local !== guessing.last) {
    guessing.series = isNext(guessing.last, local) ? guessing.series + 1 : 1
    guessing.last = local
  }
  if (guessing.roles.size < GUESSES_MIN && ROLES.has(local)) guessing.roles.add(local)
  if (guessing.unsayable.size < GUESSES_MIN && UNSAYABLE.test(local)) guessing.unsayable.add(local)
  if (guessing.roles.size >= GUESSES_MIN) return `${GUESSES_MIN} names that many domains have, the last ${local}`
  if (guessing.series >= GUESSES_MIN) return `${GUESSES_MIN} of a series, the last ${local}`
  if (guessing.unsayable.size >= GUESSES_MIN) return `${GUESSES_MIN} of random letters, the last ${local}`
  return undefined
}

const UNSAYABLE = /^(?=.*[b-df-hj-np-tv-xz]{5})[a-z]{6,}$/

const ROLES: ReadonlySet<string> = new Set(
  [
    'admin administrator root postmaster webmaster hostmaster abuse noc security info information contact office mail',
    'email sales support help helpdesk service customerservice marketing billing accounts accounting finance invoice',
    'orders hr jobs careers press media news newsletter noreply test test1 user user1 guest demo staff team manager',
    'director ceo webadmin sysadmin operator ftp www web data backup oracle mysql postgres spam nobody',
  ].flatMap((words) => words.split(' ')),
)

/** The next word of letters after `before`, counting as a car's mileage does: aaa, aab, ... aaz, aba. */
function isNext(before: string, after: string): boolean {
  if (before.length !== after.length || !/^[a-z]{2,}$/.test(before) || !/^[a-z]+$/.test(after)) return false
  const letters = before.split('')
  for (let at = letters.length - 1; at >= 0; at--) {
    const letter = letters[at] as string
    if (letter !== 'z') {
      letters[at] = String.fromCharCode(letter.charCodeAt(0) + 1)
      return letters.join('') === after
    }
    letters[at] = 'a'
  }
  return false
}

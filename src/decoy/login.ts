/**
 * Which user name may be kept of a log-in. Never a password: in any doubt nothing is kept.
 *
 * Scripts send things in the wrong places. So a name is kept only where the log-in is whole, where name and password
 * both came and the name does not hold the password, and where it looks as names look and the password does not look
 * more so (an address, or letters alone against letters and digits). What was no Base64 decodes to noise, which does not.
 * Two plain words the wrong way round cannot be told from the right way. Pure.
 */

/** What the SMTP library hands over. authzid and authcid are PLAIN's (RFC 4616). */
export type Login = {
  readonly username?: string | null | undefined
  readonly password?: string | null | undefined
  readonly authzid?: string | undefined
  readonly authcid?: string | undefined
}

export function userNameOf({ username: name, password, authzid, authcid }: Login): string | undefined {
  if (!name || !password || !NAME.test(name)) return undefined
  // `user NUL password NUL` is how the first NUL gets lost: then both identities differ.
  if (authzid && authcid && authzid.toLowerCase() !== authcid.toLowerCase()) return undefined
  const [mine, secret] = [name.toLowerCase(), password.toLowerCase()]
  if (mine.includes(secret)) return undefined
  if (!name.includes('@') && (password.includes('@') || (/\d/.test(name) && /^[a-z]+$/i.test(password))))
    return undefined
  return name
}

/** As people and domains are written, in letters of one case or with a capital first: noise is not. */
const NAME = /^(?=.{3,64}$)([A-Z]?[a-z][a-z0-9._+-]*|[A-Z][A-Z0-9._+-]*)(@[a-zA-Z0-9.-]+)?$/

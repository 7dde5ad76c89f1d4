/**
 * Which other protocol is this? Told from the first bytes of a session, or from a line of text.
 *
 * Only what is sure is named: a mail server sends none of these, so that a proxy or web client that is abused to send
 * mail, and a scanner, are known by one look. Pure, and a longer opening never changes what a shorter one said, so that
 * the answer does not depend on how TCP cut the bytes.
 */

/** As many bytes of a session as an opening needs at most. */
export const OPENING_MAX = 16

/** The protocol of a session that begins so; undefined for SMTP, and for what has not come far enough. */
export function protocolOfOpening(opening: Buffer): string | undefined {
  if (isVerbal(opening[0])) return undefined
  const hex = opening.toString('hex')
  return OPENINGS.find(([, looks]) => looks.test(hex))?.[0]
}

/**
 * The protocol that has such a line; undefined for a line that may be SMTP. One that begins with a command of SMTP can
 * only be a request of HTTP's family, which names its version.
 */
export function protocolOfLine(line: string, command: boolean): string | undefined {
  if (command && !line.includes('P/')) return undefined
  const http = HTTP.exec(line)
  if (http) return `${http[2] ?? 'HTTP'} ${line.split(' ', 1)[0]}`
  return LINES.find(([, looks]) => looks.test(line))?.[0]
}

/** A letter that none of the openings has: nearly every session begins so, and need not be held against them all. */
export function isVerbal(byte: number | undefined): boolean {
  if (byte === undefined || byte === 0x43 || byte === 0x4a) return false
  const capital = byte & 0xdf
  return capital >= 0x41 && capital <= 0x5a
}

/** Each byte in two digits. */
const OPENINGS: readonly (readonly [name: string, looks: RegExp])[] = [
  ['TLS', /^1603/],
  // SSL 2.0 has its length first; a key of memcached is never as long as the third byte would say.
  ['TLS in the form of SSL 2.0', /^80..01(00|03)/],
  ['memcached, binary', /^80[01].00/],
  ['SOCKS4', /^04(01|02)/],
  ['SOCKS5', /^050[1-9]/],
  ['RDP', /^0300/],
  ['SMB', /^00.{6}(fe|ff)534d42/],
  ['PostgreSQL', /^0000.{4}(00030000|04d216(2e|2f|30))/],
  ['SQL Server', /^120100..0000/],
  ['LDAP', /^30(..|84.{8})0201..(60|63|77)/],
  ['MQTT', /^10(..|.{4})00(04|06)4d51/],
  ['BitTorrent', /^13426974546f7272656e74/],
  ['Java RMI', /^4a524d4900/],
  ['Android debug bridge', /^434e584e00/],
]

/** A request line: any method with a version, or a method that no mail command shares a name with. */
const HTTP =
  /^([A-Z-]{3,20} \S+ (HTTP|RTSP|SIP)\/\d|(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH|PROPFIND) \S)/

const LINES: readonly (readonly [name: string, looks: RegExp])[] = [
  ['SSH', /^SSH-/],
  // An array of so many strings, or a command in a line of its own.
  ['Redis', /^(\*\d{1,7}|(PING|INFO|FLUSHALL)( \S+)?|(CONFIG|SLAVEOF|REPLICAOF|EVAL) .+)$/i],
  ['memcached', /^(stats( \S+)?|gets? \S+|(set|add) \S+ \d+ \d+ \d+)$/],
  ['JSON', /^\{\s*"/],
]

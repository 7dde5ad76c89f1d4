/**
 * In which dialect of SMTP a client speaks: a short print that is the same for all copies of one program.
 *
 *     EHLO:upper:name MAIL:upper:tight:SIZE,BODY RCPT:upper:tight CRLF
 *
 * Of each sort of command the first line tells: the case of its letters; the form of the name (name, dotted with the
 * root's dot, literal, address, label, none) or of the path (tight `FROM:<`, spaced `FROM: <`, bare without angles);
 * the parameters in their order; `trail` for blanks at the end. Last, how lines end: CRLF, LF or both.
 *
 * Nothing of what was said is kept but names that a standard gave, so no address and no secret can get in.
 */
import { parseClient } from '../core/client.ts'

export type Dialect = { helo?: string; mail?: string; rcpt?: string; crlf: boolean; lf: boolean }

export function newDialect(): Dialect {
  return { crlf: false, lf: false }
}

/** A command line has ended so. */
export function listen(dialect: Dialect, verb: string, line: string, crlf: boolean): void {
  if (crlf) dialect.crlf = true
  else dialect.lf = true
  if (verb === 'EHLO' || verb === 'HELO' || verb === 'LHLO') dialect.helo ??= `${verb}:${heloForm(line)}`
  else if (verb === 'MAIL') dialect.mail ??= `MAIL:${pathForm(line)}`
  else if (verb === 'RCPT') dialect.rcpt ??= `RCPT:${pathForm(line)}`
}

/** Undefined for who has said neither its name nor a sender: that is no dialect of SMTP. */
export function printOf({ helo, mail, rcpt, crlf, lf }: Dialect): string | undefined {
  if (helo === undefined && mail === undefined) return undefined
  const ends = crlf && lf ? 'both' : lf ? 'LF' : 'CRLF'
  return [helo, mail, rcpt, ends].filter((part) => part !== undefined).join(' ')
}

/** Most parameters that are told; RFC 3461 and its like need no more than six. */
const PARAMETERS_MAX = 6

/** Names of parameters that standards gave (IANA, mail parameters); of any other only that there was one. */
const PARAMETERS: ReadonlySet<string> = new Set(
  'SIZE BODY SMTPUTF8 RET ENVID AUTH NOTIFY ORCPT REQUIRETLS BY MT-PRIORITY HOLDFOR HOLDUNTIL MTRK SOLICIT XVERP'.split(
    ' ',
  ),
)

/** As nearly everybody says it: in capitals, with a dotted name whose last label begins with a letter; and a path. */
const PLAIN_HELO = /^(EHLO|HELO) [A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9_-]*$/
const PLAIN_PATH = /^(MAIL FROM|RCPT TO):<[^\s>]*>$/

function heloForm(line: string): string {
  if (PLAIN_HELO.test(line)) return 'upper:name'
  const [verb = '', name = '', ...more] = line.trim().split(/\s+/)
  return [caseOf(verb), nameForm(name), ...(more.length > 0 ? ['more'] : []), ...trail(line)].join(':')
}

function nameForm(name: string): string {
  if (name === '') return 'none'
  if (name.startsWith('[')) return 'literal'
  if (parseClient(name)) return 'address'
  if (name.endsWith('.')) return 'dotted'
  return name.includes('.') ? 'name' : 'label'
}

function pathForm(line: string): string {
  if (PLAIN_PATH.test(line)) return 'upper:tight'
  const match = /^\s*([a-z]+\s+[a-z]+)\s*:(\s*)(<?)[^\s>]*>?(.*)$/i.exec(line)
  if (!match) return 'odd'
  const [, words = '', gap = '', angle = '', rest = ''] = match
  const form = angle === '' ? 'bare' : gap === '' ? 'tight' : 'spaced'
  if (rest === '') return `${caseOf(words)}:${form}`
  const parameters = rest.split(/\s+/).filter((word) => word !== '')
  const names = parameters.slice(0, PARAMETERS_MAX).map((word) => {
    const name = (word.split('=', 1)[0] ?? '').toUpperCase()
    return PARAMETERS.has(name) ? name : 'other'
  })
  return [caseOf(words), form, ...(names.length > 0 ? [names.join(',')] : []), ...trail(line)].join(':')
}

function caseOf(words: string): string {
  if (words === words.toUpperCase()) return 'upper'
  if (words === words.toLowerCase()) return 'lower'
  return /^([A-Z][a-z]+\s*)+$/.test(words) ? 'title' : 'mixed'
}

function trail(line: string): string[] {
  return /\s$/.test(line) ? ['trail'] : []
}

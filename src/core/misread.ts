/**
 * What is wrong with a text that should be an IP address, in the words of whoever typed it: a clause that goes on behind
 * `got "..."`, or nothing where there is no more to say.
 *
 * People paste what logs and browsers show them: with a port, in brackets, a host name. What they meant is told, never taken:
 * a wrong guess would allow or block somebody else.
 */
import { parseClient } from './client.ts'

export function misread(text: string): string {
  const clause = CASES.map((look) => look(text.trim())).find((said) => said !== undefined)
  return clause === undefined ? '' : `: ${clause}`
}

/** The first that has something to say. */
const CASES: readonly ((text: string) => string | undefined)[] = [
  (text) => (text === '' ? 'that is empty' : undefined),
  (text) => (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? 'that is a URL, and the address alone is wanted' : undefined),
  inBrackets,
  withPort,
  (text) => (/^[\d.]+ ?- ?[\d.]+$/.test(text) ? 'a range is written as a CIDR here, or as several' : undefined),
  fourNumbers,
  hostName,
]

function inBrackets(text: string): string | undefined {
  const address = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1]
  return address !== undefined && parseClient(address) ? `without brackets and port it is ${address}` : undefined
}

function withPort(text: string): string | undefined {
  const address = /^([\d.]+):\d+$/.exec(text)?.[1]
  return address !== undefined && parseClient(address) ? `without the port it is ${address}` : undefined
}

/** What is written as an IPv4 address, and is none. */
function fourNumbers(text: string): string | undefined {
  if (!/^\d+(?:\.\d*)*(?:\/\d+)?$/.test(text) || !text.includes('.')) return undefined
  const numbers = (text.split('/', 1)[0] as string).split('.')
  if (numbers.length !== 4) return `an IPv4 address has four numbers, and this has ${numbers.length}`
  if (numbers.includes('')) return 'one of its four numbers is missing'
  const high = numbers.find((each) => Number(each) > 255)
  if (high !== undefined) return `${high.slice(0, 20)} is above 255`
  const long = numbers.find((each) => each.length > 1 && each.startsWith('0'))
  return long === undefined ? undefined : `some read ${long.slice(0, 20)} as octal; write it without the leading zero`
}

function hostName(text: string): string | undefined {
  return /^(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,62}\.?$/i.test(text)
    ? 'that is a host name, and clients are known by their addresses'
    : undefined
}

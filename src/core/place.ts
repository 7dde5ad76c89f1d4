/**
 * A place: an address and a port, in one spelling, so that two that are the same are the same text.
 */

/** `192.0.2.66:25`, or `[2001:db8::66]:25`. */
export function spellPlace(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}

/** The address of a place that `spellPlace` has spelled. */
export function addressIn(place: string): string {
  const address = place.slice(0, place.lastIndexOf(':'))
  return address.startsWith('[') ? address.slice(1, -1) : address
}

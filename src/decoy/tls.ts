/**
 * TLS beneath the wire: from STARTTLS on, what the client says comes decrypted, and what we say goes out encrypted.
 *
 * TLS lies below the wire and not above it, as the SMTP library would have it, so that the wire still sees every line and
 * guards every reply. The raw socket stays the listener's, with its deadline and its counts; TLS gets a stream of its own
 * that takes bytes from it and gives bytes to it.
 *
 * The first bytes are shown to whoever asks, for the hello's print. A handshake that fails ends in a reset: the client
 * falls back to plain text in its next attempt, or to another MX.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type SecureContext, TLSSocket } from 'node:tls'

export type TlsOptions = {
  readonly context: SecureContext
  /** Shown each of the client's first chunks, as it comes; false: enough. */
  readonly firstBytes: (bytes: Buffer) => boolean
}

/** Begins TLS as a server on this socket, of which nothing is read by anybody else any more. */
export function beginTls(raw: Socket, { context, firstBytes }: TlsOptions): TLSSocket {
  let watching = true
  const below = new Duplex({
    allowHalfOpen: true,
    read: () => void raw.resume(),
    write: (bytes: Buffer, _encoding, done) => void raw.write(bytes, () => done()),
    final: (done) => void raw.end(() => done()),
  })
  const hear = (bytes: Buffer) => {
    if (watching) watching = firstBytes(bytes)
    if (!below.push(bytes)) raw.pause()
  }
  raw.on('data', hear)
  raw.on('end', () => below.push(null))
  const tls = new TLSSocket(below, { isServer: true, secureContext: context })
  const fail = () => raw.resetAndDestroy()
  // The last is what a server's TLSSocket says of a handshake that failed.
  for (const trouble of ['error', 'clientError', '_tlsError']) tls.on(trouble, fail)
  below.on('error', fail)
  raw.once('close', () => {
    tls.destroy()
    below.destroy()
  })
  return tls
}

/**
 * The certificate that a decoy shows after STARTTLS: two files, read together, so that one without the other, or a key
 * that belongs to another certificate, is a mistake with a name.
 *
 * Any certificate will do. Mail servers that meet us encrypt without knowing us, and do not look at names.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'

export type CertificateFiles = { readonly certificate: string; readonly key: string }

export type Unsound = { readonly file: string; readonly message: string }

/** The certificate in use. It can be read again, as often as it is renewed on disk; a bad one leaves in use what was. */
export class Certificate {
  readonly #files: CertificateFiles
  #context: SecureContext | undefined

  constructor(files: CertificateFiles) {
    this.#files = files
    this.renew()
  }

  /** Undefined while no sound one was found. */
  get context(): SecureContext | undefined {
    return this.#context
  }

  /** What is wrong with it now, if anything. */
  renew(): Unsound | undefined {
    const read = readCertificate(this.#files)
    if ('message' in read) return read
    this.#context = read
    return undefined
  }
}

/** The context, or what is wrong, and with which file. */
export function readCertificate(files: CertificateFiles): SecureContext | Unsound {
  const read: Record<keyof CertificateFiles, string> = { certificate: '', key: '' }
  for (const part of ['certificate', 'key'] as const) {
    try {
      read[part] = readFileSync(files[part], 'utf8')
    } catch (error) {
      return { file: files[part], message: `cannot be read: ${(error as Error).message}` }
    }
  }
  try {
    createSecureContext({ cert: read.certificate })
  } catch {
    return { file: files.certificate, message: 'expected a certificate in PEM form' }
  }
  try {
    return createSecureContext({ cert: read.certificate, key: read.key })
  } catch (error) {
    const other = (error as NodeJS.ErrnoException).code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'
    const message = other
      ? `this key belongs to another certificate than ${files.certificate}`
      : 'expected a private key in PEM form, without a passphrase'
    return { file: files.key, message }
  }
}

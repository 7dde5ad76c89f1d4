/**
 * The certificate that a decoy shows after STARTTLS: two files, read together, so that one without the other, or a key
 * that belongs to another certificate, is a mistake with a name. And until when this one and those of the store are good.
 *
 * Any certificate will do. Mail servers that meet us encrypt without knowing us, and do not look at names.
 */
import { X509Certificate } from 'node:crypto'
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

/** Where the settings name certificates: those that we believe, those that we show. */
const CERTIFICATES = ['store.tls.ca', 'store.tls.certificate', 'decoys.backup.tls.certificate'] as const

/** One of them, and when it ends (ISO 8601). */
export type CertificateEnd = { readonly setting: (typeof CERTIFICATES)[number]; readonly notAfter: string }

/**
 * When the certificates of this host end, as far as there are any that can be read.
 *
 * @param store - the texts of those of the store
 * @param starttls - the files of the backup decoy
 */
export function certificateEnds(
  store: { readonly ca?: string | undefined; readonly cert?: string | undefined } | undefined,
  starttls: CertificateFiles | undefined,
): CertificateEnd[] {
  const shown = starttls && endsIn(readIfThere(starttls.certificate))
  // Of what is shown the first is ours. Of those believed the one that lasts longest: an old one may stand beside its follower.
  const ends = [Math.max(...endsIn(store?.ca)), endsIn(store?.cert)[0], shown?.[0]]
  return CERTIFICATES.flatMap((setting, i) => {
    const notAfter = ends[i]
    if (notAfter === undefined || !Number.isFinite(notAfter)) return []
    return [{ setting, notAfter: new Date(notAfter).toISOString() }]
  })
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

function endsIn(text = ''): number[] {
  try {
    return (text.match(PEM) ?? []).map((pem) => new X509Certificate(pem).validToDate.getTime())
  } catch {
    return []
  }
}

/** Whoever reads the settings has been told that it is not. */
function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

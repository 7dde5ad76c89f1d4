/**
 * What a running appliance knows from files of secrets, read again when they change, on SIGHUP and by `reload`: the passwords of the
 * store, with its certificates, and the certificate for STARTTLS.
 *
 * What is bad there changes nothing, and is told. Connections that stand, stand: the password is for the next ones, so that it
 * can be changed here first, then at Redis, or the other way round. A store at another place wants a restart.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Problem } from '../core/document.ts'
import { type CertificateEnd, certificateEnds } from '../settings/certificate.ts'
import type { RedisSettings } from '../settings/store-settings.ts'
import { readSettings, type Settings, type Where } from '../settings/settings.ts'
import type { Decoys } from './decoys.ts'

export class Secrets {
  readonly #where: Where
  readonly #redis: Writable<RedisSettings> | undefined
  readonly #decoys: Settings['decoys']
  /** Until when the certificates in use are good: a bad file leaves in use what was. */
  ends: readonly CertificateEnd[]

  constructor(where: Where, redis: Writable<RedisSettings> | undefined, decoys: Settings['decoys']) {
    ;[this.#where, this.#redis, this.#decoys] = [where, redis, decoys]
    this.ends = certificateEnds(redis?.tls, decoys.backup.tls)
  }

  /** The answer is what stays as it was, and why; undefined: nothing here is secret. */
  renew(decoys: Pick<Decoys, 'renewCertificate'> | undefined): readonly Problem[] | undefined {
    if (!this.#redis && !this.#decoys.backup.tls) return undefined
    const problems = renewSecrets(this.#where, this.#redis, decoys)
    if (problems.length === 0) this.ends = certificateEnds(this.#redis?.tls, this.#decoys.backup.tls)
    return problems
  }

  /** Each file that it stands in, beside the settings, with what is to be done when it changes. */
  watched(changed: () => void): (readonly [string, () => void])[] {
    return secretFiles(this.#redis, this.#decoys).map((path) => [path, changed])
  }
}

type Writable<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/** `redis` is changed in place: whoever connects reads it each time. The answer is what stays as it was, and why. */
function renewSecrets(
  where: Where,
  redis: Writable<RedisSettings> | undefined,
  decoys: Pick<Decoys, 'renewCertificate'> | undefined,
): readonly Problem[] {
  const wrong = decoys?.renewCertificate()
  const read = readSettings(where.settings, process.env)
  // The certificate is among them.
  if (!read.ok) return read.problems
  if (wrong) return [{ line: 1, column: 1, ...wrong }]
  const next = read.settings.store.redis
  if (!redis || !next) return []
  const elsewhere = !isDeepStrictEqual(placeOf(next), placeOf(redis))
  if (elsewhere)
    return [
      { file: where.settings ?? 'defaults', line: 1, column: 1, message: 'the store has moved: restart for that' },
    ]
  redis.at = next.at
  redis.user = next.user
  redis.password = next.password
  redis.tls = next.tls
  return []
}

/** Where it is; not who we are there. */
function placeOf({ at, database }: RedisSettings): readonly unknown[] {
  return 'sentinels' in at ? [at.master, at.sentinels, database] : [at, database]
}

/** The files that all of this stands in, beside the settings. */
function secretFiles(redis: RedisSettings | undefined, { backup: { tls } }: Settings['decoys']): readonly string[] {
  return [...new Set([...(redis?.files ?? []), ...(tls ? [tls.certificate, tls.key] : [])])]
}

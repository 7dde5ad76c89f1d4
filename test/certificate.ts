/** A certificate of its own for each test that wants one, made by openssl. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import { readFileSync } from 'node:fs'
import { folder } from './folders.ts'

export type CertificateFiles = { readonly certificate: string; readonly key: string }

export function certificateFiles(name = 'mx9.example.test', days = 2): CertificateFiles {
  const place = folder()
  const files = { certificate: join(place, 'cert.pem'), key: join(place, 'key.pem') }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const out = ['-subj', `/CN=${name}`, '-days', String(days), '-keyout', files.key, '-out', files.certificate]
  execFileSync('openssl', ['req', '-x509', ...key, ...out], { stdio: 'ignore' })
  return files
}

export function secureContext(): SecureContext {
  const { certificate, key } = certificateFiles()
  return createSecureContext({ cert: readFileSync(certificate), key: readFileSync(key) })
}

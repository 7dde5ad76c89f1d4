/**
 * What a running appliance reads again when its files change, or when it is told to (SIGHUP, `reload`): rules, who may come
 * over HTTP, and secrets.
 */
import type { Settings, Where } from '../settings/settings.ts'
import type { Decoys } from './decoys.ts'
import { watchFiles } from './file-watch.ts'
import type { Http } from './http.ts'
import type { Reloading } from './reloading.ts'
import type { Secrets } from './secrets.ts'
import type { Tell } from './telling.ts'

export type RereadingOptions = {
  readonly where: Where
  readonly settings: Settings
  readonly secrets: Secrets
  readonly decoys: () => Decoys | undefined
  readonly reloading: Pick<Reloading, 'load' | 'look'>
  readonly access: Http['reload']
  readonly tell: Pick<Tell, 'reread' | 'trouble'>
}

export class Rereading {
  readonly #options: RereadingOptions
  /** Files are looked at no more. */
  readonly end: () => void

  constructor(options: RereadingOptions) {
    this.#options = options
    const { where, settings, secrets, reloading } = options
    const look = () => void reloading.look().catch(this.#failed)
    const renew = () => this.renew()
    this.end = watchFiles(settings.reload['on-change'] ? [[where.rules, look], ...secrets.watched(renew)] : [])
  }

  all(): void {
    const { settings, reloading, access: reload, tell } = this.#options
    this.renew()
    void reloading.load(false).catch(this.#failed)
    if (settings.http['access-file'] === undefined) return
    const { access, problems } = reload()
    tell.reread('access', `${access.tokens.length} tokens, ${access.accounts.length} accounts`, problems)
  }

  readonly #failed = (error: Error) => this.#options.tell.trouble('reload', error)

  /** The secrets, where there are any. */
  renew(): void {
    const { secrets, decoys, tell } = this.#options
    const problems = secrets.renew(decoys())
    if (problems) tell.reread('secrets', 'password and certificate read anew', problems)
  }
}

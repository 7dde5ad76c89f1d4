/**
 * The doors that all workers keep: each is open while any worker has it open, and what all have to say about it is said once.
 */
import type { Via } from '../decoy/happenings.ts'
import { type Address, parseAddress, spellAddress } from '../settings/places.ts'
import type { Settings } from '../settings/settings.ts'
import { type DecoyDoor, decoyDoors, noteOf } from './decoys.ts'
import type { Door, DoorHappening, Note } from './sockets.ts'

export class SharedDoors {
  readonly all: readonly SharedDoor[]
  readonly #tell: (happening: DoorHappening) => void

  constructor(settings: Settings['decoys'], tell: (happening: DoorHappening) => void) {
    this.#tell = tell
    // What a worker cannot have, we cannot.
    const note = () => noteOf(settings)
    this.all = decoyDoors(settings).map((door) => new SharedDoor(door, note))
  }

  /** The settings with the ports that were found where any would do. */
  found(settings: Settings['decoys']): Settings['decoys'] {
    // Only a port that was named is shared between roles, so the others are one role's, in the order of its list.
    const known = (role: 'primary' | 'backup', via: Via, addresses: readonly Address[]) => {
      const found = this.all.filter(({ door }) => door.via === via && door.roles[0] === role && door.address.port === 0)
      return addresses.map((address) => (address.port === 0 ? (found.shift()?.address ?? address) : address))
    }
    const { primary, backup } = settings
    return {
      ...settings,
      primary: {
        ...primary,
        listen: known('primary', 'direct', primary.listen),
        proxy: known('primary', 'proxy', primary.proxy),
      },
      backup: {
        ...backup,
        listen: known('backup', 'direct', backup.listen),
        proxy: known('backup', 'proxy', backup.proxy),
      },
    }
  }

  hear(worker: number, it: DoorHappening): void {
    const address = parseAddress(it.address)
    const named = this.all.filter(({ name }) => name === it.door)
    const door =
      named.find((each) => spellAddress(each.address) === it.address) ??
      named.find((each) => each.address.port === 0 && each.address.host === address?.host)
    if (!door || !address) return
    // What all workers have to say about a door is said once.
    if (it.what === 'stuck' || (it.what === 'open' ? door.open(worker, address) : door.fail(it.error))) this.#tell(it)
  }

  /** Its sockets are closed; the port stays ours, for the others and for its successor. */
  gone(worker: number): void {
    for (const door of this.all) door.shut(worker)
  }
}

class SharedDoor implements Door {
  readonly name: string
  readonly wanted: string
  readonly door: DecoyDoor
  readonly note: () => Note | undefined
  readonly #at = new Set<number>()
  address: Address
  #error: string | undefined

  constructor(door: DecoyDoor, note: () => Note | undefined) {
    this.door = door
    this.note = note
    this.name = door.name
    this.address = door.address
    this.wanted = spellAddress(door.address)
  }

  get bound(): string | undefined {
    return this.#at.size > 0 ? spellAddress(this.address) : undefined
  }

  /** None, too, while the first worker has not come to it yet. */
  get error(): string | undefined {
    return this.#at.size > 0 ? undefined : this.#error
  }

  /** True when it was not open before. */
  open(worker: number, address: Address): boolean {
    this.address = address
    this.#error = undefined
    return this.#at.add(worker).size === 1
  }

  /** True when that is news. */
  fail(error: string): boolean {
    const known = this.#error === error
    this.#error = error
    return !known
  }

  shut(worker: number): void {
    this.#at.delete(worker)
    if (this.#at.size === 0) this.#error ??= 'no worker is running'
  }

  /** A worker gives up what it tries when it ends. */
  giveUp(): void {}
}

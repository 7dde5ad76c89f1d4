/**
 * A network namespace of our own, in which the whole crowd lives on the loopback interface: its clients can then call from
 * their own addresses, as they do in the world, and not behind a PROXY header that no rival reads.
 */
import { spawnSync } from 'node:child_process'
import { NETWORK } from './crowd.ts'

/** Set where the crowd's addresses are ours. */
const MARK = 'BENCH_NAMESPACE'

/** Are the crowd's addresses ours? */
export function ownsCrowd(): boolean {
  return process.env[MARK] !== undefined
}

/** Runs this bench again with these words in such a namespace; false where there can be none. */
export function runInNamespace(words: readonly string[]): boolean {
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const setUp = `ip link set lo up && ip route add local ${NETWORK} dev lo && exec "$@"`
  const unshared = (...program: string[]) => ['--net', ...user, 'sh', '-c', setUp, 'sh', ...program]
  if (spawnSync('unshare', unshared('true'), { stdio: 'ignore' }).status !== 0) return false
  const script = process.argv[1] ?? ''
  const { status } = spawnSync('unshare', unshared(process.execPath, script, ...words), {
    stdio: 'inherit',
    env: { ...process.env, [MARK]: '1' },
  })
  if (status !== 0) process.exit(status ?? 1)
  return true
}

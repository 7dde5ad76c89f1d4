/**
 * `soak --minutes 10`: 20,000 known offenders are held, one in a hundred goes and comes again each second; what the processes
 * have of memory is printed each minute, and whether it grew towards the end.
 */
import { fill, startOurs } from './hold.ts'
import { ownsCrowd } from './namespace.ts'
import { openFilesMax, pause, pssBytes, startLoader } from './servers.ts'

const SIZE = 20_000
const OF_ONE_PROCESS = 10_000
const MINUTE_MS = 60_000
/** Held for the whole time, and coming and going beside them. */
const CALLERS = 16

export async function soak(minutes: number): Promise<void> {
  const workers = openFilesMax() > 3 * SIZE ? 1 : Math.ceil(SIZE / OF_ONE_PROCESS)
  const ours = await startOurs(workers)
  const loaders = Array.from({ length: workers }, startLoader)
  const visitor = startLoader()
  const proxied = !ownsCrowd()
  await fill(ours, SIZE, loaders, proxied)
  const megabytes = () => ours.pids.map((pid) => pssBytes(pid) / 1_048_576)
  const all: number[] = []
  process.stdout.write(`${SIZE} held by ${workers} worker${workers > 1 ? 's' : ''}, and callers that come and go\n`)
  for (let minute = 0; minute <= minutes; minute++) {
    const each = megabytes()
    all.push(each.reduce((sum, mb) => sum + mb, 0))
    process.stdout.write(
      `minute ${String(minute).padStart(3)}  ${all.at(-1)?.toFixed(1)} MB  (appliance ${each.map((mb) => mb.toFixed(1)).join(', workers ')})\n`,
    )
    if (minute === minutes) break
    const ends = performance.now() + MINUTE_MS
    while (performance.now() < ends - 10_000) {
      const job = { what: 'knock', port: ours.ports[0] as number, proxied, connections: CALLERS, crowd: 1000 } as const
      await visitor.do({ ...job, forMs: 2000 })
      await pause(6000)
    }
    await pause(Math.max(0, ends - performance.now()))
  }
  const heard = await Promise.all(loaders.map((loader) => loader.do({ what: 'listen', forMs: 15_000 })))
  const held = heard.reduce((sum, one) => sum + one.held, 0)
  const deaf = heard.reduce((sum, one) => sum + one.lost, 0)
  const half = all.slice(Math.floor(all.length / 2))
  const growth = ((half.at(-1) ?? 0) - (half[0] ?? 0)) / (half[0] ?? 1)
  process.stdout.write(
    `held at the end ${held}, without a byte in 15 s ${deaf}; growth over the second half ${(growth * 100).toFixed(1)} %\n`,
  )
  await Promise.all([...loaders, visitor].map(({ end }) => end()))
  await ours.end()
}

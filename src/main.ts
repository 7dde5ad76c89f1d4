/**
 * From the command line to a command: words, usage, exit codes; nothing else.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import { NotRunning } from './command/appliance.ts'
import { SOFTWARE, USAGE } from './command/exit-codes.ts'
import { stageOn } from './command/tree/options.ts'
import { commandTree } from './command/tree/tree.ts'
import { screenOf } from './console/terminal.ts'

const root = join(import.meta.dirname, '..')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const errors = screenOf(process.stderr, process.env)

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

const stage = stageOn(version, screenOf(process.stdout, process.env), errors, (code) => (process.exitCode = code))
try {
  await commandTree(stage).parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : USAGE
  else if (error instanceof NotRunning) process.exitCode = stage.complain({ error: error.message })
  else {
    errors.print(error instanceof Error ? (error.stack ?? error.message) : String(error))
    // Now: what has begun already would keep us, half of us, alive, and whoever started us would not start us again.
    process.exit(SOFTWARE)
  }
}

/**
 * The commands that run the appliance, and ask how it is.
 *
 * Each of them knows this host: its state directory, its settings, or both.
 */
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { KIND_NAMES, ROLES } from '../../core/evidence.ts'
import { RIGHTS, type Rights } from '../../core/rights.ts'
import type { Words } from '../init-questions.ts'
import { tail, type TailWords, VERDICTS } from '../tail.ts'
import { typed } from '../../console/called.ts'
import { alsoMistaken } from './mistakes.ts'
import { json, network, type Options, PARTS, rules, settings, type Stage, state, whereOf, whole } from './options.ts'

/** What `init` takes beside its answers. */
type InitOptions = { readonly into: string; readonly force?: boolean; readonly port: number }

export function applianceCommands(program: Command, stage: Stage): void {
  const { version, screen, errors, complain, problems, does } = stage

  program
    .command('run')
    .description('the appliance: decoys, policy service, DNSBL, HTTP')
    .addOption(state())
    .addOption(settings())
    .addOption(rules())
    .addOption(
      new Option('--only <parts>', `run a part of it: ${PARTS.join(',')}`).argParser((text) => {
        const parts = text.split(',').map((part) => part.trim())
        const strange = parts.filter((part) => !(PARTS as readonly string[]).includes(part))
        if (strange.length > 0)
          throw new InvalidArgumentError(
            `expected a list of ${PARTS.join(', ')}, got ${strange.map((part) => `"${part}"`).join(', ')}${meant(strange)}`,
          )
        return parts
      }),
    )
    .action(
      does(async (options: Options & { readonly only?: string[] }) => {
        const { remarksOn: remarks } = await import('../health/remarks.ts')
        return (await import('../../daemon/run.ts')).run(whereOf(options), {
          parts: new Set(options.only ?? PARTS),
          version,
          screen,
          problems,
          logIn: typed('console'),
          remarks,
          refuse: (error) => complain({ error }),
        })
      }),
    )

  const init = program
    .command('init')
    .description('the settings and rules of a new host: four questions, or their flags; starts nothing')
    .option('--domain <names>', 'the domains to protect, with commas; the first one names the decoys')
    .option('--primary <ip>', 'spare address for the primary decoy, or none')
    .option('--backup <ip>', 'spare address for the backup decoy, or none')
    .option('--real-mx <ip>', 'address of the real MX, or dns to find it by the MX records')
    .addOption(
      new Option('--port <n>', 'on which the decoys listen; another than 25 where something leads 25 there')
        .default(25)
        .argParser(whole(1, 65_535)),
    )
    .option('--into <dir>', 'where to write decoymx.yaml and rules.yaml', '.')
    .option('--force', 'also over files that are there')
    .action(
      does(async ({ into, force = false, port, ...words }: Words & InitOptions) => {
        const { init, mayOpenPort } = await import('../init.ts')
        return init(words, {
          into,
          force,
          port,
          mayOpen: mayOpenPort(port),
          screen,
          complain,
          input: process.stdin.isTTY ? process.stdin : undefined,
          output: process.stderr,
        })
      }),
    )
  alsoMistaken(init, async (words: Words) => (await import('../init-questions.ts')).mistakesInFlags(words))

  program
    .command('check')
    .description('are settings and rules sound? every problem with its line, and what is most likely not meant')
    .addOption(settings())
    .addOption(rules())
    .option('--strict', 'warnings fail, too')
    .option('--cases <paths...>', 'cases, or folders of them, that must come true')
    .addOption(json())
    .action(
      does(async (options: Options & { readonly strict?: boolean; readonly cases?: string[] }) =>
        (await import('../check.ts')).check(whereOf({ ...options, state: '.' }), process.env, {
          strict: options.strict ?? false,
          cases: options.cases ?? [],
          json: options.json ?? false,
          screen,
          errors,
          now: Date.now,
        }),
      ),
    )

  program
    .command('reload')
    .description('load the rules anew; tells what that changes. The old ones stay on any mistake; exit 0 or 1')
    .addOption(state())
    .option('--force', 'also when more clients are affected than reload.bound of the settings allows')
    .addOption(json())
    .action(
      does(async (options: Options & { readonly force?: boolean }) =>
        (await import('../reload.ts')).reload(whereOf(options).state, {
          force: options.force ?? false,
          json: options.json ?? false,
          screen,
          problems,
        }),
      ),
    )

  program
    .command('demo')
    .description(
      'the whole flow in a minute, on loopback: honest senders and bots play to a real appliance, and you can ask it',
    )
    .addOption(new Option('--once', 'end after the play; exit 0 if the story held, else 1'))
    .action(
      does(async (options: { readonly once?: boolean }) =>
        (await import('../demo.ts')).demo({ once: options.once ?? false, screen, complain }),
      ),
    )

  program
    .command('status')
    .description('one screen; exit 0 ok, 1 warning, 2 critical')
    .addOption(state())
    .addOption(
      new Option('--watch [seconds]', 'again and again, by default every 2 s')
        .argParser(whole(1, 3600))
        .preset(2)
        .conflicts('json'),
    )
    .addOption(json())
    .action(
      does(async (options: Options & { readonly watch?: number }) => {
        const { state: folder } = whereOf(options)
        if (options.watch === undefined)
          return (await import('../status.ts')).status(folder, { json: options.json ?? false, screen })
        const ended = new AbortController()
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort())
        return (await import('../status.ts')).watchStatus(folder, {
          screen,
          everyMs: options.watch * 1000,
          ended: ended.signal,
        })
      }),
    )

  program
    .command('tail')
    .description('what is seen at the decoys and asked at the real MX, as it happens, until Ctrl-C')
    .argument('[network]', 'only inside this CIDR', network)
    .addOption(new Option('--role <role>', 'only there').choices(ROLES))
    .addOption(new Option('--kind <kinds...>', 'only these').choices(KIND_NAMES))
    .addOption(new Option('--verdict <word>', 'only clients of whom this stands').choices(VERDICTS))
    .addOption(state())
    .addOption(json())
    .action(
      does((network: string | undefined, options: Options & TailWords) =>
        tail(whereOf(options).state, {
          within: network,
          role: options.role,
          kinds: options.kind,
          verdict: options.verdict,
          json: options.json ?? false,
          screen,
          errors,
          complain,
          until: interrupted(),
        }),
      ),
    )

  program
    .command('doctor')
    .description('checks of the whole chain, each with a next step; exit 0 ok, 1 warning, 2 critical')
    .addOption(state())
    .addOption(settings())
    .addOption(rules())
    .addOption(json())
    .action(
      does(async (options: Options) =>
        (await import('../doctor.ts')).doctor(whereOf(options), process.env, { json: options.json ?? false, screen }),
      ),
    )

  program
    .command('kernel')
    .description(
      'whether the kernel refuses strangers at the primary; off removes our table, and status finds it, with or without an appliance',
    )
    .addArgument(new Argument('<action>', 'on and off last until the appliance ends').choices(['on', 'off', 'status']))
    .addOption(state())
    .addOption(json())
    .action(
      does(async (action: 'on' | 'off' | 'status', options: Options) =>
        (await import('../kernel.ts')).kernel(whereOf(options).state, action, {
          json: options.json ?? false,
          screen,
          complain,
        }),
      ),
    )

  const rights = () =>
    new Option('--rights <rights>', 'viewer: reads; operator: also says allow, block and release')
      .choices(RIGHTS)
      .default('viewer')

  program
    .command('console')
    .description('a link that logs in to the web console once, within ten minutes')
    .addOption(state())
    .addOption(rights().default('operator'))
    .addOption(json())
    .action(
      does(async (options: Options & { readonly rights: Rights }) =>
        (await import('../console.ts')).consoleLink(whereOf(options).state, options.rights, {
          json: options.json ?? false,
          screen,
          complain,
        }),
      ),
    )

  program
    .command('token')
    .description('a new token for the HTTP API, and its lines for the access file')
    .argument('<name>', 'stands beside each word that is given with it')
    .addOption(rights())
    .action(
      does(async (name: string, options: { readonly rights: Rights }) =>
        (await import('../access.ts')).makeToken(name, options.rights, screen),
      ),
    )

  program
    .command('password')
    .description('reads a password, and prints the lines that let its owner into the console')
    .argument('<name>', 'stands beside each word that is given')
    .addOption(rights())
    .action(
      does(async (name: string, options: { readonly rights: Rights }) =>
        (await import('../access.ts')).makePassword(name, options.rights, {
          input: process.stdin,
          screen,
          errors,
          complain,
        }),
      ),
    )
}

/** Ctrl-C, and what an init system says. */
function interrupted(): AbortSignal {
  const control = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => control.abort())
  return control.signal
}

/** Which part a word stands for that begins as its name does, as a question. */
function meant([word = '']: readonly string[]): string {
  const part = PARTS.find((each) => word !== '' && (each.startsWith(word) || word.startsWith(each)))
  return part === undefined ? '' : `; did you mean ${part}?`
}

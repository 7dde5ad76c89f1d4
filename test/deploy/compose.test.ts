/** The compose file, as far as it can be read without a container engine: what it names is there, and is sound. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { readAll } from '../../src/settings/checked.ts'

const DEPLOY = join(import.meta.dirname, '../../deploy')
const PARTS = ['decoys', 'policy', 'dnsbl', 'http']

type Service = {
  readonly command: readonly string[]
  readonly volumes: readonly string[]
  readonly secrets: readonly string[]
  readonly network_mode: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
}
const { services, secrets, volumes } = parse(readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly secrets: object
  readonly volumes: object
}

/** Host paths of what is mounted, by the path inside. */
function mountsOf({ volumes: mounted }: Service): Map<string, string> {
  const pairs = mounted.map((each) => each.split(':') as [string, string])
  return new Map(pairs.map(([from, to]) => [to, from]))
}

test.each(['decoy', 'answer'])('%s runs a part of an appliance with settings and rules that are sound', (name) => {
  const service = services[name] as Service
  const [verb, option, parts = ''] = service.command
  expect([verb, option]).toEqual(['run', '--only'])
  expect(parts.split(',').filter((part) => !PARTS.includes(part))).toEqual([])
  const mounts = mountsOf(service)
  const fileAt = (inside: string) => resolve(DEPLOY, mounts.get(inside) as string)
  const [settings, rules] = [fileAt('/etc/decoymx/decoymx.yaml'), fileAt('/etc/decoymx/rules.yaml')]
  const read = readAll({ state: '/var/lib/decoymx', settings, rules }, {})
  expect(read).toMatchObject({ ok: true })
  // Behind NAT every client would be the same one.
  expect(service.network_mode).toBe('host')
})

test('together they are a whole appliance, and both know whom they must never list', () => {
  expect(new Set(['decoy', 'answer'].flatMap((name) => services[name]!.command[2]!.split(',')))).toEqual(new Set(PARTS))
  const read = (file: string) => parse(readFileSync(join(DEPLOY, 'compose', file), 'utf8')) as Record<string, any>
  const [decoy, answer] = [read('decoy.yaml'), read('answer.yaml')]
  expect(answer['real-mx']).toEqual(decoy['real-mx'])
  for (const role of ['primary', 'backup']) expect(answer['decoys'][role].listen).toEqual(decoy['decoys'][role].listen)
})

test('what a service names is defined, and what the image is made of is here', () => {
  for (const service of Object.values(services)) {
    for (const secret of service.secrets) expect(Object.keys(secrets)).toContain(secret)
    for (const from of mountsOf(service).values())
      if (!from.startsWith('.')) expect(Object.keys(volumes)).toContain(from)
  }
  const { context, dockerfile } = services['decoy']!.build as { context: string; dockerfile: string }
  const root = resolve(DEPLOY, context)
  const recipe = readFileSync(join(root, dockerfile), 'utf8')
  const ignored = readFileSync(join(root, '.dockerignore'), 'utf8').trim().split('\n')
  const copied = [...recipe.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) => files.split(' '))
  expect(copied).toContain('src')
  expect(copied.filter((file) => !existsSync(join(root, file)) || ignored.includes(file))).toEqual([])
})

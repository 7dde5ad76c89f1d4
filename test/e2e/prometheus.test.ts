/**
 * A real Prometheus scrapes a real appliance: every alert that ships can be evaluated, every panel has its metric. And promtool
 * runs the checks and the unit tests of the alerts.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SMTPServer } from 'smtp-server'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { parse } from 'yaml'
import { spellAddress } from '../../src/settings/places.ts'
import { createMetrics } from '../../src/console/metrics.ts'
import { type Appliance, startAppliance } from './appliance.ts'

const DEPLOY = join(import.meta.dirname, '../../deploy')
const PROMETHEUS = join(DEPLOY, 'prometheus')
const missing = inject('missing')

type Rule = {
  readonly alert: string
  readonly expr: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}
type Panel = { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }
type Dashboard = {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] }
}

const rules = (
  parse(readFileSync(join(PROMETHEUS, 'rules.yaml'), 'utf8')) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules)
const dashboard = JSON.parse(readFileSync(join(DEPLOY, 'grafana/decoymx.json'), 'utf8')) as Dashboard
const panels = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))

describe('what ships about metrics', () => {
  test('names no metric of ours that is not there, and no label that it lacks', async () => {
    const all = new Map((await createMetrics('0.0.0').catalogue()).map((metric) => [metric.name, metric]))
    const wrong = [...panels.map(({ expr }) => expr), ...rules.map(({ expr }) => expr)].flatMap((expr) =>
      [...expr.matchAll(/\b(decoymx_[a-z_]+)(?:\{([^}]*)\})?/g)].flatMap(([, name = '', selector = '']) => {
        const metric = all.get(name)
        if (!metric) return [name]
        const named = [...selector.matchAll(/([a-z_]+)\s*(=~|!=|=)\s*"([^"]*)"/g)].filter(
          ([, label]) => label !== 'instance',
        )
        return named
          .filter(([, label = '', how, value = '']) => {
            const values = metric.labels[label] ?? []
            const parts = how === '=~' ? value.split('|') : [value]
            return !parts.every((part) => values.includes(part))
          })
          .map(([text]) => `${name}{${text}}`)
      }),
    )
    expect(wrong).toEqual([])
    expect(panels.length).toBeGreaterThan(30)
  })

  test('every alert has a severity, a summary, and a runbook that is there', () => {
    const headings = [...readFileSync(join(DEPLOY, '../docs/runbooks.md'), 'utf8').matchAll(/^## (\w+)$/gm)].map(
      ([, heading = '']) => heading,
    )
    expect(rules.map(({ alert }) => alert).toSorted()).toEqual(headings.toSorted())
    for (const { alert, labels, annotations } of rules) {
      expect(labels['severity']).toMatch(/^(critical|warning|info)$/)
      expect(annotations['summary']).toMatch(/\S/)
      expect(annotations['runbook']).toBe(`docs/runbooks.md#${alert.toLowerCase()}`)
    }
  })

  test('the dashboard takes its data source from a variable, as files that are provisioned need it', () => {
    expect(dashboard.templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource' })
    const text = JSON.stringify(dashboard)
    const sources = [...text.matchAll(/"uid":"([^"]*)"/g)].map(([, uid]) => uid)
    expect(new Set(sources)).toEqual(new Set(['${datasource}', 'decoymx']))
    expect(text).not.toContain('__inputs')
  })

  describe.skipIf(missing.includes('prometheus'))('promtool', () => {
    const promtool = (...words: string[]) => {
      const { status, stdout, stderr } = spawnSync('promtool', words, { cwd: PROMETHEUS, encoding: 'utf8' })
      return { status, said: `${stdout}${stderr}` }
    }

    test('finds the scrape job and the alerts sound', () => {
      expect(promtool('check', 'config', 'scrape.yaml')).toMatchObject({ status: 0 })
      expect(promtool('check', 'rules', 'rules.yaml')).toEqual({
        status: 0,
        said: `Checking rules.yaml\n  SUCCESS: ${rules.length} rules found\n\n`,
      })
    })

    test('every alert fires when it should, and not before', () => {
      expect(promtool('test', 'rules', 'rules.test.yaml')).toEqual({
        status: 0,
        said: 'Unit Testing:  rules.test.yaml\n  SUCCESS\n\n',
      })
      const tested = readFileSync(join(PROMETHEUS, 'rules.test.yaml'), 'utf8')
      for (const { alert } of rules) expect(tested.split(`alertname: ${alert}\n`)).toHaveLength(3)
    })
  })
})

describe.skipIf(missing.includes('prometheus'))('a Prometheus', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dmx-prometheus-'))
  let appliance: Appliance
  let realMx: SMTPServer | undefined
  let base = ''
  let end = async () => {}

  const asked = async (path: string) =>
    (await (await fetch(`${base}${path}`)).json()) as { status: string; error?: string; data: never }
  const query = async (expr: string) => await asked(`/api/v1/query?query=${encodeURIComponent(expr)}`)

  beforeAll(async () => {
    realMx = new SMTPServer({ disabledCommands: ['AUTH', 'STARTTLS'] })
    realMx.listen(0, '127.0.0.1')
    await once(realMx.server, 'listening')
    const { port } = realMx.server.address() as AddressInfo
    appliance = await startAppliance({ settings: { 'real-mx': { greet: [`127.0.0.1:${port}`] } } })
    const scrape = parse(readFileSync(join(PROMETHEUS, 'scrape.yaml'), 'utf8')) as {
      scrape_configs: { static_configs: unknown[] }[]
    }
    const target = spellAddress(appliance.door('HTTP'))
    for (const job of scrape.scrape_configs) job.static_configs = [{ targets: [target] }]
    const global = { scrape_interval: '1s', evaluation_interval: '1s' }
    copyFileSync(join(PROMETHEUS, 'rules.yaml'), join(folder, 'rules.yaml'))
    writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify({ ...scrape, global }))
    const words = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      '--web.listen-address=127.0.0.1:0',
      '--storage.tsdb.retention.size=16MB',
    ]
    const child = spawn('prometheus', words, { stdio: ['ignore', 'ignore', 'pipe'] })
    const kill = () => void child.kill('SIGKILL')
    process.once('exit', kill)
    end = async () => {
      process.off('exit', kill)
      if (child.exitCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    let said = ''
    base = await new Promise<string>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', () => reject(new Error(`prometheus ended while starting: ${said}`)))
      child.stderr.on('data', (chunk: Buffer) => {
        said = `${said}${chunk.toString()}`.slice(-8000)
        const address = /msg="Listening on" address=(\S+)/.exec(said)?.[1]
        if (address !== undefined && said.includes('Server is ready to receive web requests'))
          resolve(`http://${address}`)
      })
    })
    // The first scrape comes at a time of Prometheus’s own choosing within the interval.
    await vi.waitFor(async () => expect((await query('decoymx_build_info')).data).toMatchObject({ result: [{}] }), {
      timeout: 60_000,
      interval: 100,
    })
  })

  afterAll(async () => {
    await end()
    await appliance?.clear()
    realMx?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  test('finds every metric that the dashboard and the alerts name', async () => {
    const expressions = [...panels, ...rules].map(({ expr }) => expr)
    const names = new Set(expressions.flatMap((expr) => expr.match(/\b(?:decoymx|process|nodejs)_[a-z_]+/g) ?? []))
    const counts = await Promise.all(
      [...names].map(
        async (name) => [name, ((await query(name)).data as { result: unknown[] }).result.length] as const,
      ),
    )
    expect(counts.filter(([, count]) => count === 0)).toEqual([])
  })

  const filledIn = ({ expr }: { readonly expr: string }) =>
    expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*')

  test('has something to draw for every query of every panel', async () => {
    await expect
      .poll(
        async () => {
          const answers = await Promise.all(
            panels.map(async (panel) => ({ ...panel, ...(await query(filledIn(panel))) })),
          )
          return answers
            .filter(({ data }) => (data as { result: unknown[] } | undefined)?.result.length === 0)
            .map(({ title, expr }) => `${title}: ${expr}`)
        },
        { timeout: 60_000, interval: 500 },
      )
      .toEqual([])
  })

  test('can evaluate every panel and every alert', async () => {
    const expressions = [...panels, ...rules].map(filledIn)
    const answers = await Promise.all(expressions.map(async (expr) => ({ expr, ...(await query(expr)) })))
    expect(answers.filter(({ status }) => status !== 'success')).toEqual([])
    await expect
      .poll(
        async () => {
          const { groups } = (await asked('/api/v1/rules')).data as {
            groups: { rules: { name: string; health: string }[] }[]
          }
          return groups.flatMap((group) => group.rules).filter(({ health }) => health !== 'ok')
        },
        { timeout: 60_000 },
      )
      .toEqual([])
  })

  test('and no alert fires about a healthy appliance', async () => {
    const { alerts } = (await asked('/api/v1/alerts')).data as {
      alerts: { state: string; labels: { alertname: string } }[]
    }
    expect(alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname)).toEqual([])
  })
})

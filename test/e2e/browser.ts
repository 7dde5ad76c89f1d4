/** A real Chromium without a window, for tests and for the pictures of the docs: it calls nobody by itself. */
import { type Browser, chromium } from 'playwright-core'

export function openBrowser(): Promise<Browser> {
  const quiet = ['--no-first-run', '--disable-sync', '--disable-background-networking', '--disable-component-update']
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet]
  return chromium.launch({ executablePath: '/usr/bin/chromium', args })
}

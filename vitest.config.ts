import { defineConfig } from 'vitest/config'
import LongestFirst from './test/longest-first.ts'

const LAB = ['test/e2e/lab.test.ts', 'test/e2e/outage.test.ts', 'test/e2e/askers.test.ts']
const IMAGE = ['test/e2e/image.test.ts']

export default defineConfig({
  test: {
    reporters: ['default', './test/closing-line.ts'],
    // Tests wait more than they work: on two cores three keep them busy.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'house',
          include: ['test/**/*.test.ts'],
          exclude: [...LAB, ...IMAGE, '**/node_modules/**'],
          globalSetup: 'test/setup.ts',
          setupFiles: 'test/worker.ts',
          testTimeout: 90_000,
          hookTimeout: 90_000,
          // What is awaited by looking again: a busy machine may take longer for it than the second that vitest allows.
          expect: { poll: { timeout: 20_000 } },
        },
      },
      // By itself (`npm run lab`): it fetches mail servers, takes minutes, and measures how soon they deliver.
      {
        test: {
          name: 'lab',
          include: LAB,
          globalSetup: ['test/setup.ts', 'test/e2e/lab/setup.ts'],
          setupFiles: 'test/worker.ts',
        },
      },
      // By itself (`npm run image`), after a change of deploy/Dockerfile: it makes a Debian and builds an image on it.
      {
        test: {
          name: 'image',
          include: IMAGE,
          testTimeout: 120_000,
          globalSetup: 'test/setup.ts',
          setupFiles: 'test/worker.ts',
        },
      },
    ],
  },
})

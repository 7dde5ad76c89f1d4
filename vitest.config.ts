import { defineConfig } from 'vitest/config'

const LAB = ['test/e2e/lab.test.ts', 'test/e2e/askers.test.ts']

export default defineConfig({
  test: {
    reporters: ['default', './test/closing-line.ts'],
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'house',
          include: ['test/**/*.test.ts'],
          exclude: [...LAB, '**/node_modules/**'],
          globalSetup: 'test/setup.ts',
          testTimeout: 90_000,
          hookTimeout: 90_000,
        },
      },
      // By itself (`npm run lab`): it fetches mail servers, takes minutes, and measures how soon they deliver.
      {
        test: { name: 'lab', include: LAB, fileParallelism: false, globalSetup: 'test/setup.ts' },
      },
    ],
  },
})

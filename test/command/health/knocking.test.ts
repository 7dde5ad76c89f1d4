import { expect, test } from 'vitest'
import type { Chart } from '../../../src/command/health/finding.ts'
import { strangersAtKernel } from '../../../src/command/health/knocking.ts'

test('what the appliance tells of its kernel is not told again by who would have knocked', async () => {
  const look = (view: object) => strangersAtKernel({ view } as unknown as Chart)
  expect(await look({ kernel: { state: 'failed', error: 'EPERM' }, kernelWanted: true })).toEqual([])
  expect(await look({ kernel: { state: 'off', error: null }, kernelWanted: true })).toEqual([])
})

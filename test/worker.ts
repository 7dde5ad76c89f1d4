/**
 * In each process that runs tests, before the first: what the tests start shares what Node has compiled, which halves what a
 * start takes; the tests start decoymx many hundred times. The process itself does not: it would write when all is cleared up.
 */
import { inject } from 'vitest'

process.env['NODE_COMPILE_CACHE'] ??= inject('compiled')

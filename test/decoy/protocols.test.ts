import fc from 'fast-check'
import { expect, test } from 'vitest'
import { COMMANDS } from '../../src/decoy/manners.ts'
import { protocolOfLine } from '../../src/decoy/protocols.ts'

test('that a line begins with a command spares a look, and changes no answer', () => {
  const tails = fc.array(fc.constantFrom(' ', '/', 'HTTP/1.1', 'SIP/2', 'RTSP/1', 'p/', '*3', '{"', 'a:25', '\t', '1'))
  fc.assert(
    fc.property(fc.constantFrom(...COMMANDS), tails, (verb, tail) => {
      const line = [verb, ' ', ...tail].join('')
      expect(protocolOfLine(line, true)).toBe(protocolOfLine(line, false))
    }),
    { numRuns: 2000 },
  )
  expect(protocolOfLine('HELP x HTTP/1.1', true)).toBe('HTTP HELP')
})

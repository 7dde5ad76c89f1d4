import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readZoneFile } from '../../src/core/zone-file.ts'

const read = (text: string) => readZoneFile('z', text, 'example.org')
const records = (text: string) => {
  const reading = read(text)
  if (!reading.ok) throw new Error(reading.problems.map(({ message }) => message).join('; '))
  return reading.records.map(({ name, type, ttlSeconds, data }) => `${name} ${ttlSeconds} ${type} ${data}`)
}
const mistakes = (text: string) => {
  const reading = read(text)
  return reading.ok ? [] : reading.problems.map(({ line, column, message }) => `${line}:${column} ${message}`)
}

describe('a zone file', () => {
  test('names are relative to the origin, and a blank first column repeats the owner, whatever its type', () => {
    const text = `$TTL 1h30m
@        IN SOA ns1 host ( 1 ; serial
              1h 15m 1w 5m )
         MX 10 Mail
mail  60 IN A 192.0.2.25
      IN 60 AAAA 2001:DB8:0::25
$ORIGIN sub.example.org.
host     CNAME mail.example.org.
         TXT "v=spf1 " "mx" -all
`
    expect(records(text)).toEqual([
      'example.org 5400 MX 10 mail.example.org',
      'mail.example.org 60 A 192.0.2.25',
      'mail.example.org 60 AAAA 2001:db8::25',
      'host.sub.example.org 5400 CNAME mail.example.org',
      'host.sub.example.org 5400 TXT v=spf1 mx-all',
    ])
  })

  test('without $TTL the minimum of the SOA holds; the root is "."; semicolons and escapes within quotes are text', () => {
    expect(records('@ SOA a b 1 2 3 4 300\n@ MX 0 .\n@ TXT "a;b\\"c\\059"\n')).toEqual([
      'example.org 300 MX 0 .',
      'example.org 300 TXT a;b"c;',
    ])
  })

  test('a record that stands twice is one', () => {
    expect(records('@ 60 MX 5 a\n@ 60 MX 5 A\n@ 60 MX 6 a\n')).toEqual([
      'example.org 60 MX 5 a.example.org',
      'example.org 60 MX 6 a.example.org',
    ])
  })

  test('types that say nothing about mail are passed over', () => {
    expect(records('$TTL 1\n@ CAA 0 issue "ca.example"\n@ TYPE65534 \\# 1 00\n_x SRV 1 2 3 t\n')).toEqual([])
  })

  test('every mistake has its place', () => {
    const text = `@ A 192.0.2.1
$TTL 5
a A 192.0.2
b MX 70000 c
d MX c
e..f A 192.0.2.1
$INCLUDE other
$BOGUS
g CH A 192.0.2.1
h TXT "open
i A ( 192.0.2.1
`
    expect(mistakes(text)).toEqual([
      '1:1 no TTL: neither here, nor by $TTL, nor by a SOA before it',
      '3:5 A: expected an IPv4 address, got "192.0.2"',
      '4:6 MX: expected a preference from 0 to 65535 and a host name, got "70000 c"',
      '5:6 MX: expected a preference from 0 to 65535 and a host name, got "c"',
      '6:1 expected a name of labels of 1 to 63 letters, at most 253 in all, got "e..f"',
      '7:1 $INCLUDE is not followed: give the whole zone, as named-checkzone -D prints it',
      '8:1 expected $ORIGIN NAME or $TTL SECONDS, got "$BOGUS"',
      '9:3 expected the class IN, got "CH"',
      '10:7 this quotation mark is not closed on its line',
      '11:5 this "(" is never closed',
    ])
    expect(mistakes(')\n')).toEqual(['1:1 ")" without a "(" before it'])
    expect(mistakes('\\\n"')).toContain('2:1 this quotation mark is not closed on its line')
    expect(mistakes('"\\\n"')).toEqual([1, 2].map((line) => `${line}:1 this quotation mark is not closed on its line`))
    expect(mistakes('\tA 192.0.2.1\n')).toEqual(['1:2 a record without a name, and no name before it'])
  })

  test('any text is read, or has a mistake at a place that is there; and soon', () => {
    const piece = fc.constantFrom(
      '@',
      ' ',
      '\n',
      '(',
      ')',
      '"',
      ';',
      '\\',
      '$TTL',
      'IN',
      'MX',
      'A',
      '10',
      'a.b.',
      '.',
      '\t',
      '\r',
    )
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.oneof(piece, fc.string({ maxLength: 3 }))).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (source) => {
        const reading = read(source)
        if (reading.ok) return
        const lines = source.split('\n')
        for (const { line, column } of reading.problems) {
          expect(line).toBeLessThanOrEqual(lines.length)
          expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length + 1)
        }
      }),
    )
  })

  test('a parenthesis that swallows the rest of the file is told where it began', () => {
    expect(mistakes(`$TTL 1\n@ TXT (${'a '.repeat(100_000)}`)).toEqual([
      '2:1 a record of more than 1000 words; is a ")" missing?',
    ])
  })

  test('a file too large is not read', () => {
    expect(mistakes(';'.repeat(5_000_000))).toEqual(['1:1 the file has 5000000 characters; at most 4194304 are read'])
  })
})

/**
 * The catalogue of what can be wrong with an MX layout that has decoys in it: each danger with a code that stays, how grave
 * it is, why, and what to do. `lint` finds them, docs/lint.md is made of this table.
 *
 * An error loses or delays honest mail, or lets somebody else take it; a warning costs time or evidence; a note is good to know.
 * What could not be looked at is `unknown`: it is said, and never taken for good.
 */
export const LEVELS = ['note', 'warning', 'unknown', 'error'] as const
export type Level = (typeof LEVELS)[number]

type Danger = {
  readonly level: Level
  readonly title: string
  readonly why: string
  readonly fix: string
  /** An RFC's section, a page of ours, or whose source code was read. */
  readonly source: string
}

export const DANGERS = {
  MX01: {
    level: 'error',
    title: 'The domain has no MX record',
    why: 'Senders then use the address of the domain itself (the implicit MX). The first MX record that is added, a decoy’s too, ends that: if it is a decoy’s alone, nobody takes the mail any more',
    fix: 'add an MX record for the server that takes mail first, wait until it is seen everywhere, then add decoys (decoymx plan)',
    source: 'RFC 5321 section 5.1',
  },
  MX02: {
    level: 'error',
    title: 'The domain says that it takes no mail (null MX)',
    why: 'An MX of "." bounces every message at its sender; beside other records its meaning is undefined',
    fix: 'remove the record "MX 0 ." if the domain takes mail; a domain that takes none needs no decoys',
    source: 'RFC 7505 section 3',
  },
  MX03: {
    level: 'error',
    title: 'No real MX is left: every exchange is a decoy',
    why: 'Decoys never accept a message, so all mail would wait at its senders and then bounce',
    fix: 'add the server that takes mail, between the decoys',
    source: 'docs/primary.md',
  },
  MX04: {
    level: 'error',
    title: 'A decoy has the preference of a real MX',
    why: 'Senders choose among equal preferences at random: honest mail is sent to the decoy as often as to the real MX',
    fix: 'give the primary decoy a lower number than every real MX, the backup decoy a higher one',
    source: 'RFC 5321 section 5.1',
  },
  MX05: {
    level: 'error',
    title: 'The primary decoy does not come before every real MX',
    why: 'A sender that starts at the real MX never tries it, and one that comes has been turned away by a real MX: neither says what a contact at a primary is taken to say',
    fix: 'give it the lowest number of all',
    source: 'RFC 5321 section 5.1',
  },
  MX06: {
    level: 'error',
    title: 'The backup decoy comes before a real MX',
    why: 'Honest senders would be sent to it, and it talks: Courier and Haraka never go on to another MX once one has answered 4xx, OpenSMTPD not after MAIL',
    fix: 'give it the highest number of all',
    source: 'docs/primary.md, measured',
  },
  MX07: {
    level: 'error',
    title: 'More than one name before the first real MX',
    why: 'Some senders try two hosts only (Stalwart by default), so two decoys in front hide the real MX from them for good; the others lose time at each',
    fix: 'keep one primary decoy; remove the other MX records',
    source: 'Stalwart, max_mx_hosts = 2 (read); docs/primary.md, measured',
  },
  MX08: {
    level: 'error',
    title: 'Too many addresses before the first real MX',
    why: 'Postfix tries five addresses of a domain (smtp_mx_address_limit), Exim five hosts (hosts_max_try): the real MX must be among the first five',
    fix: 'one primary decoy with one A record',
    source: 'postconf(5); Exim specification, section 30.4',
  },
  MX09: {
    level: 'warning',
    title: 'The primary decoy has more than one address',
    why: 'Each further address, an AAAA too, costs every message of some senders time: OpenSMTPD pauses 2 s at each',
    fix: 'leave it one A record; an AAAA instead only where the real MX has no A',
    source: 'docs/primary.md, measured',
  },
  MX10: {
    level: 'note',
    title: 'A second real MX is out of reach for senders that try two hosts only',
    why: 'The primary decoy is one of the two. Nothing is lost while the first real MX works, but the second is no help to such senders',
    fix: 'if the second real MX matters, give both the same preference: such senders then choose among them',
    source: 'Stalwart, max_mx_hosts = 2 (read)',
  },
  MX11: {
    level: 'note',
    title: 'No room between the preferences',
    why: 'With neighbouring numbers a further real MX, or a server that is moved for a day, cannot be put in without touching the decoys',
    fix: 'leave at least five between decoys and real MXs, like 5, 20, 90',
    source: 'our advice',
  },
  MX12: {
    level: 'warning',
    title: 'An exchange is named twice',
    why: 'It takes two of the few places that senders try; a decoy at both ends cannot be told apart by its name',
    fix: 'keep one MX record for each name',
    source: 'RFC 5321 section 5.1',
  },
  MX13: {
    level: 'warning',
    title: 'No exchange is known as a decoy',
    why: 'Nothing in DNS leads anybody to a decoy, or lint does not know which of the names are ours',
    fix: 'where a decoy has its MX record, give it the name that stands there: decoys.primary.name and decoys.backup.name in the settings, or --primary NAME and --backup NAME. Where it has none, decoymx plan prints it',
    source: 'our advice',
  },
  MX14: {
    level: 'error',
    title: 'One exchange is both primary and backup decoy, or both have one address',
    why: 'A stranger at the primary must be refused and one at the backup talked to: at one address it cannot be both',
    fix: 'give each its own name and address',
    source: 'docs/primary.md',
  },
  MX15: {
    level: 'warning',
    title: 'A decoy that was named is in no MX record',
    why: 'Nobody is led to it; or it is misspelt here, and its true name was judged as a real MX',
    fix: 'name it as the MX record does; decoymx plan prints the records to add',
    source: 'our advice',
  },
  MX16: {
    level: 'note',
    title: 'The backup decoy has more than one address of a family',
    why: 'Each must be one on which decoymx listens: at another nobody puts senders off, or somebody else takes the mail. Where the settings listen on one and not on the other, that is a warning',
    fix: 'leave it the addresses on which decoymx listens; one of a family is enough',
    source: 'our advice',
  },
  AD01: {
    level: 'error',
    title: 'An exchange has no address',
    why: 'Senders waste an attempt on it, and some defer the message; a decoy without an address sees nobody',
    fix: 'add its A record, or remove the MX record',
    source: 'RFC 5321 section 5.1',
  },
  AD02: {
    level: 'error',
    title: 'An exchange is an alias (CNAME)',
    why: 'An MX must name a host with addresses of its own; some senders refuse an alias, and checkers call the domain broken',
    fix: 'name the host that the alias stands for, or give the name its own A record',
    source: 'RFC 2181 section 10.3; RFC 5321 section 5.1',
  },
  AD03: {
    level: 'error',
    title: 'An exchange is an IP address, not a name',
    why: 'MX data is a host name; "192.0.2.1." is looked up as a name and not found',
    fix: 'give the address a name, and name that',
    source: 'RFC 1035 section 3.3.9',
  },
  AD04: {
    level: 'error',
    title: 'An exchange has an address that nobody outside can reach',
    why: 'Private, loopback and reserved addresses lead senders to themselves or nowhere: at best they wait, at worst they mail themselves. Filters punish domains with such MXs (rspamd: +5 to +8)',
    fix: 'a decoy needs a public address of yours, one that answers with a refusal',
    source: 'RFC 6890; rspamd, mx_check and rbl rules (read)',
  },
  AD05: {
    level: 'error',
    title: 'A decoy and a real MX have an address in common',
    why: 'What the decoy does to strangers is then done to everybody: the primary refuses all mail, the backup answers 451 to it',
    fix: 'give the decoy an address of its own',
    source: 'docs/primary.md',
  },
  AD06: {
    level: 'note',
    title: 'An exchange has an address from a documentation range',
    why: 'Nobody can have it on the Internet: this is an example, or was copied from one',
    fix: 'put in the address that is yours',
    source: 'RFC 5737; RFC 3849',
  },
  AD07: {
    level: 'warning',
    title: 'A decoy has no address of a family that the real MX has',
    why: 'Senders that come by that family alone never see the decoy, honest ones and bots alike, so their visits prove nothing',
    fix: 'primary: one A where the real MX has an A. Backup: the families of the real MX',
    source: 'our advice',
  },
  AD08: {
    level: 'note',
    title: 'An exchange is outside the zone file',
    why: 'Its addresses are not in the file, so nothing about them was looked at',
    fix: 'lint live DNS, or add --server IP to ask for what the file does not hold',
    source: 'our advice',
  },
  AD09: {
    level: 'note',
    title: 'An address has no reverse name that leads back to it',
    why: 'A bare address looks unlike a mail server: a careful bot may skip the decoy, and some checkers mark a real MX down',
    fix: 'ask whoever delegates the address for a PTR record with the name of the exchange',
    source: 'RFC 1912 section 2.1',
  },
  TT01: {
    level: 'note',
    title: 'Warm-up: how long old MX records live in caches',
    why: 'Until then senders walk the old layout, and the order of their visits means nothing. Stay in mode observe so long after each change',
    fix: 'wait twice the TTL after each change before you believe what decoys say',
    source: 'RFC 1035 section 3.2.1; resolvers may keep records longer',
  },
  TT02: {
    level: 'warning',
    title: 'A TTL of more than a day',
    why: 'A mistake in the layout, or an address that is lost, stays in caches so long, and mail with it',
    fix: 'use an hour; 300 s before a change',
    source: 'our advice',
  },
  TT03: {
    level: 'note',
    title: 'A TTL below a minute',
    why: 'Every sender asks again for every message, and a name server that is away for a minute is felt at once',
    fix: 'use 300 s or more when the layout is settled',
    source: 'our advice',
  },
  TL01: {
    level: 'warning',
    title: 'The real MX has TLSA records (DANE), a decoy has none',
    why: 'Senders that insist on DANE do so for each host by itself: who can turn them away from the real MX, or forge the decoy’s address on the way, is given the mail without proof of who he is',
    fix: 'publish a TLSA record at _25._tcp of the decoy; any well-formed one will do where nothing is ever taken',
    source: 'RFC 7672 section 2.2',
  },
  TL02: {
    level: 'error',
    title: 'The MTA-STS policy does not name a real MX',
    why: 'Senders that follow the policy may not deliver to it; with mode enforce their mail bounces in the end',
    fix: 'add the real MX to the policy, then change the id in the TXT record _mta-sts',
    source: 'RFC 8461 section 5',
  },
  TL03: {
    level: 'note',
    title: 'A decoy is not in the MTA-STS policy',
    why: 'Senders that follow it skip the decoy, so the largest providers never touch it, which is good; their TLS reports will name it as a failure',
    fix: 'leave it out, and expect the lines in TLS reports',
    source: 'RFC 8461 section 5',
  },
  TL04: {
    level: 'warning',
    title: 'A decoy is in the MTA-STS policy',
    why: 'Senders that follow it expect a certificate for this name there; they come, and then fail',
    fix: 'leave decoys out of the policy: name the real MXs one by one rather than by a wildcard',
    source: 'RFC 8461 section 4.1',
  },
  TL05: {
    level: 'warning',
    title: 'There is a sign of an MTA-STS policy, but no policy that can be read',
    why: 'Senders that have no copy go on without it; those that have one follow the old one until it runs out',
    fix: 'serve https://mta-sts.DOMAIN/.well-known/mta-sts.txt, or remove the TXT record _mta-sts',
    source: 'RFC 8461 section 3',
  },
  TL06: {
    level: 'note',
    title: 'There is an MTA-STS policy that was not looked at',
    why: 'A zone file says that there is a policy, not what it says',
    fix: 'give it with --sts FILE, or lint live DNS',
    source: 'RFC 8461 section 3.1',
  },
  SP01: {
    level: 'warning',
    title: 'SPF lets the decoys send in the domain’s name ("mx")',
    why: 'Whoever has the decoy’s address one day may then send as you; and a decoy never sends',
    fix: 'name the senders by ip4: and ip6: rather than by mx',
    source: 'RFC 7208 section 5.4',
  },
  SP02: {
    level: 'error',
    title: 'SPF has "mx", and the domain has more than ten MX names',
    why: 'Receivers must then treat the record as broken (permerror): mail that you send may be refused',
    fix: 'name the senders by ip4: and ip6: rather than by mx',
    source: 'RFC 7208 section 4.6.4',
  },
  SP03: {
    level: 'warning',
    title: 'The SPF record is broken',
    why: 'Receivers treat it as an error of yours. It also keeps us from knowing which networks are ours and are never listed',
    fix: 'mend the record',
    source: 'RFC 7208 section 4.6',
  },
  ST01: {
    level: 'note',
    title: 'A refusing primary costs the standing of mail that you send',
    why: 'Where rspamd’s mx_check is on (off by default; some bundles switch it on), mail from this domain gets +3.0 for a first MX that refuses or resets, +2.0 for one that is silent, and more often greylisting. A verifier of addresses may call the domain dead',
    fix: 'nothing to do where you send little; else leave the primary decoy out and keep the backup decoy',
    source: 'rspamd, mx_check (read)',
  },
  PR01: {
    level: 'error',
    title: 'The primary decoy talks to a stranger',
    why: 'Only a refused or reset connection moves every mail server measured on to the real MX; each reply strands or bounces the mail of some',
    fix: 'does decoymx listen there, or another server? decoymx doctor on that host',
    source: 'docs/primary.md, measured',
  },
  PR02: {
    level: 'error',
    title: 'The primary decoy is silent',
    why: 'A dropped SYN costs honest mail 30 s (Postfix, Haraka) to 134 s (Exim, OpenSMTPD, dma) for every message',
    fix: 'let the packet filter reject with a TCP reset rather than drop; is the address routed to the host?',
    source: 'docs/primary.md, measured',
  },
  PR03: {
    level: 'note',
    title: 'The primary decoy accepts, then resets',
    why: 'Harmless for the eight mail servers measured; qmail and its kin stop at a host that has accepted, and defer',
    fix: 'decoys.primary.kernel: true refuses before the connection is made',
    source: 'docs/primary.md, measured',
  },
  PR04: {
    level: 'error',
    title: 'The backup decoy does not put off',
    why: 'It must answer 4xx: a 2xx takes mail that nobody reads, a 5xx bounces honest mail that came while the real MX was down',
    fix: 'does decoymx listen there, or another server? decoymx doctor on that host',
    source: 'docs/primary.md, measured',
  },
  PR05: {
    level: 'warning',
    title: 'The backup decoy cannot be reached from here',
    why: 'It is harmless to mail, but it sees nobody',
    fix: 'is decoymx running, is port 25 open there, and may this host call port 25 at all? Many providers block it',
    source: 'our advice',
  },
  PR06: {
    level: 'error',
    title: 'No address of a real MX takes mail, seen from here',
    why: 'With a decoy before it and one behind it there is nowhere for mail to go',
    fix: 'is it down, or may this host not call port 25? Try again from another network',
    source: 'docs/witness.md',
  },
  PR07: {
    level: 'warning',
    title: 'An address of a real MX takes no mail, seen from here',
    why: 'Senders lose time at it, and some of the few addresses that they try',
    fix: 'mend the server, or remove its address from DNS',
    source: 'docs/witness.md',
  },
  DN01: {
    level: 'unknown',
    title: 'DNS did not answer',
    why: 'What is not known is not called good',
    fix: 'try again, ask another name server with --server IP, or give the zone with --zone FILE',
    source: 'our advice',
  },
  DN02: {
    level: 'unknown',
    title: 'More than is looked at',
    why: 'No domain needs so many exchanges or addresses; senders cut the list, and so does lint',
    fix: 'have fewer',
    source: 'RFC 5321 section 5.1 lets senders cap it',
  },
} as const satisfies Readonly<Record<string, Danger>>

export type Code = keyof typeof DANGERS

/** Where a record stands in the zone file. */
export type Place = { readonly line: number; readonly column: number }

export type Finding = {
  readonly code: Code
  readonly level: Level
  /** The host, the address or the domain that it is about. */
  readonly about: string
  /** What was seen, in one sentence. */
  readonly seen: string
  readonly fix: string
  readonly place?: Place | undefined
}

/** A danger that was met. `level` where it is graver or lighter than usual. */
export function found(
  code: Code,
  about: string,
  seen: string,
  {
    fix = DANGERS[code].fix,
    level = DANGERS[code].level,
    place,
  }: Partial<Pick<Finding, 'fix' | 'level' | 'place'>> = {},
): Finding {
  return { code, level, about, seen, fix, place }
}

/** As monitoring plugins have them: 0 ok, 1 warning, 2 critical, 3 unknown. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 | 2 | 3 {
  const levels = new Set(findings.map(({ level }) => level))
  return levels.has('error') ? 2 : levels.has('unknown') ? 3 : levels.has('warning') ? 1 : 0
}

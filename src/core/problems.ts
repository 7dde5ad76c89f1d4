/**
 * Every problem that a file of ours can have, by its code: what it means, an example, and the mend. docs/problems.md is made
 * of this. A code is never given to another problem, so that it can be searched for.
 *
 * `D`: of any document; `R`: of the rules; `W`: a warning, the rules are read all the same.
 */
export type Note = {
  readonly title: string
  readonly means: string
  /** YAML that has this problem. */
  readonly example?: string
  readonly mend: string
}

export const CODES = {
  D001: {
    title: 'a file that cannot be read',
    means: 'There is no such file, or it may not be opened, or it is no plain file.',
    mend: 'Look at the path and at who may read it: `ls -l` shows both. The daemon reads as its own user.',
  },
  D002: {
    title: 'not UTF-8',
    means: 'The file is in another encoding (UTF-16 of a Windows editor, Latin-1), or has a control character in it.',
    mend: 'Save it as UTF-8. `iconv -f latin1 -t utf-8 rules.yaml` does it, too.',
  },
  D003: {
    title: 'too large',
    means:
      'A file of more than 256 KiB, 20,000 lines, or 8,000 keys, entries and comments is not read, so that no file can keep the daemon busy.',
    mend: 'Long lists of networks do not belong in it: name a pool, or say `decoymx allow`.',
  },
  D004: {
    title: 'nested too deeply',
    means: 'More than 50 brackets or lists within each other, or more signs of YAML on one line than a person writes.',
    example: 'domains: [[[[ ... ]]]]',
    mend: 'Look for a bracket that was typed or pasted by mistake; write long lists with one entry on each line.',
  },
  D005: {
    title: 'not YAML',
    means: 'The file cannot be taken apart at this place: a quote or bracket that does not end, a colon too many.',
    example: 'because: he said: no',
    mend: 'Put text with a colon, a # or a quote in it between double quotes.',
  },
  D006: {
    title: 'a tab',
    means: 'YAML indents with spaces; a tab at the beginning of a line has no width there.',
    mend: 'Put spaces in its place: two for each level. `expand -t 2 rules.yaml` does it.',
  },
  D007: {
    title: 'a key twice',
    means: 'The same key stands twice in one place; which of the two is meant, nobody can say.',
    example: 'mode: observe\nmode: enforce',
    mend: 'Delete one. The message names the line of the first.',
  },
  D008: {
    title: 'two documents',
    means: 'A line `---` in the middle begins a second document; only one is read.',
    example: 'mode: observe\n---\nmode: enforce',
    mend: 'Delete the line, or the second document.',
  },
  D009: {
    title: 'aliases that multiply',
    means: 'An alias (`*name`) stands for so much, or for itself, that the file would grow without end.',
    example: 'a: &a [x, x]\nb: [*a, *a, *a]',
    mend: 'Write out what is meant. Up to 20 aliases are followed.',
  },
  D010: {
    title: 'no such key',
    means: 'Nothing is known by this name here. It may be misspelt, or belong somewhere else.',
    example: 'wieght: 6',
    mend: 'Take the name that the hint offers, or look the key up in docs/rules.md.',
  },
  D011: {
    title: 'something is missing',
    means: 'A key without which nothing can be made of this is not there.',
    example: '- name: talks-first\n  counts: backup.early-talk',
    mend: 'Add it. The place is that of what it should stand in.',
  },
  D012: {
    title: 'another kind of value',
    means: 'A list stands where one value is expected, a word where a number is, and the like.',
    example: 'weight: heavy',
    mend: 'The message says what is expected, and what came.',
  },
  D013: {
    title: 'none of these words',
    means: 'Only the words in the message can stand here.',
    example: 'mode: dry-run',
    mend: 'Take one of them.',
  },
  D014: {
    title: 'too small, or too large',
    means: 'The number, or the number of entries, is outside what makes sense.',
    example: 'weight: -5',
    mend: 'The message names the bound.',
  },
  D015: {
    title: 'not in the form that is expected',
    means: 'A time span, a day, an address, a network, a domain or a name is not written as one.',
    example: 'half-life: soon',
    mend: 'Spans are written 90s, 15m, 24h, 7d or 2w; days 2026-12-31; networks 192.0.2.0/24.',
  },
  D016: {
    title: 'things that do not go together',
    means: 'Each value is sound, and together they mean nothing.',
    mend: 'The message says what contradicts what.',
  },
  R001: {
    title: 'no such fact',
    means:
      'Rules count facts, and there is none by this name. A fact is the place where something was seen (`backup`, `primary`, `real`), a dot, and what was seen.',
    example: 'counts: backup.erly-talk',
    mend: 'docs/facts.md has them all.',
  },
  R002: {
    title: 'a condition that cannot be read',
    means:
      'What stands after `when` is no condition. One reads like `backup.contact >= 3 within 24h and real.contact == 0 within 48h`.',
    example: 'when: backup.contact = 3',
    mend: 'The caret stands below the first thing that was not expected. docs/rules.md has the grammar.',
  },
  R003: {
    title: 'thresholds out of order',
    means: 'A heavier verdict must need at least as much as a lighter one: observe, defer, block.',
    example: 'thresholds: { observe: 20, defer: 120, block: 100 }',
    mend: 'Order them.',
  },
  R004: {
    title: 'a name twice',
    means: 'Rules are known by their names, in `why`, in logs and in cases.',
    mend: 'Give the second another name.',
  },
  R005: {
    title: 'an entry twice',
    means: 'The same network, or domain, has an entry above already; which of the two is meant, nobody can say.',
    mend: 'Delete one.',
  },
  R006: {
    title: 'a span that reaches too far',
    means: 'Facts are kept for 31 days, so nothing can look further back; and a span of nothing counts nothing.',
    example: 'window: 90d',
    mend: 'Take a span above 0 and at most 31d.',
  },
  R007: {
    title: 'credit that nobody can reach',
    means:
      'What the walks of a client and of its network come to at most is below `good`: nobody would ever be believed.',
    example: 'credit: { good: 50, cap: 30, network-cap: 9 }',
    mend: 'Lower `good`, or raise the caps.',
  },
  R008: {
    title: 'a key that has another name now',
    means: 'What this key said is said in another way.',
    example: 'together: backup.recipient',
    mend: 'The hint has the line to write in its place.',
  },
  R009: {
    title: 'an exception that would be harder',
    means:
      'For one domain thresholds can only be higher: a refusal is made once for a client, with the thresholds of all.',
    example: 'thresholds: { block: 100 }\nexceptions:\n  - { domain: example.org, thresholds: { block: 80 } }',
    mend: 'Lower the thresholds of all, and raise them for the other domains.',
  },
  R010: {
    title: 'a text that cannot be sent',
    means:
      'What a refused sender reads is one line of printable ASCII, with {because} and {ticket} as the only blanks to fill.',
    example: 'text: "Réfusé ({code})"',
    mend: 'Write it in plain letters, and name the ticket, so that a person can ask you.',
  },
  R011: {
    title: 'asked for, and not possible here',
    means: 'The rules ask for something that this host, as its settings are, cannot do.',
    mend: 'The message names the setting.',
  },
  R012: {
    title: 'a network with host bits',
    means: 'The address has bits set beyond the prefix length: it is not clear how wide a network is meant.',
    example: 'client: 192.0.2.1/24',
    mend: 'The hint has the network around it; write /32 for the address alone.',
  },
  R020: {
    title: 'a change beyond the bound',
    means:
      'Loading these rules would newly refuse, or release, more clients than `reload.bound` of the settings allows at once. The old rules stay.',
    mend: 'Look at `decoymx replay` first; then `decoymx reload --force` puts them into effect.',
  },
  R021: {
    title: 'a case that fails',
    means:
      'The settings ask for cases to be run before rules are loaded (`reload.cases`), and one does not come true under these rules. The old rules stay.',
    mend: '`decoymx test` shows what was expected and what came.',
  },
  W001: {
    title: 'a rule that can never hold',
    means: 'Its condition contradicts itself, or what the rule counts; or nothing that it counts can weigh.',
    example: 'counts: backup.recipient\nwhen: backup.recipient == 0',
    mend: 'Mend the condition, or delete the rule.',
  },
  W002: {
    title: 'one polite visit is refused',
    means:
      'A client that connects once, behaves, and does nothing but name a recipient of ours would be deferred or blocked. Honest mail servers do that when the real MX is slow.',
    example: '- name: backup-first\n  counts: backup.recipient\n  weight: 100',
    mend: 'Lower the weight so that it takes several hours with visits: `each: hour` and a weight far below `defer`.',
  },
  W003: {
    title: 'a bare contact can list',
    means:
      'Connections alone reach `defer`, without a recipient of ours or a violation. Monitors and researchers connect, and anybody can point a domain of theirs at our decoy and make honest servers call here.',
    example: '- name: contacts\n  counts: backup.contact\n  weight: 10',
    mend: 'Add `when: backup.recipient >= 1`, or a `cap` below `defer`.',
  },
  W004: {
    title: 'an allow entry within another',
    means: 'A wider entry allows this network already, at least as long.',
    mend: 'Delete the narrower one, or give the wider one an end.',
  },
  W005: {
    title: 'an allow entry that has ended',
    means: 'Its `until` is past: the client is judged again.',
    mend: 'Delete it, or give it a later end.',
  },
  W006: {
    title: 'a verdict that can never stand alone',
    means: 'Two thresholds are equal, so that who reaches the lighter verdict has reached the heavier one.',
    example: 'thresholds: { observe: 20, defer: 100, block: 100 }',
    mend: 'Set them apart.',
  },
  W007: {
    title: 'a cap below the weight',
    means: 'The first sighting reaches the cap already: the weight is never added whole.',
    example: 'weight: 60\ncap: 30',
    mend: 'Raise the cap, or lower the weight to it.',
  },
  W008: {
    title: 'a trap in a foreign domain',
    means: 'Traps are looked for among recipients in the domains that are protected; this one is in none of them.',
    example: 'domains: [example.org]\ntraps: [honey@example.com]',
    mend: 'Add the domain, or take another address.',
  },
  W009: {
    title: 'a fact that is never seen here',
    means:
      'As the settings are, nothing on this host tells of it: no policy service asks, the primary decoy has no address, or a bait is not offered. A condition that it was never seen is then true of everybody. A host that shares a Redis may hear of it from another: there it is not missed that nobody asks here, nor that all decoys are elsewhere.',
    mend: 'Turn on what would see it, or leave the fact out. A rule with an excuse that nobody can have here belongs in `mode: observe`.',
  },
  W010: {
    title: 'a verdict that nobody can reach',
    means: 'All rules together, at their caps, stay below this threshold.',
    mend: 'Raise caps or weights, or lower the threshold.',
  },
  W011: {
    title: 'a very wide allow entry',
    means: 'It holds more than a /8 (IPv4) or a /16 (IPv6): most likely more than is meant.',
    example: 'client: 0.0.0.0/0',
    mend: 'Name the networks that are meant. To refuse nobody, write `mode: observe`.',
  },
  W012: {
    title: 'an exception for a foreign domain',
    means: 'The domain is none of those that are protected, so that nothing is ever refused for it.',
    mend: 'Add the domain, or delete the exception.',
  },
  W013: {
    title: 'an exception that changes nothing',
    means: 'Mode and thresholds are those of all domains.',
    mend: 'Delete it.',
  },
  W014: {
    title: 'a refusal without its ticket',
    means: 'The sender that is refused gets no code to quote, so that you cannot find the decision by it.',
    example: 'text: "Go away"',
    mend: 'Put {ticket} into the text.',
  },
  W015: {
    title: 'a window shorter than the half-life',
    means: 'A sighting is forgotten before half of its weight has faded: the half-life hardly does anything.',
    example: 'half-life: 7d\nwindow: 1h',
    mend: 'A window of two half-lives or more lets weights fade; where a sharp end is meant, a half-life as long as the window does it.',
  },
} as const satisfies Record<string, Note>

export type Code = keyof typeof CODES

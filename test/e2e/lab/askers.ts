/**
 * The programs that ask about clients, each with the files of deploy/ exactly as they are: its room, how it is asked for its
 * word about a client, and what a refusal by it looks like. What else stands in a room is what an installation brings, and
 * the names and ports of this place.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from '../appliance.ts'
import { POSTFIX_INSIDE } from '../postfix.ts'
import type { Place } from '../../namespaces.ts'
import type { Room, RoomOptions } from './room.ts'

export type Asker = {
  readonly name: string
  /** The Debian package; without it, it is one of the lab's own, by npm. */
  readonly debian?: string
  readonly room: Pick<RoomOptions, 'files' | 'users' | 'start'>
  /** Takes a new export in the format `plain` on stdin. */
  readonly takes?: string
  readonly ways: readonly Way[]
}

export type Way = {
  /** The file in deploy/. */
  readonly file: string
  /** What the program says about this client. */
  readonly answerTo: (client: string, at: { readonly clients: Place; readonly room: Room }) => Promise<string>
  readonly refuses: RegExp
  readonly passes: RegExp
  /** It asks us, and no resolver. */
  readonly direct?: true
  /** It goes on refusing the listed when we are gone: by a file. */
  readonly outlives?: true
}

/** The address of the MX. */
export const MX = '192.0.2.25'
const RECIPIENT = 'postbox@example.test'
/** What the operator says of the listed. */
export const BECAUSE = '100% a bot'

const HERE = import.meta.dirname
const deployed = (path: string) => readFileSync(join(HERE, '../../../deploy', path), 'utf8')
const PASSES = /^<- +250 /
const WITH_TICKET =
  /^<\*\* +550 5\.7\.1 100% a bot; to ask why, quote this code to the postmaster \([0-9A-Z]{4}-[0-9A-Z]{4}\)$/

/** What stands in SMTP at RCPT, by swaks. */
function smtp(port: number): Way['answerTo'] {
  return async (client, { clients }) => {
    const server = ['--server', `${MX}:${port}`, '--local-interface', client, '--ehlo', 'mail.sender.example']
    const envelope = ['--from', 'someone@sender.example', '--to', RECIPIENT, '--quit-after', 'RCPT']
    const { stdout, stderr } = await runToEnd('ip', ['netns', 'exec', clients.name, 'swaks', ...server, ...envelope])
    const replies = stdout.split('\n').filter((line) => /^<(-|\*\*) /.test(line))
    return replies.findLast((line) => !/ 221 /.test(line)) ?? `no reply: ${stdout}${stderr}`
  }
}

/** A shell's words that wait until somebody listens there. */
function untilOpen(port: number, host = MX): string {
  return `until bash -c ': < /dev/tcp/${host}/${port}' 2> /dev/null; do sleep 0.05; done`
}

const EXIM: Asker = {
  name: 'Exim',
  debian: 'exim4-daemon-light',
  room: {
    users: { 'Debian-exim': 9903 },
    files: {
      '/etc/exim4/policy.acl': deployed('exim/policy.acl'),
      '/etc/exim4/dnslists.acl': deployed('exim/dnslists.acl'),
      '/etc/exim4/exim4.conf': `
primary_hostname = mx1.example.test
log_file_path = /var/log/exim/%s
domainlist local_domains = example.test
local_interfaces = ${MX}.2501 : ${MX}.2502
never_users = root
keep_environment =
acl_smtp_rcpt = acl_\${received_port}
begin acl
acl_2501:
  require domains = +local_domains
.include /etc/exim4/policy.acl
  accept
acl_2502:
  require domains = +local_domains
.include /etc/exim4/dnslists.acl
  accept
begin routers
here:
  driver = redirect
  data = :blackhole:
`,
    },
    start: `mkdir -p /var/spool/exim4 /var/log/exim
      chown Debian-exim /var/spool/exim4 /var/log/exim
      exim4 -bdf > /var/log/lab 2>&1 &
      ${untilOpen(2502)}`,
  },
  ways: [
    {
      file: 'exim/policy.acl',
      answerTo: smtp(2501),
      refuses: WITH_TICKET,
      passes: PASSES,
      direct: true,
    },
    {
      file: 'exim/dnslists.acl',
      answerTo: smtp(2502),
      refuses: WITH_TICKET,
      passes: PASSES,
    },
  ],
}

/** The MX's own resolver: what is not our zone it could only ask the internet, and is told that it does not exist. */
export const RESOLVER: Asker['room'] = {
  users: { unbound: 9908 },
  files: {
    '/etc/unbound/unbound.conf.d/decoymx.conf': deployed('unbound/decoymx.conf'),
    // The root's key is in a package that need not be here; one of a parent of our zone stands for it.
    '/etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf': '',
    '/etc/unbound/unbound.conf.d/lab.conf': `
server:
    trust-anchor: "example.org. DS 12345 13 2 ${'ab'.repeat(32)}"
    private-address: 127.0.0.0/8
    local-zone: "." static
    local-zone: "bl.example.org." transparent
    local-data: "mx1.example.test. A ${MX}"
    local-data: "sender.example. A 198.18.7.7"
`,
  },
  start: `unbound -d -p > /var/log/lab 2>&1 &
    ${untilOpen(53, '127.0.0.1')}`,
}

/** Where Debian's OpenSMTPD looks for filters that are named without a folder. */
const OPENSMTPD_FILTERS = '/usr/libexec/opensmtpd'
const OPENSMTPD: Asker = {
  name: 'OpenSMTPD',
  debian: 'opensmtpd',
  room: {
    users: { opensmtpd: 9901, opensmtpq: 9902, postbox: 9909 },
    files: {
      '/etc/smtpd.conf': `
${deployed('opensmtpd/smtpd.conf')}
listen on ${MX} port 2503 filter decoymx
listen on ${MX} port 2504 filter decoymx-list
action "here" maildir "/var/mail/lab"
match from any for domain "example.test" action "here"
`,
      '/etc/mailname': 'mx1.example.test\n',
      '/etc/mail/decoymx': '# @list\n',
      [`${OPENSMTPD_FILTERS}/filter-decoymx.mjs`]: deployed('opensmtpd/filter-decoymx.mjs'),
    },
    start: `mkdir -p /var/spool/smtpd
      ln -sf ${process.execPath} /usr/local/bin/node
      chmod 711 /var/spool/smtpd
      chmod 755 ${OPENSMTPD_FILTERS}/filter-decoymx.mjs
      chgrp opensmtpq /usr/sbin/smtpctl
      chmod 2755 /usr/sbin/smtpctl
      smtpd -d > /var/log/lab 2>&1 &
      ${untilOpen(2504)}`,
  },
  takes: 'cat > /etc/mail/decoymx; smtpctl update table decoymx',
  ways: [
    {
      file: 'opensmtpd/filter-decoymx.mjs',
      answerTo: smtp(2503),
      refuses: WITH_TICKET,
      passes: PASSES,
      direct: true,
    },
    {
      file: 'opensmtpd/smtpd.conf',
      answerTo: smtp(2504),
      refuses: /^<\*\* +550 5\.7\.1 refused by local policy/,
      passes: PASSES,
      outlives: true,
    },
  ],
}

const HARAKA: Asker = {
  name: 'Haraka',
  room: {
    files: {
      '/etc/haraka/config/dns-list.ini': deployed('haraka/config/dns-list.ini'),
      '/etc/haraka/config/smtp.ini': `listen=${MX}:2505\n`,
      '/etc/haraka/config/plugins': 'dns-list\nrcpt_to.in_host_list\n',
      '/etc/haraka/config/me': 'mx1.example.test\n',
      '/etc/haraka/config/host_list': 'example.test\n',
      '/etc/haraka/config/log.ini': '[main]\nlevel=info\n',
    },
    start: `cp -rn ${join(HERE, 'node_modules/Haraka/config')} /etc/haraka
      ${process.execPath} ${join(HERE, 'node_modules/Haraka/bin/haraka')} -c /etc/haraka > /var/log/lab 2>&1 &
      # One by the first process, one by the one that serves.
      until [ $(grep -c 'enabling block zone' /var/log/lab) = 2 ]; do sleep 0.05; done
      ${untilOpen(2505)}`,
  },
  ways: [
    {
      file: 'haraka/config/dns-list.ini',
      answerTo: smtp(2505),
      refuses: /^<\*\* +5\d\d .*is listed on bl\.example\.org/,
      passes: PASSES,
    },
  ],
}

const POSTFIX: Asker = {
  name: 'Postfix',
  room: {
    files: {
      '/etc/postfix/main.cf': `
compatibility_level = 3.6
maillog_file = /var/log/lab
myhostname = mx1.example.test
inet_protocols = ipv4
mynetworks =
mydestination = example.test
local_recipient_maps =
alias_maps =
${deployed('postfix/milter.cf')}
`,
      '/etc/postfix/master.cf': `${MX}:2506 inet n - n - - smtpd\n${POSTFIX_INSIDE}`,
    },
    start: `chown postfix /var/lib/postfix
      postfix start 2>&1
      ${untilOpen(2506)}`,
  },
  ways: [{ file: 'postfix/milter.cf', answerTo: smtp(2506), refuses: WITH_TICKET, passes: PASSES, direct: true }],
}

const SENDMAIL_WAYS = [
  { name: 'milter', port: 2507 },
  { name: 'dnsbl', port: 2508 },
] as const
/** It takes mail whatever the load of the machine is (makes.ts). */
const SENDMAIL: Asker = {
  name: 'Sendmail',
  debian: 'sendmail',
  room: {
    users: { smmta: 9904, smmsp: 9905, postbox: 9909 },
    files: {
      ...Object.fromEntries(
        SENDMAIL_WAYS.map(({ name, port }) => [
          `/etc/mail/${name}.mc`,
          `
include(\`/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(\`debian')
DOMAIN(\`debian-mta')
define(\`confDOMAIN_NAME', \`mx1.example.test')
define(\`confPID_FILE', \`/run/${name}.pid')
undefine(\`confHOST_STATUS_DIRECTORY')
FEATURE(\`no_default_msa')
FEATURE(\`use_cw_file')
define(\`confQUEUE_LA', \`1000')
define(\`confREFUSE_LA', \`1000')
DAEMON_OPTIONS(\`Family=inet, Name=MTA-v4, Port=${port}, Addr=${MX}')
${deployed(`sendmail/${name}.mc`)}
MAILER(\`local')
MAILER(\`smtp')
`,
        ]),
      ),
      '/etc/mail/local-host-names': 'example.test\n',
      '/etc/mail/trusted-users': 'root\n',
    },
    start: `mkdir -p /var/spool/mqueue
      chmod 700 /var/spool/mqueue
      for each in milter dnsbl; do
        m4 /etc/mail/$each.mc > /etc/mail/$each.cf
        /usr/libexec/sendmail/sendmail -bd -q10m -C /etc/mail/$each.cf -X /var/log/lab
      done
      ${untilOpen(2507)}
      ${untilOpen(2508)}`,
  },
  ways: [
    {
      file: 'sendmail/milter.mc',
      answerTo: smtp(2507),
      // It puts the recipient before the text.
      refuses: /^<\*\* +550 5\.7\.1 <postbox@example\.test>\.\.\. 100% a bot; to ask why, quote this code/,
      passes: PASSES,
      direct: true,
    },
    {
      file: 'sendmail/dnsbl.mc',
      answerTo: smtp(2508),
      refuses: /^<\*\* +550 5\.7\.1 refused by local policy/,
      passes: PASSES,
    },
  ],
}

/** A message as the MX hands it to a filter. */
const messageFrom = (client: string) => `Received: from mail.sender.example (mail.sender.example [${client}])
\tby mx1.example.test (Postfix) with ESMTP id 4ABC123456 for <${RECIPIENT}>;
\tSat, 28 Nov 2026 01:00:00 +0000 (UTC)
From: someone@sender.example
To: ${RECIPIENT}
Date: Sat, 28 Nov 2026 01:00:00 +0000
Message-ID: <1@sender.example>
Subject: A message

Hello.
`

const RSPAMD: Asker = {
  name: 'Rspamd',
  debian: 'rspamd',
  room: {
    users: { _rspamd: 9907 },
    files: Object.fromEntries([
      ...['rbl.conf', 'groups.conf', 'force_actions.conf'].map((name) => [
        `/etc/rspamd/local.d/${name}`,
        deployed(`rspamd/local.d/${name}`),
      ]),
      // Nothing of what else it asks on the internet can be had here.
      ...['fuzzy_check', 'surbl', 'phishing', 'dmarc', 'asn', 'neural'].map((name) => [
        `/etc/rspamd/local.d/${name}.conf`,
        'enabled = false;\n',
      ]),
    ]) as Record<string, string>,
    start: `mkdir -p /var/lib/rspamd /var/log/rspamd /run/rspamd
      chown _rspamd /var/lib/rspamd /var/log/rspamd /run/rspamd
      rspamd -f -u _rspamd -g _rspamd > /var/log/lab 2>&1 &
      ${untilOpen(11333, '127.0.0.1')}`,
  },
  ways: [
    {
      file: 'rspamd/local.d/rbl.conf',
      answerTo: async (client, { room }) => {
        const said = await room.must(
          `rspamc -h 127.0.0.1:11333 -i ${client} -F someone@sender.example symbols`,
          messageFrom(client),
        )
        return said
          .split('\n')
          .filter((line) => /^(Action|Symbol: DECOYMX)/.test(line))
          .join('\n')
      },
      refuses: /^Action: reject\n.*Symbol: DECOYMX_BLOCK/s,
      passes: /^Action: (?!reject)[a-z ]+(\nSymbol: DECOYMX_OTHER_FAIL .*)?$/,
    },
  ],
}

const SPAMASSASSIN: Asker = {
  name: 'SpamAssassin',
  debian: 'spamassassin',
  room: {
    files: {
      '/etc/spamassassin/decoymx.cf': deployed('spamassassin/decoymx.cf'),
      '/etc/spamassassin/local.cf': `trusted_networks ${MX}\nuse_bayes 0\nuse_auto_welcomelist 0\n`,
      '/etc/spamassassin/v320.pre': ['Check', 'DNSEval']
        .map((name) => `loadplugin Mail::SpamAssassin::Plugin::${name}\n`)
        .join(''),
    },
    // No rules but ours: they cost seconds.
    start: 'mkdir /usr/share/lab-rules; cp /usr/share/spamassassin/10_default_prefs.cf /usr/share/lab-rules',
  },
  ways: [
    {
      file: 'spamassassin/decoymx.cf',
      answerTo: async (client, { room }) => {
        const said = await room.must('spamassassin -C /usr/share/lab-rules', messageFrom(client))
        return /^X-Spam-Status: (.*(?:\n[ \t].*)*)/m.exec(said)?.[1]?.replaceAll(/\s+/g, ' ') ?? `not marked: ${said}`
      },
      refuses: /^Yes, .*RCVD_IN_DECOYMX_BLOCK/,
      passes: /^No, (?!.*RCVD_IN_DECOYMX)/,
    },
  ],
}

export const ASKERS: readonly Asker[] = [POSTFIX, SENDMAIL, EXIM, OPENSMTPD, HARAKA, RSPAMD, SPAMASSASSIN]

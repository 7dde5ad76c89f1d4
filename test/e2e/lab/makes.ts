/**
 * The makes of senders: how each is set up, told to send, to try again at once, to forget, and to say what still waits.
 *
 * Each has the settings that its Debian package or its own installation comes with, as for an "Internet site". What differs
 * is what a lab must set: names, nothing that listens to the outside.
 */
import { join } from 'node:path'
import type { RoomOptions } from './room.ts'

/** All of it shell's commands, in its room. */
export type Make = {
  readonly name: string
  /** The Debian package, when it is none that the host has. */
  readonly debian?: string
  readonly room: (host: string) => Pick<RoomOptions, 'files' | 'users' | 'start'>
  /** Prints the version; without it, it is the package's. */
  readonly version?: string
  /** Takes the message on stdin. */
  readonly submit: (from: string, to: string) => string
  readonly flush: string
  /** Most keep no memory of an MX that did not answer. */
  readonly forget?: string
  /** Prints how many messages wait. */
  readonly waiting: string
  readonly story: string
  /** What it waits by itself before it tries any second MX. */
  readonly pausesMs: number
}

const NODE = process.execPath
const HERE = import.meta.dirname
const HARAKA_COMMAND = `${NODE} ${join(HERE, 'node_modules/Haraka/bin/haraka')} -c /etc/haraka`
const MAILER = `${NODE} ${join(HERE, 'mailer.cjs')}`

const POSTFIX: Make = {
  name: 'Postfix',
  room: (host) => ({
    files: {
      '/etc/postfix/main.cf': `
compatibility_level = 3.6
maillog_file = /var/log/lab
myhostname = ${host}
inet_interfaces = loopback-only
mydestination =
alias_maps =
`,
    },
    start: `cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
      postconf -F '*/*/chroot=n'
      chown postfix /var/lib/postfix
      postfix start 2>&1`,
  }),
  version: 'postconf -h mail_version',
  submit: (from, to) => `sendmail -i -f ${from} ${to}`,
  flush: 'postqueue -f',
  waiting: 'postqueue -j | wc -l',
  story: 'tail -n 30 /var/log/lab; postqueue -p',
  pausesMs: 0,
}

/** It leaves an MX that refused it alone for 15 s, and longer each time; and it keeps connections. */
const SMTPD = `smtpd -d >> /var/log/lab 2>&1 &
  until smtpctl show stats > /dev/null 2>&1; do sleep 0.05; done`
const SMTPD_RESTART = `pkill smtpd; while pgrep smtpd > /dev/null; do sleep 0.05; done; ${SMTPD}`

const OPENSMTPD: Make = {
  name: 'OpenSMTPD',
  debian: 'opensmtpd',
  room: (host) => ({
    users: { opensmtpd: 9901, opensmtpq: 9902 },
    files: {
      '/etc/smtpd.conf': `
listen on lo
action "out" relay helo "${host}"
match from local for any action "out"
`,
      '/etc/mailname': `${host}\n`,
    },
    start: `mkdir -p /var/spool/smtpd
      chmod 711 /var/spool/smtpd
      chgrp opensmtpq /usr/sbin/smtpctl
      chmod 2755 /usr/sbin/smtpctl
      ${SMTPD}`,
  }),
  version: `smtpd -h 2>&1 | sed -n 's/^version: OpenSMTPD \\([0-9.p]*\\).*/\\1/p'`,
  submit: (from, to) => `sendmail -i -f ${from} ${to}`,
  flush: `${SMTPD_RESTART}; smtpctl schedule all`,
  forget: SMTPD_RESTART,
  waiting: 'smtpctl show queue | wc -l',
  story: 'tail -n 30 /var/log/lab; smtpctl show queue; smtpctl show hoststats; smtpctl show routes',
  pausesMs: 2500,
}

const HARAKA: Make = {
  name: 'Haraka',
  room: (host) => ({
    files: {
      '/etc/haraka/config/smtp.ini': 'listen=127.0.0.1:2525\n',
      '/etc/haraka/config/plugins': 'relay\n',
      '/etc/haraka/config/relay.ini': '[relay]\nacl=true\n',
      '/etc/haraka/config/relay_acl_allow': '127.0.0.0/8\n',
      '/etc/haraka/config/me': `${host}\n`,
      '/etc/haraka/config/host_list': '',
      '/etc/haraka/config/log.ini': '[main]\nlevel=info\n',
      '/etc/haraka/config/internalcmd_key': 'lab\n',
      // It gives a message up after 13 attempts, by itself over days. The lab asks for one every few seconds.
      '/etc/haraka/config/outbound.ini': 'temp_fail_intervals=1m*200\n',
    },
    start: `cp -rn ${join(HERE, 'node_modules/Haraka/config')} /etc/haraka
      ${HARAKA_COMMAND} > /var/log/lab 2>&1 &
      until swaks --server 127.0.0.1:2525 --quit-after BANNER > /dev/null 2>&1; do sleep 0.2; done`,
  }),
  version: `${HARAKA_COMMAND} --version | sed -n 's/.*Version: \\([0-9.]*\\).*/\\1/p'`,
  submit: (from, to) => `swaks --server 127.0.0.1:2525 --helo localhost --from ${from} --to ${to} --data - --hide-all`,
  flush: `${HARAKA_COMMAND} --qunstick`,
  waiting: 'ls /etc/haraka/queue | wc -l',
  story: 'tail -n 30 /var/log/lab; ls /etc/haraka/queue',
  pausesMs: 0,
}

/** The direct transport of nodemailer 2, the last with one: a mailer in an application, with a spool of ours behind it. */
const NODEMAILER: Make = {
  name: 'nodemailer, direct',
  room: (host) => ({ files: { '/etc/mailname': `${host}\n` }, start: 'mkdir -p /var/spool/mailer' }),
  version: `${MAILER} version`,
  submit: (from, to) => `cat > /tmp/message.$$; ${MAILER} send ${from} ${to} < /tmp/message.$$ > /dev/null 2>&1 &`,
  flush: `${MAILER} flush > /dev/null 2>&1 &`,
  waiting: 'ls /var/spool/mailer | wc -l',
  story: 'ls /var/spool/mailer; tail -n 30 /var/log/lab',
  pausesMs: 0,
}

const EXIM: Make = {
  name: 'Exim',
  debian: 'exim4-daemon-light',
  room: (host) => ({
    users: { 'Debian-exim': 9903 },
    files: {
      '/etc/exim4/exim4.conf': `
primary_hostname = ${host}
log_file_path = /var/log/exim/%s
acl_smtp_rcpt = accept
local_interfaces = 127.0.0.1
never_users = root
keep_environment =
begin routers
out:
  driver = dnslookup
  transport = smtp
begin transports
smtp:
  driver = smtp
begin retry
*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h
`,
    },
    start: `mkdir -p /var/spool/exim4 /var/log/exim
      chown Debian-exim /var/spool/exim4 /var/log/exim
      exim4 -bdf -q30m &`,
  }),
  version: `exim4 -bV | sed -n 's/^Exim version \\([0-9.]*\\).*/\\1/p'`,
  submit: (from, to) => `sendmail -i -f ${from} ${to}`,
  flush: 'exim4 -qff > /dev/null 2>&1 &',
  forget: 'rm -f /var/spool/exim4/db/*',
  waiting: 'exim4 -bpc',
  story: 'tail -n 30 /var/log/exim/main; exim4 -bp',
  pausesMs: 0,
}

const DMA: Make = {
  name: 'dma',
  debian: 'dma',
  room: (host) => ({
    files: { '/etc/dma/dma.conf': `MAILNAME ${host}\n`, '/etc/mailname': `${host}\n` },
    start: `mkdir -p /var/spool/dma
      chown root:mail /var/spool/dma
      chmod 2775 /var/spool/dma
      chgrp mail /usr/sbin/dma && chmod 2755 /usr/sbin/dma`,
  }),
  submit: (from, to) => `dma -i -f ${from} ${to}`,
  flush: 'dma -q > /dev/null 2>&1 &',
  waiting: `ls /var/spool/dma | grep -c '^M' || true`,
  story: 'dma -bp; ls -l /var/spool/dma',
  pausesMs: 0,
}

const SENDMAIL_COMMAND = '/usr/libexec/sendmail/sendmail'
/** On a machine that is at work (a load of 8 for each core) it would only queue, and at 12 take nothing: here it may not look. */
const SENDMAIL: Make = {
  name: 'Sendmail',
  debian: 'sendmail',
  room: (host) => ({
    users: { smmta: 9904, smmsp: 9905 },
    files: {
      '/etc/mail/sendmail.mc': `
include(\`/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(\`debian')
DOMAIN(\`debian-mta')
define(\`confDOMAIN_NAME', \`${host}')
undefine(\`confHOST_STATUS_DIRECTORY')
FEATURE(\`no_default_msa')
define(\`confQUEUE_LA', \`1000')
define(\`confREFUSE_LA', \`1000')
DAEMON_OPTIONS(\`Family=inet, Name=MTA-v4, Port=smtp, Addr=127.0.0.1')
MAILER(\`local')
MAILER(\`smtp')
`,
      '/etc/mail/local-host-names': '',
      '/etc/mail/trusted-users': 'root\n',
    },
    start: `mkdir -p /var/spool/mqueue
      chmod 700 /var/spool/mqueue
      m4 /etc/mail/sendmail.mc > /etc/mail/sendmail.cf
      ${SENDMAIL_COMMAND} -bd -q10m -X /var/log/lab`,
  }),
  version: `${SENDMAIL_COMMAND} -d0.1 -bt < /dev/null | sed -n 's/^Version \\([0-9.]*\\).*/\\1/p'`,
  submit: (from, to) => `${SENDMAIL_COMMAND} -Am -i -f ${from} ${to}`,
  flush: `${SENDMAIL_COMMAND} -Am -q -X /var/log/lab > /dev/null 2>&1 &`,
  waiting: 'ls /var/spool/mqueue | grep -c ^qf || true',
  story: `tail -n 30 /var/log/lab; ${SENDMAIL_COMMAND} -Am -bp`,
  pausesMs: 0,
}

/** It leaves a domain alone for 5 minutes when no MX of it answered, whatever it is told; and it keeps connections. */
const COURIER_RESTART = 'courier stop; courier start'
const COURIER: Make = {
  name: 'Courier',
  debian: 'courier-mta',
  room: (host) => ({
    users: { courier: 9906 },
    files: {
      '/etc/courier/me': `${host}\n`,
      '/etc/courier/defaultdomain': `${host}\n`,
      '/etc/courier/locals': 'localhost\n',
      '/etc/courier/dsnfrom': `"Courier" <postmaster@${host}>\n`,
      '/etc/mailname': `${host}\n`,
    },
    // What the package's installation does, and no more.
    start: `mkdir -p /run/courier/authdaemon /var/lib/courier/tmp
      chown -R courier:courier /run/courier /var/lib/courier
      chmod 770 /var/lib/courier/tmp
      chown courier:courier /usr/lib/courier/courier/submitmkdir
      chmod 4755 /usr/lib/courier/courier/submitmkdir
      chgrp courier /usr/sbin/sendmail
      chmod 2755 /usr/sbin/sendmail
      makealiases
      courier start 2>&1`,
  }),
  submit: (from, to) => `sendmail -f ${from} ${to}`,
  flush: `${COURIER_RESTART}; courier flush`,
  forget: COURIER_RESTART,
  waiting: `find /var/lib/courier/msgs -name 'C*' | wc -l`,
  story: 'mailq; tail -n 30 /var/log/lab',
  pausesMs: 0,
}

const CHASQUID_START = `chasquid > /var/log/lab 2>&1 &
  until swaks --server 127.0.0.1:5870 --quit-after BANNER > /dev/null 2>&1; do sleep 0.1; done`
/** It has no word for "now": what waits is tried when it starts. */
const CHASQUID_RESTART = `pkill chasquid; while pgrep chasquid > /dev/null; do sleep 0.05; done; ${CHASQUID_START}`
const CHASQUID: Make = {
  name: 'chasquid',
  debian: 'chasquid',
  room: (host) => ({
    files: {
      '/etc/chasquid/chasquid.conf': `
hostname: "${host}"
smtp_address: "127.0.0.1:25"
submission_address: "127.0.0.1:5870"
mail_log_path: "/var/log/lab-mail"
`,
    },
    start: `mkdir -p /etc/chasquid/domains/${host} /etc/chasquid/certs/${host} /var/lib/chasquid
      chmod 700 /var/lib/chasquid
      cd /etc/chasquid/certs/${host}
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=${host} \\
        -keyout privkey.pem -out fullchain.pem 2>&1
      chasquid-util user-add lab@${host} --password=lab
      ${CHASQUID_START}`,
  }),
  submit: (from, to) =>
    `swaks --server 127.0.0.1:5870 --tls --auth PLAIN --auth-user lab@$(hostname) --auth-password lab --helo localhost --from ${from} --to ${to} --data - --hide-all`,
  flush: CHASQUID_RESTART,
  waiting: 'ls /var/lib/chasquid/queue | wc -l',
  story: 'tail -n 30 /var/log/lab; ls /var/lib/chasquid/queue',
  pausesMs: 0,
}

export const MAKES: readonly Make[] = [POSTFIX, OPENSMTPD, HARAKA, NODEMAILER, EXIM, DMA, SENDMAIL, COURIER, CHASQUID]

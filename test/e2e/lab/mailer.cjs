/**
 * An application that mails by nodemailer's direct transport: `send FROM TO` with a message on stdin, `flush`, `version`.
 *
 * What cannot be sent stays in its spool, as any careful application keeps it, and `flush` tries that again: also what is
 * refused for good, which then stays there for ever, and the lab sees it.
 */
const { readdirSync, readFileSync, renameSync, rmSync, writeFileSync, appendFileSync } = require('node:fs')
const nodemailer = require('nodemailer')
const direct = require('nodemailer-direct-transport')

const SPOOL = '/var/spool/mailer'

async function main([command, from, to]) {
  if (command === 'version') return process.stdout.write(require('nodemailer/package.json').version)
  if (command === 'send') {
    const busy = `${SPOOL}/${Date.now()}-${process.pid}.busy`
    const [head, ...body] = readFileSync(0, 'utf8').split('\n\n')
    const subject = /^Subject: (.*)$/m.exec(head)[1]
    writeFileSync(busy, JSON.stringify({ from, to, subject, text: body.join('\n\n') }))
    return attempt(busy)
  }
  if (command === 'flush') return Promise.all(readdirSync(SPOOL).flatMap(claimed).map(attempt))
  throw new Error(`no such command: ${command}`)
}

/** Only one attempt at a time for each message: whoever renames it first has it. */
function claimed(name) {
  if (name.endsWith('.busy')) return []
  try {
    renameSync(`${SPOOL}/${name}`, `${SPOOL}/${name}.busy`)
    return [`${SPOOL}/${name}.busy`]
  } catch {
    return []
  }
}

/** The transport's own timer for the next attempt ends with this process. */
function attempt(busy) {
  const transport = nodemailer.createTransport(direct({ name: readFileSync('/etc/mailname', 'utf8').trim() }))
  return new Promise((resolve) => {
    transport.sendMail(JSON.parse(readFileSync(busy, 'utf8')), (error, info) => {
      appendFileSync(
        '/var/log/lab',
        `${busy} ${JSON.stringify({ error: error?.message, errors: error?.errors, info })}\n`,
      )
      if (info?.accepted?.length > 0) rmSync(busy)
      else renameSync(busy, busy.replace(/\.busy$/, ''))
      resolve()
    })
  })
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${error.stack}\n`)
    process.exit(1)
  },
)

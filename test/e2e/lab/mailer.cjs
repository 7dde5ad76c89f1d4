/**
 * An application that mails by nodemailer's direct transport: `send FROM TO` with a message on stdin, `flush`, `version`.
 *
 * What cannot be sent stays in its spool, as any careful application keeps it, and `flush` tries that again: also what is
 * refused for good, which then stays there for ever, and the lab sees it.
 */
const { readdirSync, readFileSync, rmSync, writeFileSync, appendFileSync } = require('node:fs')
const nodemailer = require('nodemailer')
const direct = require('nodemailer-direct-transport')

const SPOOL = '/var/spool/mailer'

async function main([command, from, to]) {
  if (command === 'version') return process.stdout.write(require('nodemailer/package.json').version)
  if (command === 'send') {
    const file = `${SPOOL}/${Date.now()}-${process.pid}`
    const [head, ...body] = readFileSync(0, 'utf8').split('\n\n')
    const subject = /^Subject: (.*)$/m.exec(head)[1]
    writeFileSync(file, JSON.stringify({ from, to, subject, text: body.join('\n\n') }))
    return attempt(file)
  }
  if (command === 'flush') return Promise.all(readdirSync(SPOOL).map((name) => attempt(`${SPOOL}/${name}`)))
  throw new Error(`no such command: ${command}`)
}

/** One attempt: the transport's own timer for the next one ends with this process. */
function attempt(file) {
  const transport = nodemailer.createTransport(direct({ name: readFileSync('/etc/mailname', 'utf8').trim() }))
  return new Promise((resolve) => {
    transport.sendMail(JSON.parse(readFileSync(file, 'utf8')), (error, info) => {
      appendFileSync(
        '/var/log/lab',
        `${file} ${JSON.stringify({ error: error?.message, errors: error?.errors, info })}\n`,
      )
      if (info?.accepted?.length > 0) rmSync(file)
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

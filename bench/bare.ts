/**
 * `node bench/bare.ts PORT`: the least that a policy service in Node can be. It looks for the empty line that ends a request
 * and says the same to everyone, so what it takes is Node's, the kernel's and the loader's own.
 *
 * It does not look for a request cut in two chunks at the empty line itself; the loader sends each in one write.
 */
import { createServer } from 'node:net'

const ANSWER = 'action=DUNNO\n\n'

createServer({ noDelay: true }, (socket) => {
  socket.on('data', (chunk) => {
    if (chunk.toString('latin1').endsWith('\n\n')) socket.write(ANSWER, 'latin1')
  })
  // The loader hangs up as it likes, and so may whoever looks whether the port is open.
  socket.on('error', () => socket.destroy())
}).listen(Number(process.argv[2]), '127.0.0.1')

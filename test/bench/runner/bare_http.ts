/**
 * A process that answers every request head with the same bytes and looks no further: what Node and its sockets allow.
 * Prints its URL. Argument: size of the body.
 */

import { createServer, type AddressInfo } from 'node:net';

const size = Number(process.argv[2]);
const answer = Buffer.concat([
  Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`),
  Buffer.alloc(size, 'x'),
]);

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', () => socket.write(answer));
  socket.on('error', () => socket.destroy());
});

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

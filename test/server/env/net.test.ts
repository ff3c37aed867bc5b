/** Guards what the takeover of sockets takes from Node without a promise: a new Node must pass before it is pinned. */
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { realNet } from '../../../server/env/net.ts';
import type { Socket } from '../../../server/env/socket.ts';

const options = { host: '127.0.0.1', port: 0, backlog: 16, acceptFailed: () => undefined };

test('with this Node bytes are read straight into the memory of their owner', async () => {
  const listener = await realNet.listen(options, (socket) => {
    socket.destroy();
    return { buffer: () => new Uint8Array(1), received() {}, flushed() {}, ended() {}, closed() {} };
  });
  listener.stopAccepting();
  expect(listener.socketRead).toBe('onread');
});

test.each(['onread', 'data'] as const)('%s: no byte goes to memory that was given back', async (socketRead) => {
  const before = Buffer.alloc(8, '.');
  const after = Buffer.alloc(64, '.');
  const done = Promise.withResolvers<void>();
  let owned: Socket | undefined;
  let current = before;
  let size = 0;
  const listener = await realNet.listen({ ...options, socketRead }, (socket) => {
    owned = socket;
    return {
      buffer: () => current.subarray(size),
      received(_, count) {
        size += count;
        if (current === before) socket.writeOne(Buffer.from('!'));
        else if (size === 4) socket.destroy();
      },
      flushed() {},
      ended: () => socket.destroy(),
      closed: () => done.resolve(),
    };
  });
  const client = connect(listener.port, '127.0.0.1', () => client.write('abcd'));
  client.on('error', () => undefined);
  client.once('data', () => {
    // From here on the rest of `before` belongs to somebody else.
    current = after;
    size = 0;
    owned?.abandonBuffer();
    client.write('efgh');
  });
  await done.promise;
  listener.stopAccepting();
  client.destroy();
  expect([before.toString(), after.toString('latin1', 0, 5)]).toEqual(['abcd....', 'efgh.']);
});

test('a port that is taken is an error, not an exception from nowhere', async () => {
  const events = { buffer: () => new Uint8Array(1), received() {}, flushed() {}, ended() {}, closed() {} };
  const first = await realNet.listen(options, () => events);
  const second = realNet.listen({ ...options, port: first.port }, () => events);
  await expect(second).rejects.toThrow('EADDRINUSE');
  first.stopAccepting();
});

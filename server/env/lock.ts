/**
 * The lock of a data directory: a bound Unix socket inside it. The kernel lets go of it with its owner, so that a lock
 * is never judged by its age, and a stopped owner still holds it.
 *
 * A crash leaves the socket's file behind, which nobody answers; it is removed after a refused connection. Two starters
 * that both find such a file are kept apart by a second socket in the abstract name space, named after the directory.
 */
import { closeSync, constants, openSync, statSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { FsError } from './env.ts';

function bind(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(new FsError(error.code ?? 'EUNKNOWN', path, 'bind'));
    });
    server.listen(path, () => resolve(server.unref()));
  });
}

/**
 * Whether a process listens there. Only a refused connection says no: one that is stopped may have a full backlog. Who
 * may not ask learns nothing.
 */
function isHeld(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'EACCES') reject(new FsError(code, path, 'connect to'));
      else resolve(code !== 'ECONNREFUSED');
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Takes the lock or rejects with an `FsError` of code `ELOCKED`. */
export async function lockDirectory(directory: string): Promise<{ release(): Promise<void> }> {
  const { dev, ino } = statSync(directory);
  const starter = await bind(`\0transfer-queue:${dev}:${ino}`);
  if (starter === null) throw new FsError('ELOCKED', directory, 'lock');
  // The path through a descriptor is short, whatever the length of the directory's name; socket paths end at 107 bytes.
  const fd = openSync(directory, constants.O_RDONLY);
  const path = `/proc/self/fd/${fd}/lock.sock`;
  try {
    let server = await bind(path);
    if (server === null && !(await isHeld(path))) {
      unlinkSync(path);
      server = await bind(path);
    }
    if (server === null) throw new FsError('ELOCKED', directory, 'lock');
    const held = server;
    return {
      release: async () => {
        await closed(held);
        await closed(starter);
        closeSync(fd);
      },
    };
  } catch (error) {
    closeSync(fd);
    await closed(starter);
    throw error;
  }
}

/** Planted bug: a failed sync counts as done. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const sync = fs.fdatasync.bind(fs);
fs.fdatasync = ((fd: number, done: (error: Error | null) => void) =>
  sync(fd, () => done(null))) as unknown as typeof fs.fdatasync;
syncBuiltinESMExports();

/** Planted bug: a failed sync is tried again, although the system may have dropped the pages. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const sync = fs.fdatasync.bind(fs);
fs.fdatasync = ((fd: number, done: (error: Error | null) => void) =>
  sync(fd, (error) => (error ? sync(fd, done) : done(null)))) as unknown as typeof fs.fdatasync;
syncBuiltinESMExports();

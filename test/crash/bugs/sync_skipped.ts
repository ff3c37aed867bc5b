/** Planted bug: nothing is ever synced. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

fs.fdatasync = ((_: number, done: (error: Error | null) => void) =>
  setImmediate(() => done(null))) as unknown as typeof fs.fdatasync;
syncBuiltinESMExports();

/** Planted bug: events are acknowledged when they are appended, and disks are slow. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Journal } from '../../../server/journal/journal.ts';

const append = Journal.prototype.append;
Journal.prototype.append = function (event, level) {
  const { lsn } = append.call(this, event, level);
  return { lsn, commit: Promise.resolve({ lsn, level }) };
};
Journal.prototype.settled = () => null;

const write = fs.write.bind(fs) as (...given: unknown[]) => void;
fs.write = ((...given: unknown[]) => void setTimeout(() => write(...given), 30)) as unknown as typeof fs.write;
syncBuiltinESMExports();

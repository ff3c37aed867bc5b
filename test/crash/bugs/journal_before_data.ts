/** Planted bug: the journal names an extent before its bytes are written. */
import { Segments } from '../../../server/segment/segments.ts';

const write = Segments.prototype.write;
Segments.prototype.write = function (reservation, from, to) {
  setTimeout(() => void write.call(this, reservation, from, to).catch(() => undefined), 40);
  return Promise.resolve();
};

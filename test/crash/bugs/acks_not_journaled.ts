/** Planted bug: acks change the state in memory and never reach the journal. */
import { Journal } from '../../../server/journal/journal.ts';

const append = Journal.prototype.append;
Journal.prototype.append = function (event, level) {
  return append.call(this, event, event.type === 'ack' ? 'memory' : level);
};

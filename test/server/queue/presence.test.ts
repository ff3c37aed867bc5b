/** Which rows are there, as the index is told: by place, and each once. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { machine } from '../../../server/queue/machine.ts';
import { knownRows, presentRows } from '../../../server/queue/presence.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

const ids = fc.array(fc.nat(30), { maxLength: 20 });

test('says what a set of rows says, through puts and deletes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), ids), { maxLength: 12 }), ids, (changes, asked) => {
      const queue = machine.create({ partition: 1, groupSize: 1, bitmaps: createPlainBitmaps() });
      const rows = new Set<number>();
      for (const [isPut, list] of changes) {
        const some = Float64Array.from(new Set(list));
        if (isPut) machine.applyInsert(queue, { ids: some, fields: [0] });
        else machine.applyDelete(queue, some);
        for (const id of some) {
          if (isPut) rows.add(id);
          else rows.delete(id);
        }
      }
      const known = knownRows(queue, Float64Array.from(asked));
      const there = asked.map((id) => (rows.has(id) ? 1 : 0));
      expect(known === null ? asked.map(() => 0) : [...known]).toEqual(there);
      expect(known === null).toBe(!there.includes(1));
      expect([...presentRows(queue, Float64Array.from(asked))]).toEqual([
        ...new Set(asked.filter((id) => rows.has(id))),
      ]);
    }),
    { seed: 11, numRuns: 300 },
  );
});

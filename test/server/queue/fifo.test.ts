/** Numbers leave in the order in which they came. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fifo } from '../../../server/queue/fifo.ts';

test('is a list that is taken from at its front', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300), { maxLength: 40 }), (runs) => {
      const fifo = new Fifo();
      const model: number[] = [];
      let next = 0;
      for (const [i, length] of runs.entries()) {
        for (let left = length; left > 0; left--) {
          if (i % 2 === 1) {
            expect(fifo.shift()).toBe(model.shift());
          } else {
            fifo.push(next);
            model.push(next++);
          }
        }
        expect(fifo.size).toBe(model.length);
      }
    }),
  );
});

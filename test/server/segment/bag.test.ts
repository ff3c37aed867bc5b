/** A bag holds what a Set would. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bag, NOWHERE } from '../../../server/segment/bag.ts';

test('holds what was added and neither deleted nor taken', () => {
  const step = fc.record({ act: fc.constantFrom('add', 'delete', 'take'), which: fc.nat(19) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const things = Array.from({ length: 20 }, (_, name) => ({ name, at: NOWHERE, other: NOWHERE }));
      const bag = new Bag<'at', (typeof things)[number]>('at');
      const others = new Bag<'other', (typeof things)[number]>('other');
      for (const thing of things) others.add(thing);
      const model = new Set<(typeof things)[number]>();
      for (const { act, which } of steps) {
        const thing = things[which];
        if (act === 'add') {
          bag.add(thing);
          model.add(thing);
        } else if (act === 'delete') {
          expect(bag.delete(thing)).toBe(model.delete(thing));
        } else {
          const taken = bag.take();
          expect(taken === undefined ? model.size === 0 : model.delete(taken)).toBe(true);
        }
        expect(bag.size).toBe(model.size);
        expect(new Set(bag)).toEqual(model);
        for (const one of things) expect(bag.has(one)).toBe(model.has(one));
      }
      expect(others.size).toBe(things.length);
    }),
  );
});

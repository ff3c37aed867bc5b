/** A bag holds what a Set would. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bag, NOWHERE } from '../../../server/segment/bag.ts';

type Thing = { at: number; other: number };

class ByAt extends Bag<Thing> {
  protected placeOf = (thing: Thing): number => thing.at;
  protected setPlace = (thing: Thing, place: number): void => void (thing.at = place);
}

class ByOther extends Bag<Thing> {
  protected placeOf = (thing: Thing): number => thing.other;
  protected setPlace = (thing: Thing, place: number): void => void (thing.other = place);
}

test('holds what was added and neither deleted nor taken', () => {
  const step = fc.record({ act: fc.constantFrom('add', 'delete', 'take'), which: fc.nat(19) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const things = Array.from({ length: 20 }, (_, name) => ({ name, at: NOWHERE, other: NOWHERE }));
      const bag = new ByAt();
      const others = new ByOther();
      for (const thing of things) others.add(thing);
      const model = new Set<Thing>();
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

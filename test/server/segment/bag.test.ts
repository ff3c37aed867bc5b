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

test('makes what is not made yet when it is to be seen or taken, and not before', () => {
  const step = fc.record({ act: fc.constantFrom('run', 'add', 'take', 'some', 'all', 'make'), which: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bag = new ByAt();
      const runs: { count: number; make: () => void }[] = [];
      let size = 0;
      let made = 0;
      const thing = (): Thing => ({ at: NOWHERE, other: NOWHERE });
      for (const { act, which } of steps) {
        const madeBefore = made;
        if (act === 'run') {
          const run = {
            count: which,
            make: () => {
              expect(bag.deleteUnmade(run)).toBe(true);
              runs.splice(runs.indexOf(run), 1);
              for (let i = 0; i < which; i++) bag.add(thing());
              made += which;
            },
          };
          bag.addUnmade(run);
          runs.push(run);
          size += which;
        } else if (act === 'add') {
          bag.add(thing());
          size++;
        } else if (act === 'take') {
          const taken = bag.take();
          expect(taken === undefined).toBe(size === 0);
          if (taken !== undefined) size--;
        } else if (act === 'some') {
          const unmade = runs.length;
          expect(bag.makeSome()).toBe(unmade >= 8);
          expect(runs.length).toBe(Math.max(0, unmade - 8));
        } else if (act === 'all') {
          expect([...bag].length).toBe(size);
          expect(runs).toEqual([]);
        } else {
          runs.at(which % (runs.length + 1))?.make();
        }
        if (act === 'run' || act === 'add') expect(made).toBe(madeBefore);
        expect(bag.size).toBe(size);
      }
    }),
  );
});

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

/** A table by LSN finds what a Map would, and may change while it is read. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LsnTable } from '../../../server/store/lsn_table.ts';

test('finds what was added and not deleted', () => {
  const step = fc.record({ gap: fc.constantFrom(1, 2, 63, 64, 1_000_000), dies: fc.nat(30) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const table = new LsnTable<string>();
      const model = new Map<number, string>();
      let lsn = 0;
      for (const { gap, dies } of steps) {
        lsn += gap;
        table.add(lsn, `of ${lsn}`);
        model.set(lsn, `of ${lsn}`);
        const dead = [...model.keys()].at(-dies);
        if (dies === 0 || dead === undefined) continue;
        table.delete(dead);
        table.delete(dead);
        model.delete(dead);
        expect([table.has(dead), table.get(dead)]).toEqual([false, undefined]);
      }
      for (const [key, thing] of model) expect(table.get(key)).toBe(thing);
      const after = lsn - 70;
      expect([...table.lsnsAfter(0)]).toEqual([...model.keys()]);
      expect([...table.lsnsAfter(after)]).toEqual([...model.keys()].filter((key) => key > after));
      for (const key of model.keys()) table.replace(key, `another of ${key}`);
      for (const key of model.keys()) expect(table.get(key)).toBe(`another of ${key}`);
      expect([table.get(lsn + 1), table.get(lsn + 64)]).toEqual([undefined, undefined]);
    }),
  );
});

test('goes on when things come and go while it is read', () => {
  const table = new LsnTable<number>();
  for (let lsn = 1; lsn <= 500; lsn++) table.add(lsn, lsn);
  const seen: number[] = [];
  for (const lsn of table.lsnsAfter(0)) {
    seen.push(lsn);
    if (lsn <= 500) table.delete(lsn);
    if (lsn === 100) for (let dead = 101; dead <= 400; dead++) table.delete(dead);
    if (lsn === 450) table.add(1_000, 1_000);
  }
  expect(seen).toEqual([
    ...Array.from({ length: 100 }, (_, i) => i + 1),
    ...Array.from({ length: 100 }, (_, i) => i + 401),
    1_000,
  ]);
});

/** An extent holds its batches, whether they are made or not, and its place and hashes, however it keeps them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newSegment } from '../../../server/segment/segment.ts';
import { SharedCellPlaces } from '../../../server/store/cell_places.ts';
import { batchNumber, LiveExtent, type ExtentContent, type Partition } from '../../../server/store/partition.ts';

const segment = newSegment({ id: 3, level: 'disk', capacity: 0, sealed: true });
const partition = {} as Partition;
const cells = new SharedCellPlaces().of([{ field: 2, regions: [64, 4] }]);

function extentOf(given: Partial<ExtentContent> = {}): LiveExtent {
  const place = { segment, offset: 64 };
  const blocks = new Uint8Array(8);
  return new LiveExtent(partition, { key: 7, place, length: 100, blocks, level: 'os', batchCount: 1, ...given });
}

test('the place and the hashes of the blocks come back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 24 }), fc.nat(), (blocks, offset) => {
      const extent = extentOf({ blocks, place: { segment, offset } });
      expect(extent).toMatchObject({ key: 7, level: 'os', place: { segment, offset }, refs: 0 });
      expect([...extent.blocks]).toEqual([...blocks]);
      const other = newSegment({ id: 4, level: 'os', capacity: 0, sealed: true });
      extent.place = { segment: other, offset: 0 };
      expect(extent).toMatchObject({ level: 'os', place: { segment: other, offset: 0 } });
    }),
  );
});

describe('a batch', () => {
  test('of all others is one and the same for all who ask, with what it was added with', () => {
    const content = fc.record({ lsn: fc.constantFrom(5, 7), rows: fc.integer({ min: 1, max: 9 }), live: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(fc.option(content), { minLength: 1, maxLength: 3 }), (contents) => {
        const extent = extentOf({ batchCount: contents.length });
        for (const [place, given] of contents.entries()) {
          if (given !== null) extent.addBatch(place, { ...given, rowsLive: given.live, cells });
        }
        expect(extent.refs).toBe(contents.filter((given) => given !== null).length);
        expect(extent.batches).toHaveLength(contents.length);
        for (const [place, given] of contents.entries()) {
          const batch = extent.batch(place);
          expect(extent.batches[place]).toBe(batch);
          if (given === null) expect(batch).toBeUndefined();
          else {
            const { lsn, rows, live: rowsLive } = given;
            expect(batch).toMatchObject({ extent, place, lsn, rows, rowsLive, cells, number: batchNumber(7, place) });
          }
        }
        expect(extent.batch(contents.length)).toBeUndefined();
      }),
    );
  });

  test('that was removed is not there, whether anyone had asked for it or not', () => {
    for (const isAsked of [true, false]) {
      for (const batchCount of [1, 2]) {
        const extent = extentOf({ batchCount });
        extent.addBatch(0, { lsn: 7, rows: 3, rowsLive: 3, cells });
        if (isAsked) extent.batch(0);
        extent.removeBatch(0);
        expect(extent.refs).toBe(0);
        expect(extent.batch(0)).toBeUndefined();
        expect(extent.batches).toEqual(new Array(batchCount).fill(undefined));
      }
    }
  });
});

describe('places of cells', () => {
  test('are found by field, and known by bits', () => {
    const columns = [
      { field: 40, regions: [64, 4] },
      { field: 1, regions: [128, 8] },
    ];
    const places = new SharedCellPlaces().of(columns);
    expect(places).toMatchObject({ columns, fields: [40, 1], fieldBits: Uint32Array.of(2, 1 << 8) });
    expect(places.regions).toHaveLength(41);
    expect(places.regions.map((_, field) => field).filter((field) => places.regions[field])).toEqual([1, 40]);
    expect(places.regions[40]).toEqual([64, 4]);
  });

  test('are shared by batches that come one after the other and are alike, and by no others', () => {
    const shared = new SharedCellPlaces();
    const first = shared.of([{ field: 0, regions: [64, 4] }]);
    expect(shared.of([{ field: 0, regions: [64, 4] }])).toBe(first);
    for (const other of [[{ field: 0, regions: [64, 8] }], [{ field: 1, regions: [64, 4] }], []]) {
      const places = shared.of(other);
      expect(places).not.toBe(first);
      expect(places.columns).toEqual(other);
    }
  });
});

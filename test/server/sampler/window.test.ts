/** The version window, one case a line; `-` is what was not given. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newlyStale, oldestIn, placeOf, type VersionWindow } from '../../../server/sampler/window.ts';
import { casesOf, runs } from './table.ts';

/** min_version | max_staleness | current version | version of the row | its place */
const table = `
  - | - | - | - | in
  - | - | 7 | 3 | in
  - | 2 | 7 | 5 | in
  - | 2 | 7 | 4 | stale
  - | 2 | 7 | 7 | in
  - | 2 | 7 | 9 | in
  - | 2 | 7 | - | no_version
  - | 2 | 7 | 5.5 | no_version
  - | 0 | 7 | 7 | in
  - | 0 | 7 | 6 | stale
  - | 2 | - | 0 | in
  - | 2 | - | - | no_version
  - | 2 | 0 | -1 | in
  3 | - | - | 3 | in
  3 | - | - | 2 | stale
  3 | - | 99 | 3 | in
  3 | - | - | - | no_version
  6 | 2 | 7 | 5 | stale
  6 | 2 | 7 | 6 | in
  3 | 2 | 7 | 4 | stale
  9 | 2 | 7 | 8 | stale
`;

const given = (cell: string) => (cell === '-' ? undefined : Number(cell));

test.each(casesOf(table))('min %s, staleness %s, current %s: version %s is %s', (...cells) => {
  const [minVersion, maxStaleness, current, version] = cells.map(given);
  expect(placeOf(version, { minVersion, maxStaleness }, current)).toBe(cells[4]);
});

const bound = fc.option(fc.nat({ max: 20 }), { nil: undefined });
const windows: fc.Arbitrary<VersionWindow> = fc.record({ minVersion: bound, maxStaleness: bound });
const versions = fc.option(fc.integer({ min: -2, max: 30 }), { nil: undefined });

test('clearing what goes stale keeps the bits of all rows right, whatever comes in between', () => {
  const steps = fc.array(fc.record({ advance: fc.nat({ max: 4 }), arrive: fc.array(versions, { maxLength: 4 }) }), {
    maxLength: 12,
  });
  const property = fc.property(windows, steps, (window, all) => {
    const rows: (number | undefined)[] = [];
    const isIn: boolean[] = [];
    let current: number | undefined;
    for (const { advance, arrive } of all) {
      for (const version of arrive) {
        rows.push(version);
        isIn.push(placeOf(version, window, current) === 'in');
      }
      const after: number = (current ?? 0) + advance;
      const { from, end } = newlyStale(window, { before: current, after });
      expect(from <= end).toBe(true);
      rows.forEach((version, row) => {
        if (version !== undefined && version >= from && version < end) isIn[row] = false;
      });
      current = after;
      expect(oldestIn(window, current)).toBe(end);
      expect(isIn).toEqual(rows.map((version) => placeOf(version, window, current) === 'in'));
    }
  });
  fc.assert(property, runs);
});

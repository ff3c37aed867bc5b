/** Draws from more rows than a page has, or a sampler looks at, against the plain definition: a sort of all keys. */
import { loadCore } from '@transfer-queue/core/wasm';
import { expect, test } from 'vitest';
import { CANDIDATES_MAX } from '../../../server/queue/draw/draw.ts';
import { machine, type ClaimCommand, type PartitionQueue } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { chanceOf } from '../../vectors/random.ts';

const ROWS = 150_000;
const PUT_ROWS = 10_000;

/** Numbers of rows by their place; NaN: the row has none. */
const shapes: Record<string, (place: number) => number> = {
  random: (place) => chanceOf(5, place) * 100,
  rising: (place) => place,
  falling: (place) => -place,
  equal: () => 3,
  in_few_steps: (place) => place % 10,
  missing_in_half: (place) => (place % 2 === 0 ? NaN : chanceOf(6, place)),
  missing: () => NaN,
};
const names = Object.keys(shapes);

/** Rows come from the highest id to the lowest, so that no order of ids is that of slots. */
const idOf = (place: number): number => 2 * (ROWS - place);

const queue = filledQueue();
const takenPlaces = new Set<number>();

function filledQueue(): PartitionQueue {
  const created = machine.create({
    partition: 1,
    groupSize: 1,
    bitmaps: createBitmaps(loadCore()),
    settings: { numbers: names },
  });
  for (let first = 0; first < ROWS; first += PUT_ROWS) {
    const places = Array.from({ length: PUT_ROWS }, (_, i) => first + i);
    const ids = Float64Array.from(places, idOf);
    machine.applyInsert(created, { ids, fields: [0] });
    const tags = places.map((place) => {
      const numbers = names.map((name) => [name, shapes[name](place)] as const);
      return JSON.stringify(Object.fromEntries(numbers.filter(([, value]) => !Number.isNaN(value))));
    });
    machine.applyTags(created, { ids, tags });
  }
  return created;
}

/** Leases some rows, so that those that are ready do not follow one another. */
function take(count: number): void {
  const places = Array.from({ length: count }, (_, i) => 3 * i + (i % 2));
  for (const place of places) takenPlaces.add(place);
  const ids = Float64Array.from(places, idOf);
  const attempts = new Uint16Array(count).fill(1);
  const event = { type: 'claim', partition: 1, requestId: '', task: 't', claim: 1, epoch: 1, fields: [0] } as const;
  machine.applyClaim(queue, { ...event, ids, attempts, leaseMs: 1_000, autoAck: false }, 0);
}
take(20_000);

function drawn(command: Partial<ClaimCommand>): number[] {
  const base = { task: 't', fields: [0], rowsMin: 1, leaseMs: 1_000, autoAck: false, requestId: '' };
  const decision = machine.decideClaim(queue, { ...base, sampler: 'priority', rowsMax: 64, ...command });
  if (decision.kind !== 'grant') throw new Error(decision.kind);
  return [...decision.ids];
}

const candidates = Array.from({ length: ROWS }, (_, place) => place)
  .filter((place) => !takenPlaces.has(place))
  .slice(0, CANDIDATES_MAX);

function sorted(count: number, keyOf: (place: number) => number): number[] {
  const keys = new Float64Array(ROWS);
  for (const place of candidates) keys[place] = keyOf(place);
  // A stable sort: of equal keys the earlier row comes first.
  return candidates
    .toSorted((a, b) => (keys[a] === keys[b] ? 0 : keys[b] - keys[a]))
    .slice(0, count)
    .map(idOf);
}

test('the candidates are of more than a page', () => {
  expect(candidates).toHaveLength(CANDIDATES_MAX);
  expect(candidates.at(-1)).toBeGreaterThan(65_536);
});

test.each(names)('priorities that are %s', (by) => {
  const keyOf = (place: number): number => (Number.isNaN(shapes[by](place)) ? 0 : shapes[by](place));
  for (const rowsMax of [1, 64, 5_000]) expect(drawn({ by, rowsMax })).toEqual(sorted(rowsMax, keyOf));
});

test.each(names)('weights that are %s', (by) => {
  const keyOf = (place: number, seed: number): number => {
    const weight = shapes[by](place);
    return weight > 0 ? Math.log(chanceOf(seed, idOf(place))) / weight : -Infinity;
  };
  for (const [rowsMax, seed] of [
    [64, 1],
    [5_000, 2 ** 40],
  ]) {
    const expected = sorted(rowsMax, (place) => keyOf(place, seed));
    expect(drawn({ sampler: 'weighted', by, rowsMax, seed })).toEqual(expected);
  }
});

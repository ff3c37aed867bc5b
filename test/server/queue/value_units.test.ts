/** Tags and numbers of rows: frozen bytes, everything back, and bytes that no writer makes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../server/journal/bytes.ts';
import { readNumbers, readTags, writeNumbers, writeTags } from '../../../server/queue/value_units.ts';
import { machine } from '../../../server/queue/machine.ts';
import { VarintWriter } from '../../../server/queue/varints.ts';
import { tagLimits, type Tags } from '../../../server/sampler/merge_tags.ts';
import { dump } from './dump.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';

const out = new VarintWriter();

function written(write: () => boolean): string {
  const isThere = write();
  const hex = Buffer.from(out.take()).toString('hex');
  expect(isThere).toBe(hex !== '');
  return hex;
}

const hexBytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hexOf = (text: string): string => Buffer.from(text).toString('hex');

const a: Tags = { a: 1 };
const b: Tags = { b: [null, 'ä'] };

const tagsVectors: readonly (readonly [readonly (Tags | undefined)[], string])[] = [
  [[undefined, undefined], ''],
  [[a], '0001' + '07' + hexOf('{"a":1}')],
  [
    [undefined, a, a, undefined, undefined, b],
    '0102' + '07' + hexOf('{"a":1}') + '0201' + '11' + hexOf('{"b":[null,"ä"]}'),
  ],
];

describe('tags', () => {
  test.each(tagsVectors)('%j are %s', (tags, hex) => {
    expect(written(() => writeTags(out, tags, 0, tags.length))).toBe(hex);
    const back = new Array<Tags | undefined>(tags.length).fill(undefined);
    for (const run of readTags(hexBytes(hex), 0, tags.length)) back.fill(run.tags, run.from, run.to);
    expect(back).toEqual(tags);
  });

  // A replay may have left out what took parts away.
  test('may be longer than any put can make them, and no deeper', () => {
    const one = (tags: Tags): Tags => {
      writeTags(out, [tags], 0, 1);
      return readTags(out.take(), 0, 1)[0].tags;
    };
    const long = { a: 'x'.repeat(3_000), b: 'x'.repeat(3_000) };
    const many = { a: Object.fromEntries(Array.from({ length: 5_000 }, (_, key) => [`k${key}`, key])) };
    for (const tags of [long, many]) expect(one(tags)).toEqual(tags);
    let deep: Tags = { a: 1 };
    for (let depth = 1; depth <= tagLimits.depthMax; depth += 1) deep = { a: deep };
    expect(() => one(deep)).toThrow(FormatError);
  });

  const bad: Record<string, string> = {
    'a run of no rows': '0000' + '07' + hexOf('{"a":1}'),
    'rows beyond the chunk': '0005' + '07' + hexOf('{"a":1}'),
    'no tags': '0001' + '02' + hexOf('{}'),
    'no object': '0001' + '01' + hexOf('1'),
    'no JSON': '0001' + '01' + hexOf('{'),
    'a tag that is null': '0001' + '0a' + hexOf('{"a":null}'),
    blanks: '0001' + '08' + hexOf('{"a": 1}'),
    'a text that ends early': '0001' + '08' + hexOf('{"a":1}'),
  };
  test.each(Object.entries(bad))('%s is refused', (_, hex) => {
    expect(() => readTags(hexBytes(hex), 0, 4)).toThrow(FormatError);
  });
});

const numbersVectors: readonly (readonly [readonly number[], string])[] = [
  [[NaN, NaN], ''],
  [[0, 0, 0], '0003' + '0000000000000000'],
  [[NaN, 1, 1, NaN, -0.5], '0102' + '000000000000f03f' + '0101' + '000000000000e0bf'],
];

describe('numbers', () => {
  test.each(numbersVectors)('%j are %s', (column, hex) => {
    expect(written(() => writeNumbers(out, Float64Array.from(column), 0, column.length))).toBe(hex);
  });

  test('all come back', () => {
    const value = fc.oneof(fc.constant(NaN), fc.constantFrom(1, 2), fc.double({ noDefaultInfinity: true }));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 50 }), fc.nat(9), (values, from) => {
        const column = new Float64Array(from + values.length).fill(NaN);
        column.set(values, from);
        writeNumbers(out, column, from, column.length);
        const back = new Float64Array(column.length).fill(NaN);
        for (const run of readNumbers(out.take(), from, column.length)) back.fill(run.value, run.from, run.to);
        expect([...back]).toEqual([...column]);
      }),
    );
  });

  const bad: Record<string, string> = {
    'a run of no rows': '0000' + '000000000000f03f',
    'rows beyond the chunk': '0401' + '000000000000f03f',
    'a number that ends early': '0001' + '0000',
    'a row without a number': '0001' + '000000000000f87f',
    'an infinite number': '0001' + '000000000000f07f',
  };
  test.each(Object.entries(bad))('%s is refused', (_, hex) => {
    expect(() => readNumbers(hexBytes(hex), 0, 4)).toThrow(FormatError);
  });
});

describe('units of a page', () => {
  const bitmaps = createPlainBitmaps();
  const options = { partition: 1, groupSize: 1, bitmaps, settings: { numbers: ['reward', 'step'] } };
  const queue = machine.create(options);
  machine.applyInsert(queue, { ids: Float64Array.from({ length: 300 }, (_, id) => id), fields: [0] });
  machine.applyTags(queue, { ids: Float64Array.of(0, 1, 256), tags: ['{"a":1}', '{"a":1}', '{"a":2,"step":7}'] });
  machine.applyDelete(queue, Float64Array.of(299));
  const store = new RecordStore();
  store.saveAll(queue);

  /** Page 0, then kind, index and chunk. */
  const keyOf = (unit: string): string => `030000000000000000${unit}`;
  const tagsHex = (text: string, place = '0001'): string => place + '07' + hexOf(text);

  test('are saved 256 rows of tags and 4,096 of a number at a time', () => {
    const lines = store.lines().filter((line) => /^03.{16}0[67]/.test(line));
    expect(lines).toEqual([
      `${keyOf('06000000')} ${tagsHex('{"a":1}', '0002')}`,
      `${keyOf('06000001')} ${tagsHex('{"a":2}')}`,
      `${keyOf('07000100')} 8002010000000000001c40`,
    ]);
    const loaded = store.load(options);
    expect(dump(loaded)).toEqual(dump(queue));
    expect(loaded.slots.values.bytes).toBe(queue.slots.values.bytes);
    machine.drop(loaded);
  });

  const contradictions: Record<string, readonly [unit: string, value: string]> = {
    'tags of a row that is not there': ['06000001', tagsHex('{"a":1}', '2b01')],
    'tags beyond the runs of the page': ['06000001', tagsHex('{"a":1}', '2c01')],
    'a unit of tags that has none': ['06000000', ''],
    'tags with an index': ['06000100', tagsHex('{"a":1}')],
    'numbers of a row that is not there': ['07000100', 'ab0201' + '0000000000001c40'],
    'a number that is not declared': ['07000200', '0001' + '0000000000001c40'],
    'a unit of numbers that has none': ['07000000', ''],
  };

  test.each(Object.entries(contradictions))('%s: refused', (_, [unit, value]) => {
    const bad = new RecordStore(store.values);
    bad.values.set(keyOf(unit), hexBytes(value));
    const bitsBefore = bitmaps.bitsAlive();
    expect(() => bad.load(options)).toThrow(FormatError);
    expect(bitmaps.bitsAlive()).toBe(bitsBefore);
  });
});

/** Groups, bitmaps and marks: frozen bytes, everything back, and bytes that no writer makes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../server/journal/bytes.ts';
import {
  readBitmap,
  readGroups,
  readMarks,
  writeBitmap,
  writeGroups,
  writeMarks,
} from '../../../server/queue/page_units.ts';
import { VarintWriter } from '../../../server/queue/varints.ts';

const out = new VarintWriter();

function written(write: () => void): string {
  write();
  return Buffer.from(out.take()).toString('hex');
}

const hexBytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

const groupsVectors: readonly (readonly [readonly number[], string])[] = [
  [[0, 0, 0], '0003'],
  [[7], '0e01'],
  [[1, 2, 3, 4, 5], '0205'],
  [[10, 11, 12, 5, 6], '14010202' + '0f010201'],
  [[Number.MAX_SAFE_INTEGER - 1, 0], 'fcffffffffffff1f01' + 'fdffffffffffff1f01'],
];

test.each(groupsVectors)('groups %j are %s', (groups, hex) => {
  expect(written(() => writeGroups(out, Float64Array.from(groups), 0, groups.length))).toBe(hex);
  expect(readGroups(hexBytes(hex), groups.length, Number.MAX_SAFE_INTEGER)).toEqual(groups);
});

const bitmapVectors: readonly (readonly [string, string])[] = [
  ['00000000', '01'],
  ['ffffffff', '010020'],
  ['01000000', '0001'],
  ['03010000', '000301'],
  ['00f00f00', '010c08'],
  ['ff000080', '010008' + '1701'],
  ['55550000', '005555'],
  ['00000055', '0000000055'],
];

test.each(bitmapVectors)('the bitmap %s is %s', (bits, hex) => {
  expect(written(() => writeBitmap(out, hexBytes(bits)))).toBe(hex);
  expect(Buffer.from(readBitmap(hexBytes(hex), 32, 32)).toString('hex')).toBe(bits);
});

const marksVectors: readonly (readonly [readonly (readonly [number, number])[], string])[] = [
  [
    [
      [0, 0],
      [0, 0],
    ],
    '',
  ],
  [
    [
      [5, 0],
      [5, 0],
      [5, 1],
      [0, 0],
      [3, 0],
    ],
    '00020a00' + '00010001' + '01010500',
  ],
  [
    [
      [0, 0],
      [0, 2],
      [0, 2],
    ],
    '01020002',
  ],
];

test.each(marksVectors)('marks %j are %s', (marks, hex) => {
  const holders = Float64Array.from(marks, ([holder]) => holder);
  const returns = Uint16Array.from(marks, ([, count]) => count);
  expect(written(() => writeMarks(out, { holders, returns }))).toBe(hex);
  const found = marks.map(() => [0, 0]);
  for (const run of readMarks(hexBytes(hex), 1, 1 + marks.length)) {
    for (let at = run.from; at < run.to; at += 1) found[at - 1] = [run.holder, run.returns];
  }
  expect(found).toEqual(marks);
});

test('random bitmaps, sparse and dense, come back in no more bytes than they have', () => {
  const runs = fc.array(fc.record({ from: fc.nat(65_535), count: fc.integer({ min: 1, max: 500 }) }), {
    maxLength: 80,
  });
  const property = fc.property(fc.constantFrom(8, 512, 65_536), runs, fc.boolean(), (bits, list, isNegative) => {
    const bytes = new Uint8Array(bits / 8).fill(isNegative ? 0xff : 0);
    for (const { from, count } of list) {
      for (let at = from; at < Math.min(from + count, bits); at += 1) bytes[at >> 3] ^= 1 << (at & 7);
    }
    const value = hexBytes(written(() => writeBitmap(out, bytes)));
    expect(value.length).toBeLessThanOrEqual(bytes.length + 1);
    expect(Buffer.compare(readBitmap(value, bits, bits), bytes)).toBe(0);
  });
  fc.assert(property, { seed: 1, numRuns: 300 });
});

describe('bytes that no writer makes', () => {
  const cases: Record<string, (value: Uint8Array) => unknown> = {
    '0e00 a step without groups': (value) => readGroups(value, 9, 99),
    '0e0a too many groups': (value) => readGroups(value, 9, 99),
    '0301 a group below zero': (value) => readGroups(value, 9, 99),
    'c80101 a group beyond the last': (value) => readGroups(value, 9, 99),
    '0e a step without its repeats': (value) => readGroups(value, 9, 99),
    ' no form': (value) => readBitmap(value, 32, 32),
    '02 another form': (value) => readBitmap(value, 32, 32),
    '0100 half a run': (value) => readBitmap(value, 32, 32),
    '010100 a run of no ones': (value) => readBitmap(value, 32, 32),
    '0100010001 a run of no zeros': (value) => readBitmap(value, 32, 32),
    '010015 bits that are not used': (value) => readBitmap(value, 32, 20),
    '00 no bytes': (value) => readBitmap(value, 32, 32),
    '000100 zeros at the end': (value) => readBitmap(value, 32, 32),
    '000000001f bytes with bits that are not used': (value) => readBitmap(value, 32, 20),
    '000101010101 too many bytes': (value) => readBitmap(value, 32, 32),
    '00000a00 marks of no slots': (value) => readMarks(value, 0, 8),
    '00090a00 marks of too many slots': (value) => readMarks(value, 0, 8),
    '00010000 marks of nothing': (value) => readMarks(value, 0, 8),
    '00010500 held by less than nobody': (value) => readMarks(value, 0, 8),
    '00010a00000 half of something': (value) => readMarks(value, 0, 8),
    '00010a0000010000 one run in two': (value) => readMarks(value, 0, 8),
  };
  test.each(Object.entries(cases))('%s', (text, read) => {
    const [hex] = text.split(' ');
    expect(() => read(hexBytes(hex))).toThrow(FormatError);
  });
});

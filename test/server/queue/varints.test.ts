/** Varints: frozen bytes, every number back, and bytes that no writer makes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../server/journal/bytes.ts';
import { VarintReader, VarintWriter } from '../../../server/queue/varints.ts';

function written(write: (out: VarintWriter) => void): string {
  const out = new VarintWriter();
  write(out);
  return Buffer.from(out.take()).toString('hex');
}

function reader(hex: string): VarintReader {
  return new VarintReader(Buffer.from(hex, 'hex'));
}

const numbers: readonly (readonly [number, string])[] = [
  [0, '00'],
  [1, '01'],
  [127, '7f'],
  [128, '8001'],
  [300, 'ac02'],
  [2 ** 31 - 1, 'ffffffff07'],
  [2 ** 31, '8080808008'],
  [2 ** 32 + 5, '8580808010'],
  [Number.MAX_SAFE_INTEGER, 'ffffffffffffff0f'],
];

const signedNumbers: readonly (readonly [number, string])[] = [
  [0, '00'],
  [1, '02'],
  [-1, '03'],
  [63, '7e'],
  [-63, '7f'],
  [64, '8001'],
  [-64, '8101'],
  [100, 'c801'],
  [Number.MAX_SAFE_INTEGER, 'feffffffffffff1f'],
  [-Number.MAX_SAFE_INTEGER, 'ffffffffffffff1f'],
];

test.each(numbers)('%i is %s', (value, hex) => {
  expect(written((out) => out.number(value))).toBe(hex);
  expect(reader(hex).number()).toBe(value);
});

test.each(signedNumbers)('%i with a sign is %s', (value, hex) => {
  expect(written((out) => out.signed(value))).toBe(hex);
  expect(reader(hex).signed()).toBe(value);
});

const lists: readonly (readonly [readonly number[], string])[] = [
  [[], '00'],
  [[0], '010001'],
  [[5, 6, 7], '030503'],
  [[0, 1, 4, 300, 301], '0500020201a70202'],
];

test.each(lists)('the list %j is %s', (values, hex) => {
  expect(written((out) => out.list(values))).toBe(hex);
  expect([...reader(hex).list(302)]).toEqual(values);
});

test('what was written is read', () => {
  const wide = fc.oneof(fc.maxSafeNat(), fc.nat(300));
  const rising = fc.uniqueArray(wide).map((values) => values.sort((a, b) => a - b));
  const property = fc.property(wide, fc.maxSafeInteger(), fc.string({ unit: 'binary' }), rising, (...values) => {
    const [number, signed, text, list] = values;
    const out = new VarintWriter();
    out.number(number);
    out.signed(signed);
    out.text(text);
    out.list(list);
    const source = new VarintReader(out.take());
    const found = [source.number(), source.signed(), source.text(), [...source.list(2 ** 53)]];
    expect(found).toEqual([number, signed === 0 ? 0 : signed, text, list]);
    source.end();
  });
  fc.assert(property, { seed: 1, numRuns: 300 });
});

test('a writer grows, takes back, and begins anew', () => {
  const out = new VarintWriter();
  out.bytes(new Uint8Array(10_000).fill(7));
  out.cut(2);
  out.u8(1);
  expect(out.length).toBe(3);
  expect([...out.take()]).toEqual([7, 7, 1]);
  expect(out.length).toBe(0);
});

describe('bytes that no writer makes', () => {
  const cases: Record<string, (source: VarintReader) => unknown> = {
    '': (source) => source.u8(),
    '80': (source) => source.number(),
    '8000': (source) => source.number(),
    ffffffffffffff1f: (source) => source.number(),
    ffffffffffffffffff01: (source) => source.number(),
    '01': (source) => source.signed(),
    '8000 ': (source) => source.signed(),
    feffffffffffff3f: (source) => source.signed(),
    '0461': (source) => source.text(),
    '02c328': (source) => source.text(),
    '0100': (source) => source.list(9),
    '010000': (source) => source.list(9),
    '010002': (source) => source.list(9),
    '0200010001': (source) => source.list(9),
    '010901': (source) => source.list(9),
    '02080100': (source) => source.list(9),
    ffffff0f0001: (source) => source.list(2 ** 53 - 1),
    '0000': (source) => (source.u8(), source.end()),
  };
  test.each(Object.entries(cases))('%s', (hex, read) => {
    expect(() => read(reader(hex.trim()))).toThrow(FormatError);
  });
});

/** The puts of a row as bytes: written and read back, bounded, and refused when they make no sense. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import { PutList, writePuts } from '../../../server/index/row_value.ts';
import { VALUE_SIZE_MAX } from '../../../server/tree/api.ts';

type Puts = readonly (readonly [batch: number, ordinal: number])[];

const number = fc.oneof(fc.nat(300), fc.maxSafeNat());
const puts = fc.array(fc.tuple(number, fc.oneof(fc.nat(300), fc.nat(2 ** 32 - 1))), { maxLength: 60 });

function listOf(given: Puts): PutList {
  const list = new PutList(1);
  for (const [batch, ordinal] of given) list.add(batch, ordinal);
  return list;
}

function read(value: Uint8Array, list = new PutList(1)): Puts {
  list.addAll(value);
  return Array.from({ length: list.count }, (_, i) => [list.batches[i], list.ordinals[i]] as const);
}

test('what was written is read, behind what was read before', () => {
  fc.assert(
    fc.property(puts, puts, (first, second) => {
      const list = listOf(first);
      expect(read(writePuts(listOf(second)), list)).toEqual([...first, ...second]);
      list.clear();
      expect(read(writePuts(listOf(second)), list)).toEqual(second);
    }),
  );
});

test('as many puts as a row may have fit into a value of the tree', () => {
  const most = Array.from({ length: limits.putsPerRowMax }, () => [2 ** 53 - 1, 2 ** 32 - 1] as const);
  const value = writePuts(listOf(most));
  expect(value.length).toBeLessThanOrEqual(VALUE_SIZE_MAX);
  expect(read(value)).toEqual(most);
});

test('what is stored stays as it is', () => {
  const stored = listOf([
    [0, 0],
    [1_025, 127],
    [2 ** 40, 128],
  ]);
  const hex = '0000' + '81087f' + '808080808020' + '8001';
  expect(Buffer.from(writePuts(stored)).toString('hex')).toBe(hex);
});

describe('bytes that are no list of puts', () => {
  test('are refused when they are cut short', () => {
    const value = writePuts(listOf([[2 ** 40, 300]]));
    for (let size = 1; size < value.length; size++) {
      expect(() => read(value.subarray(0, size))).toThrow('data_corrupt');
    }
    expect(read(value.subarray(0, 0))).toEqual([]);
  });

  test('are refused when a number has no end', () => {
    expect(() => read(new Uint8Array(64).fill(0x80))).toThrow('data_corrupt');
  });

  test('are read or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          for (const [batch] of read(bytes)) expect(Number.isFinite(batch)).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'data_corrupt' });
        }
      }),
    );
  });
});

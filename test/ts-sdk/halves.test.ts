import { describe, expect, it } from 'vitest';
import { bfloat16Bits, bfloat16Number, float16Bits, float16Number } from '../../ts-sdk/halves.ts';

describe('float16', () => {
  it('has the published bits of known numbers', () => {
    const known: [number, number][] = [
      [0, 0x0000],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2, 0xc000],
      [65_504, 0x7bff],
      [65_519.99, 0x7bff],
      [65_520, 0x7c00],
      [2 ** -14, 0x0400],
      [2 ** -24, 0x0001],
      [2 ** -25, 0x0000],
      [0.333251953125, 0x3555],
      [Infinity, 0x7c00],
      [-Infinity, 0xfc00],
    ];
    for (const [value, bits] of known) expect(float16Bits(value), String(value)).toBe(bits);
    expect(float16Bits(NaN) & 0x7c00).toBe(0x7c00);
  });

  it('goes there and back for all bits', () => {
    for (let bits = 0; bits < 2 ** 16; bits++) {
      const value = float16Number(bits);
      if (Number.isNaN(value)) continue;
      expect(float16Bits(value)).toBe(bits);
    }
  });

  it('rounds to the nearest, ties to even', () => {
    expect(float16Bits(1 + 2 ** -11)).toBe(0x3c00);
    expect(float16Bits(1 + 3 * 2 ** -11)).toBe(0x3c02);
    expect(float16Bits(1 + 2 ** -11 + 2 ** -20)).toBe(0x3c01);
    expect(float16Bits(2 - 2 ** -12)).toBe(0x4000);
  });
});

describe('bfloat16', () => {
  it('goes there and back for all bits', () => {
    for (let bits = 0; bits < 2 ** 16; bits++) {
      const value = bfloat16Number(bits);
      if (Number.isNaN(value)) continue;
      expect(bfloat16Bits(value)).toBe(bits);
    }
  });

  it('rounds to the nearest, ties to even', () => {
    expect(bfloat16Bits(1 + 2 ** -8)).toBe(0x3f80);
    expect(bfloat16Bits(1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(bfloat16Bits(3.4e38)).toBe(0x7f80);
    expect(bfloat16Bits(-1)).toBe(0xbf80);
    expect(Number.isNaN(bfloat16Number(bfloat16Bits(NaN)))).toBe(true);
  });
});

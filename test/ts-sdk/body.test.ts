import { describe, expect, it } from 'vitest';
import { loadCore } from '@transfer-queue/core/wasm';
import { arrowBody, bodyReceiver } from '../../ts-sdk/body.ts';
import { thrown } from './support.ts';

const KIB = 1 << 10;
const MIB = 1 << 20;
const pattern = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251);

describe('arrowBody', () => {
  it.each([
    ['nothing', []],
    ['one small piece', [10]],
    ['small pieces', [10, 0, 70, 8, 60 * KIB, 60 * KIB, 60 * KIB, 1]],
    ['large pieces', [3 * MIB + 5, MIB, 64 * KIB]],
    ['small and large pieces', [100, 2 * MIB, 7, 7, 100 * KIB, 9]],
  ])('sends %s whole, with the tail', (_, sizes) => {
    const pieces = sizes.map(pattern);
    const body = arrowBody(pieces, { tail: true });
    const windows = [...body.windows()];
    const sent = Buffer.concat(windows);
    expect(sent.length).toBe(body.size);
    expect(Buffer.compare(sent.subarray(0, -16), Buffer.concat(pieces))).toBe(0);
    const hasher = loadCore().bodyHasher();
    hasher.update(Buffer.concat(pieces));
    expect([...sent.subarray(-16)]).toEqual([...Buffer.from('TQXXH64\n'), ...hasher.finish()]);
    for (const window of windows) expect(window.length).toBeLessThanOrEqual(MIB + 16);
    expect(Buffer.compare(Buffer.concat([...body.windows()]), sent)).toBe(0);
  });

  it('joins what is small into one window, tail included', () => {
    expect([...arrowBody([pattern(8), pattern(8)], { tail: true }).windows()].length).toBe(1);
    expect([...arrowBody([pattern(8), pattern(8)], { tail: false }).windows()].length).toBe(1);
  });
});

describe('bodyReceiver', () => {
  const sent = Buffer.concat([...arrowBody([pattern(5_000)], { tail: true }).windows()]);

  it('takes chunks of any size and cuts the tail off', () => {
    for (const step of [1, 7, 4_999, 5_001, 6_000]) {
      const receiver = bodyReceiver({ size: sent.length, hasTail: true });
      for (let at = 0; at < sent.length; at += step) receiver.take(sent.subarray(at, at + step));
      expect(Buffer.compare(receiver.finish(), pattern(5_000))).toBe(0);
    }
  });

  it('hands nothing on that is short, long, changed or without its tail', () => {
    const receive = (bytes: Uint8Array, size = sent.length): Uint8Array => {
      const receiver = bodyReceiver({ size, hasTail: true });
      receiver.take(bytes);
      return receiver.finish();
    };
    expect(thrown(() => receive(sent.subarray(0, -1))).code).toBe('connection_failed');
    expect(thrown(() => receive(Buffer.concat([sent, Buffer.of(0)]))).code).toBe('answer_invalid');
    expect(thrown(() => bodyReceiver({ size: 15, hasTail: true })).code).toBe('answer_invalid');
    for (const [at, code] of [
      [0, 'checksum_mismatch'],
      [4_999, 'checksum_mismatch'],
      [5_000, 'answer_invalid'],
      [5_015, 'checksum_mismatch'],
    ] as const) {
      const changed = Buffer.from(sent);
      changed[at] ^= 1;
      expect(thrown(() => receive(changed)).code).toBe(code);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { isUtf8 } from '../../../core/arrow/index.ts';
import { isUtf8Portable } from '../../../core/arrow/utf8.ts';
import { seeded } from './fixtures.ts';

function decodes(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

describe('utf8', () => {
  it('agrees with TextDecoder on every pair of bytes after every kind of start', () => {
    const starts = [[], [0x61], [0xe0], [0xed], [0xef], [0xf0], [0xf0, 0x9f], [0xf4], [0xf4, 0x8f], [0xc3, 0xa9]];
    for (const start of starts) {
      for (let pair = 0; pair < 1 << 16; pair++) {
        const bytes = Uint8Array.from([...start, pair >> 8, pair & 0xff]);
        const answer = isUtf8Portable(bytes);
        if (answer !== isUtf8(bytes) || (pair % 7 === 0 && answer !== decodes(bytes))) {
          expect([...bytes], 'answers differ').toBeNull();
        }
      }
    }
  });

  it('agrees with the host on damaged text', () => {
    const random = seeded(17);
    const text = Buffer.from('naïve 漢字 𝄞 clef, plain words; '.repeat(4));
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from(text.subarray(random(8), text.length - random(8)));
      bytes[random(bytes.length)] = random(256);
      expect(isUtf8Portable(bytes)).toBe(isUtf8(bytes));
    }
  });
});

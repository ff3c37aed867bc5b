/** Claim tokens: ours are read, and nothing else is. */
import { describe, expect, test } from 'vitest';
import { claimNumber, ClaimTokens } from '../../../server/engine/tokens.ts';

const tokens = new ClaimTokens(Buffer.alloc(32, 7));

describe('tokens', () => {
  test('name their claim', () => {
    const ends = [1, 2 ** 32 - 1].flatMap((partition) =>
      [1, 2 ** 32 + 1, 2 ** 53 - 1].map((claim) => ({ partition, claim })),
    );
    for (const ref of ends) expect(tokens.read(tokens.make(ref))).toEqual(ref);
  });

  test('name it also to the next run, and when many were made since', () => {
    const first = { partition: 1, claim: claimNumber(1, 1) };
    const token = tokens.make(first);
    for (let counter = 2; counter < 5_000; counter++) tokens.make({ partition: 1, claim: claimNumber(1, counter) });
    expect(tokens.read(token)).toEqual(first);
    expect(new ClaimTokens(Buffer.alloc(32, 7)).read(token)).toEqual(first);
    expect(new ClaimTokens(Buffer.alloc(32, 8)).read(token)).toBeNull();
  });

  test('have the form that was given to clients before', () => {
    expect(tokens.make({ partition: 3, claim: claimNumber(2, 5) })).toBe('3-8589934597-7d625dc2a6a23604');
  });

  test('cannot be made up: no other character, length or number passes', () => {
    const token = tokens.make({ partition: 12, claim: claimNumber(3, 4) });
    for (let at = 0; at < token.length; at++) {
      for (const other of '0123456789abcdef-') {
        if (other !== token[at]) expect(tokens.read(token.slice(0, at) + other + token.slice(at + 1))).toBeNull();
      }
      expect(tokens.read(token.slice(0, at))).toBeNull();
    }
    const mac = token.slice(-16);
    for (const made of [
      `012-1-${mac}`,
      `${token} `,
      token.toUpperCase(),
      `13-${token.slice(3)}`,
      '',
      '--',
      `${'9'.repeat(99)}-1-${mac}`,
    ]) {
      expect(tokens.read(made)).toBeNull();
    }
  });

  test('of another directory are not ours', () => {
    const others = new ClaimTokens(Buffer.alloc(32, 8));
    expect(others.read(tokens.make({ partition: 1, claim: 1 }))).toBeNull();
  });

  test('numbers of claims of different runs never meet, and stay safe integers for two million starts', () => {
    expect(claimNumber(1, 2 ** 32 - 1)).toBeLessThan(claimNumber(2, 0));
    expect(Number.isSafeInteger(claimNumber(2 ** 21 - 1, 2 ** 32 - 1))).toBe(true);
  });
});

/**
 * Fuzz of the HTTP layer against node:http: what we take, it takes too, and reads the same in it. SEED=n and RUNS=n
 * choose other mutants, TQ_LONG=1 a million.
 */
import { describe, expect, test } from 'vitest';
import { httpLimits } from '../../server/http/limits.ts';
import { HeadParser, ParseOutcome } from '../../server/http/parser.ts';
import { isLong, runsOr, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { mutantOf, nodeOracle, randomOf, takenByUs, type Taken } from './http.ts';

const mutantCount = runsOr(isLong ? 1_000_000 : 20_000);
const seed = seedOr(1);
const oracle = nodeOracle();

interface Difference {
  readonly bytes: string;
  readonly ours: Taken;
  readonly nodes: Taken;
}

interface Outcome {
  readonly takenCount: number;
  readonly refusedCount: number;
  readonly difference: Difference | undefined;
}

/** Stops at the first difference. */
async function compare(parser: HeadParser, count: number): Promise<Outcome> {
  const random = randomOf(seed);
  let takenCount = 0;
  for (let i = 0; i < count; i++) {
    const mutant = mutantOf(random);
    const { taken, size } = takenByUs(mutant, parser);
    if (taken.length === 0) continue;
    takenCount++;
    const bytes = mutant.subarray(0, size);
    const nodes = await oracle(bytes, taken.length);
    if (taken.length !== nodes.length || taken.some((text, index) => text !== nodes[index])) {
      const difference = { bytes: bytes.toString('latin1'), ours: taken, nodes };
      return { takenCount, refusedCount: i + 1 - takenCount, difference };
    }
  }
  return { takenCount, refusedCount: count - takenCount, difference: undefined };
}

test('we never take what node:http refuses or reads otherwise', { timeout: TIMEOUT_MS }, async () => {
  const { takenCount, refusedCount, difference } = await compare(new HeadParser(httpLimits), mutantCount);
  expect({ seed, difference }).toEqual({ seed, difference: undefined });
  // A fuzz in which nearly everything is taken, or nothing, proves nothing.
  expect(takenCount).toBeGreaterThan(mutantCount / 5);
  expect(refusedCount).toBeGreaterThan(mutantCount / 5);
});

test('what we take does not depend on the pieces in which it comes', () => {
  const random = randomOf(seed + 1);
  const parser = new HeadParser(httpLimits);
  for (let i = 0; i < Math.min(mutantCount, 20_000) / 10; i++) {
    const mutant = mutantOf(random);
    const readSize = 1 + Math.floor(random() * 40);
    expect([seed, readSize, takenByUs(mutant, parser, readSize)]).toEqual([seed, readSize, takenByUs(mutant, parser)]);
  }
});

/** A parser with a planted bug: it repairs a head before it parses it. */
class RepairingParser extends HeadParser {
  readonly #repair: (head: string) => string;

  constructor(repair: (head: string) => string) {
    super(httpLimits);
    this.#repair = repair;
  }

  override parse(bytes: Buffer, start: number, end: number): number {
    const [head] = /^[^]*?\n\r?\n/.exec(bytes.toString('latin1', start, end)) ?? [];
    if (head === undefined) return super.parse(bytes, start, end);
    const repaired = Buffer.from(this.#repair(head), 'latin1');
    const outcome = super.parse(repaired, 0, repaired.length);
    return outcome === ParseOutcome.refused || outcome === ParseOutcome.incomplete ? outcome : head.length;
  }
}

describe('the fuzz finds planted bugs', () => {
  test.each<[string, (head: string) => string]>([
    [
      'a second Content-Length is ignored',
      (head) => head.replace(/(\r\ncontent-length:[^]*?)\r\ncontent-length:[^\r]*/i, '$1'),
    ],
    ['Transfer-Encoding is ignored', (head) => head.replace(/\r\ntransfer-encoding:[^\r]*/i, '')],
    ['a space before the colon is ignored', (head) => head.replace(/ +:/g, ':')],
    ['a bare LF ends a line', (head) => head.replace(/\r?\n/g, '\r\n')],
    ['lengths are read as far as they are digits', (head) => head.replace(/(\r\ncontent-length: *\d+)[^\r\n]*/i, '$1')],
    ['control characters are dropped', (head) => head.replace(/[^\P{Cc}\r\n]/gu, '')],
  ])('%s', async (_, repair) => {
    expect((await compare(new RepairingParser(repair), 20_000)).difference).toBeDefined();
  });

  test('and a parser that repairs nothing passes', async () => {
    expect((await compare(new RepairingParser((head) => head), 2_000)).difference).toBeUndefined();
  });
});

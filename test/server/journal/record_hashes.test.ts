/** Records are told from other bytes, however many stand in a window and wherever it is asked first. */
import { describe, expect, test } from 'vitest';
import { loadCore } from '../../../core/wasm.ts';
import { recordSize, RECORD_HEADER_SIZE, sealRecord } from '../../../server/journal/format.ts';
import { RecordHashes } from '../../../server/journal/record_hashes.ts';
import { seededRandom } from '../../support/sim_env.ts';

const core = loadCore();

function recordOf(lsn: number, payloadSize: number): Buffer {
  const record = Buffer.alloc(recordSize(payloadSize), lsn);
  sealRecord(core, record, { payloadSize, lsn, timestamp: lsn, type: 1, level: 'os', epoch: 1, watermark: 0 });
  return record;
}

/** Short records, and some that are longer than a window. */
function journalOf(sizes: readonly number[]): { bytes: Buffer; starts: number[] } {
  const records = sizes.map((size, i) => recordOf(i + 1, size));
  let end = 0;
  const starts = records.map((record) => (end += record.length) - record.length);
  return { bytes: Buffer.concat(records), starts };
}

const random = seededRandom(5);
const sizes = Array.from({ length: 9_000 }, (_, i) => (i % 2_500 === 700 ? 300_000 : Math.floor(random() * 90)));
const { bytes, starts } = journalOf(sizes);

describe('a record', () => {
  test('counts where it begins, and nowhere else', () => {
    const hashes = new RecordHashes(core, bytes);
    for (const [i, at] of starts.entries()) {
      if (i % 500 === 3) expect([hashes.isRight(at + 8), hashes.isRight(at - 8)]).toEqual([false, false]);
      expect(hashes.isRight(at)).toBe(true);
    }
    expect(hashes.isRight(bytes.length)).toBe(false);
  });

  test('that was accepted does not make its inside count', () => {
    const inner = recordOf(7, 16);
    const outer = Buffer.alloc(recordSize(inner.length));
    inner.copy(outer, RECORD_HEADER_SIZE);
    const header = {
      payloadSize: inner.length,
      lsn: 3,
      timestamp: 3,
      type: 1,
      level: 'os',
      epoch: 1,
      watermark: 0,
    } as const;
    sealRecord(core, outer, header);
    const hashes = new RecordHashes(core, Buffer.concat([outer, inner]));
    expect(hashes.isRight(0)).toBe(true);
    expect(hashes.isRight(16)).toBe(false);
    expect(hashes.isRight(outer.length)).toBe(true);
  });

  test('with one wrong bit is bad, and those around it are good', () => {
    for (const i of [0, 1, 699, 700, 701, 4_000, 8_999]) {
      for (const at of [0, 5, 20, 41, 49, RECORD_HEADER_SIZE]) {
        if (at === RECORD_HEADER_SIZE && sizes[i] === 0) continue;
        const flipped = Buffer.from(bytes);
        flipped[starts[i] + at] ^= 4;
        const hashes = new RecordHashes(core, flipped);
        const around = [i - 1, i, i + 1].filter((one) => one >= 0 && one < starts.length);
        expect(around.map((one) => hashes.isRight(starts[one]))).toEqual(around.map((one) => one !== i));
      }
    }
  });

  test('that is cut short is bad', () => {
    for (const cut of [1, 8, RECORD_HEADER_SIZE]) {
      const short = bytes.subarray(0, starts[30] + recordSize(sizes[30]) - cut);
      const hashes = new RecordHashes(core, short);
      expect([hashes.isRight(starts[29]), hashes.isRight(starts[30])]).toEqual([true, false]);
    }
  });
});

/** A journal file gives the same records while its bytes are on their way as when all are there. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Incoming } from '../../../server/journal/incoming.ts';
import { JournalFile, type JournalRecord, type Progress } from '../../../server/journal/records.ts';
import { append, bytesOf, core, startJournal } from './files.ts';

const PIECE_SIZE = 100;

/** Reads at once, but says so, and shows the bytes, only when told. */
class SlowFile {
  readonly #bytes: Buffer;
  readonly arrivals: (() => void)[] = [];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  pread(into: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve) => {
      this.arrivals.push(() => resolve(this.#bytes.copy(into, 0, position)));
    });
  }
}

async function sample(): Promise<Buffer> {
  const { env, journal } = await startJournal();
  for (let number = 0; number < 12; number++) await append(journal, [number]);
  await journal.close();
  return bytesOf(env.fs);
}

function openAt(incoming: Incoming): { file: JournalFile; progress: Progress } {
  const progress = { lsn: 0, timestamp: 0, watermark: 0, bootId: '', fileNumber: 1, offset: 0 };
  return { file: new JournalFile({ core, incoming, name: 'journal', isLast: true }, progress), progress };
}

async function readAll(bytes: Buffer, order: readonly number[]) {
  const slow = new SlowFile(bytes);
  const incoming = new Incoming(slow, bytes.length, PIECE_SIZE);
  const { file, progress } = openAt(incoming);
  const pieces = order.map((piece) => piece % slow.arrivals.length);
  const all = new Set([...pieces, ...slow.arrivals.keys()]);
  const records: JournalRecord[] = [];
  const reading = (async () => {
    for await (const record of file.records()) records.push(record);
  })();
  for (const piece of all) {
    slow.arrivals[piece]();
    await new Promise(setImmediate);
  }
  await reading;
  expect(incoming.isWhole).toBe(true);
  return { records, finding: file.finding, progress };
}

test('whatever the order in which the pieces come', async () => {
  const bytes = await sample();
  const wanted = await readAll(bytes, []);
  expect(wanted.records.length).toBeGreaterThan(10);
  expect(wanted.finding).toBeNull();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(50)), async (order) => {
      expect(await readAll(bytes, order)).toEqual(wanted);
    }),
    { numRuns: 30 },
  );
});

test('up to a bad record, of which it says what stands behind it', async () => {
  const bytes = await sample();
  bytes[700] ^= 1;
  const wanted = await readAll(bytes, []);
  expect(wanted.finding).toMatchObject({ what: 'record_bad', next: { type: 9 } });
  expect(await readAll(bytes, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])).toEqual(wanted);
});

test('a piece that cannot be read is a failure of whoever waits for it', async () => {
  const bytes = await sample();
  const pread = (into: Uint8Array, position: number): Promise<number> =>
    position === 3 * PIECE_SIZE ? Promise.reject(new Error('EIO')) : Promise.resolve(bytes.copy(into, 0, position));
  const incoming = new Incoming({ pread }, bytes.length, PIECE_SIZE);
  const { file } = openAt(incoming);
  const reading = (async () => {
    let count = 0;
    for await (const _ of file.records()) count++;
    return count;
  })();
  await expect(reading).rejects.toThrow('EIO');
  await incoming.settled();
});

/** Puts that are read as runs are the puts that are read one by one, and so is all that stands between them. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { InsertEvent, JournalEvent } from '../../../server/journal/events.ts';
import { JournalScan } from '../../../server/journal/scan.ts';
import { events as anyEvent } from './events.ts';
import { core, DIR, startJournal } from './files.ts';

interface Read {
  readonly event: JournalEvent;
  readonly lsn: number;
  readonly level: AckLevel;
}

const id = fc.oneof(fc.nat(100), fc.nat(Number.MAX_SAFE_INTEGER));
const column = fc.record({ field: fc.nat(1), regions: fc.constantFrom([0, 8], [0, 8, 8, 4], []) });

/** Plain, but for what some have more, with columns that few others have. */
const put: fc.Arbitrary<InsertEvent> = fc.record(
  {
    type: fc.constant('insert' as const),
    partition: fc.integer({ min: 1, max: 2 }),
    requestId: fc.constantFrom('', '', 'request', 'été'),
    extent: fc.record({
      segment: fc.integer({ min: 1, max: 2 }),
      offset: fc.nat(Number.MAX_SAFE_INTEGER),
      length: fc.nat(1 << 20),
      blocks: fc.oneof(
        { weight: 9, arbitrary: fc.uint8Array({ minLength: 8, maxLength: 8 }) },
        fc.constant(new Uint8Array(16)),
      ),
    }),
    batches: fc
      .array(fc.record({ ids: fc.array(id, { maxLength: 4 }), columns: fc.array(column, { maxLength: 2 }) }), {
        minLength: 1,
        maxLength: 1,
      })
      .map((all) => all.map(({ ids, columns }) => ({ rows: ids.length, ids: Float64Array.from(ids), columns }))),
    ackClaim: fc.constantFrom(0, 0, 0, 0, 7),
    tags: fc.constantFrom([''], ['{}', '']),
  },
  { requiredKeys: ['type', 'partition', 'requestId', 'extent', 'batches', 'ackClaim'] },
);
/** Puts of one client, which look alike. */
const alike = fc
  .tuple(put, fc.array(fc.tuple(id, fc.nat(1e6)), { maxLength: 150, size: 'max' }))
  .map(([{ partition, requestId, extent, batches }, all]) =>
    all.map(([row, offset]): InsertEvent => {
      const put = { type: 'insert', partition, requestId, ackClaim: 0 } as const;
      const own = { ...extent, blocks: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, offset % 256), offset };
      return { ...put, extent: own, batches: [{ ...batches[0], rows: 1, ids: Float64Array.of(row) }] };
    }),
  );
const one = fc
  .oneof(
    put,
    anyEvent.filter(({ type }) => type !== 'descriptor'),
  )
  .map((event) => [event]);

async function read(
  fs: Awaited<ReturnType<typeof startJournal>>['env']['fs'],
  env: Awaited<ReturnType<typeof startJournal>>['env'],
  takes: ((partition: number) => boolean) | null,
  pieceSize?: number,
): Promise<{ all: Read[]; inRuns: number; runsMax: number; progress: unknown }> {
  const scan = new JournalScan({ env: { ...env, fs }, core, directory: DIR, pieceSize });
  const all: Read[] = [];
  let inRuns = 0;
  let runsMax = 0;
  for await (const file of scan.files()) {
    for (;;) {
      const run = takes === null ? null : file.inserts(takes);
      if (run !== null) {
        expect(takes!(run.partition)).toBe(true);
        for (const { event, lsn } of run.events()) all.push({ event, lsn, level: run.level });
        expect([...run.ids]).toEqual(run.events().flatMap(({ event }) => [...event.batches[0].ids]));
        inRuns += run.count;
        runsMax = Math.max(runsMax, run.count);
        continue;
      }
      const record = file.next();
      if (record === null) {
        const pending = file.more();
        if (pending === null) break;
        await pending;
        continue;
      }
      all.push({ event: record.event, lsn: record.header.lsn, level: record.header.level });
    }
  }
  expect(scan.finding).toBeNull();
  return { all, inRuns, runsMax, progress: scan.progress };
}

test('a journal says the same in runs and one by one', async () => {
  let inRuns = 0;
  let runsMax = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 2, arbitrary: one }, alike), { maxLength: 12 }),
      fc.constantFrom('os' as const, 'disk' as const),
      fc.integer({ min: 16, max: 2_000 }),
      async (parts, otherLevel, pieceSize) => {
        const { env, journal } = await startJournal();
        const all = parts.flat();
        const levels = all.map((_, i): AckLevel => (i % 40 === 39 ? otherLevel : 'os'));
        await Promise.all(all.map((event, i) => journal.append(event, levels[i]).commit));
        const alone = await read(env.fs, env, null);
        expect(alone.all.slice(1).map(({ event }) => event)).toEqual(all);
        const together = await read(env.fs, env, () => true);
        expect({ ...together, inRuns: 0, runsMax: 0 }).toEqual({ ...alone, inRuns: 0, runsMax: 0 });
        const some = await read(env.fs, env, (partition) => partition === 1);
        expect(some.all).toEqual(alone.all);
        const inPieces = await read(env.fs, env, () => true, pieceSize);
        expect({ ...inPieces, inRuns: 0, runsMax: 0 }).toEqual({ ...alone, inRuns: 0, runsMax: 0 });
        inRuns += together.inRuns;
        runsMax = Math.max(runsMax, together.runsMax);
      },
    ),
    { seed: 11, numRuns: 150 },
  );
  expect(inRuns).toBeGreaterThan(1_000);
  expect(runsMax).toBe(128);
});

/**
 * Power cuts at random places of random lives, and planted bugs that the same lives must find.
 *
 * SEED=n and RUNS=n in the environment choose other lives; a failure names its seed.
 */
import { afterEach, expect, test, vi } from 'vitest';
import { Journal } from '../../../server/journal/journal.ts';
import { Segments } from '../../../server/segment/segments.ts';
import { Store } from '../../../server/store/store.ts';
import { runsOr, seedOr } from '../../support/runs.ts';
import { live } from './power_cuts.ts';

const seedFirst = seedOr(1);
const runs = runsOr(60);

afterEach(() => vi.restoreAllMocks());

async function firstFailure(seeds: number): Promise<string | null> {
  for (let seed = seedFirst; seed < seedFirst + seeds; seed++) {
    try {
      await live(seed);
    } catch (error) {
      return `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`;
    }
  }
  return null;
}

test(`${runs} lives with three power cuts each lose nothing and show nothing foreign`, async () => {
  expect(await firstFailure(runs)).toBeNull();
});

const bugs: Record<string, () => void> = {
  'segments are recycled before the events that killed their extents are durable'() {
    const { drop } = Segments.prototype;
    vi.spyOn(Segments.prototype, 'drop').mockImplementation(function (this: Segments, extent, lsn) {
      drop.call(this, extent, lsn);
      this.reclaim(Infinity).catch(() => undefined);
    });
  },
  'data of `disk` puts is not synced'() {
    vi.spyOn(Segments.prototype, 'sync').mockResolvedValue();
  },
  'the watermark rises without a sync of the data'() {
    vi.spyOn(Segments.prototype, 'syncLiving').mockResolvedValue();
  },
  'puts that were left out are not remembered'() {
    const { append } = Journal.prototype;
    vi.spyOn(Journal.prototype, 'append').mockImplementation(function (this: Journal, event, level) {
      return append.call(this, event.type === 'descriptor' ? { ...event, voided: new Float64Array() } : event, level);
    });
  },
  'bytes above the watermark are not checked'() {
    vi.spyOn(Store.prototype, 'extentsAfter').mockReturnValue([]);
  },
};

test.each(Object.entries(bugs))('finds that %s', async (_, plant) => {
  plant();
  expect(await firstFailure(runs)).toMatch(/^seed/);
});

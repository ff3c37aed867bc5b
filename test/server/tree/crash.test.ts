/**
 * A tree after crashes of the process and of the machine, at every change of its files; and bugs, planted to prove that
 * these tests, or those of model.test.ts, would find them. `TQ_LONG=1` tries more runs.
 */

import { afterEach, describe, expect, test } from 'vitest';
import { Merge } from '../../../core/lsm.ts';
import { isLong, TIMEOUT_MS } from '../../support/runs.ts';
import { SimFs } from '../../support/sim_env.ts';
import { judge, record } from './crashes.ts';
import { History } from './history.ts';

const RUNS = isLong ? 200 : 2;

test(
  'every crash leaves the state of a flush, whole, and none that ended is lost',
  async () => {
    let states = 0;
    for (let seed = 1; seed <= RUNS; seed++) {
      const judged = await judge(await record(7, seed), seed);
      expect(judged.failure, `seed ${seed}`).toBeNull();
      states += judged.states;
    }
    expect(states).toBeGreaterThan(RUNS * 500);
  },
  TIMEOUT_MS,
);

/** Skips syncs of files. */
const unsynced = (path: RegExp) => (fs: SimFs) => {
  const open = fs.open.bind(fs);
  fs.open = async (name, options) => {
    const file = await open(name, options);
    return path.test(name) ? { ...file, datasync: () => Promise.resolve() } : file;
  };
};

/** The manifest is written where it stands. */
function inPlace(fs: SimFs): void {
  const open = fs.open.bind(fs);
  fs.open = (name, options) => open(name.replace('manifest.new', 'manifest'), options);
  fs.rename = () => Promise.resolve();
}

/** What an edit replaced is removed although a power cut may still undo the edit. */
function renameNotSynced(fs: SimFs): void {
  const syncDirectory = fs.syncDirectory.bind(fs);
  fs.syncDirectory = (path) => (fs.trace?.at(-1)?.kind === 'rename' ? Promise.resolve() : syncDirectory(path));
}

const crashBugs: Record<string, (fs: SimFs) => void> = {
  'no directory sync': (fs) => (fs.syncDirectory = () => Promise.resolve()),
  'manifest before the sync of its files': unsynced(/\.sst$/),
  'manifest renamed before it is synced': unsynced(/manifest/),
  'manifest written in place': inPlace,
  'no directory sync after the rename': renameNotSynced,
};

describe('a planted bug is found by crashes:', () => {
  test.each(Object.keys(crashBugs))('%s', async (name) => {
    const { failure } = await judge(await record(6, 1, crashBugs[name]), 1);
    expect(failure).not.toBeNull();
  });
});

const keep = Merge.prototype.keep;
afterEach(() => {
  Merge.prototype.keep = keep;
});

const mergeBugs: Record<string, typeof keep> = {
  'tombstone dropped too early': function (this: Merge, { snapshots }) {
    keep.call(this, { snapshots, bottom: true });
  },
  'version dropped that a snapshot sees': function (this: Merge, { bottom }) {
    keep.call(this, { snapshots: [], bottom });
  },
  'the oldest snapshot forgotten': function (this: Merge, { snapshots, bottom }) {
    keep.call(this, { snapshots: snapshots.slice(1), bottom });
  },
};

describe('a planted bug is found by histories:', () => {
  test.each(Object.keys(mergeBugs))('%s', async (name) => {
    Merge.prototype.keep = mergeBugs[name];
    const found = async () => {
      for (let seed = 0; seed < 20; seed++) {
        const history = new History(new SimFs(), seed, { level0Size: 8 << 10, fileSize: 8 << 10 });
        await history.open();
        await history.run(300);
      }
    };
    await expect(found()).rejects.toThrow();
  });
});

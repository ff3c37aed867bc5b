/**
 * Suite `index`: the LSM tree against LevelDB (`classic-level`) with entries of 16 + 32 bytes. Puts in random and in
 * sorted order, point gets of keys that are there and of others, scans; then what the tree alone can be asked: bytes
 * written and kept for each byte put, bytes of memory for each key, gets that wait for the disk, and restarts.
 *
 * Every value that comes back is compared with the one that was put.
 */

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  check,
  ENTRY_SIZE,
  makeBatch,
  numberOf,
  randomKey,
  scramble,
  sortedKey,
  type KeyOf,
} from './runner/entries.ts';
import { alternate, quantile, timeMs } from './runner/measure.ts';
import { LevelStore, TreeStore, type Sizes, type Store } from './runner/stores.ts';
import type { BenchContext, Measured } from './runner/suite.ts';

const BATCH = 1_000;
const MEMTABLE_SIZE = 32 << 20;
/** All blocks fit. */
const WARM: Sizes = { memtableSize: MEMTABLE_SIZE, cacheSize: 256 << 20 };
const PEER = 'classic-level';

interface Case {
  readonly context: BenchContext;
  readonly count: number;
  readonly rounds: number;
  readonly name: string;
}

export async function run(context: BenchContext): Promise<void> {
  // Timers of the server do not keep a process alive, and compaction waits for them to keep to its rate.
  const alive = setInterval(() => undefined, 1_000);
  await runAll(context);
  clearInterval(alive);
}

async function runAll(context: BenchContext): Promise<void> {
  // First: what the others leave on the heap would be collected in its turns.
  const largest = context.quick ? 1e5 : 1e7;
  await benchUpkeep({ context, count: largest, rounds: 1, name: `${largest.toExponential().replace('+', '')} keys` });
  const counts = context.quick ? [1e5] : [1e5, 1e6];
  for (const count of counts) {
    const one = { context, count, rounds: 5, name: `${count.toExponential().replace('+', '')} keys` };
    await benchPuts(one, 'random', randomKey);
    await benchPuts(one, 'sorted', sortedKey);
    await benchReads(one);
  }
}

async function inDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'tq-bench-'));
  try {
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const perKey = (one: Case, ms: number) => (ms * 1e3) / one.count;
const micros = { unit: 'us/key', better: 'lower', metric: 'time' } as const;

/** Puts all keys, batch by batch; returns the milliseconds that the store took, without the making of batches. */
async function putAll(store: Store, { count }: Case, keyOf: KeyOf, salt = 0): Promise<number> {
  let ms = 0;
  for (let from = 0; from < count; from += BATCH) {
    const batch = makeBatch(keyOf, from, Math.min(count, from + BATCH), salt);
    ms += await timeMs(() => store.put(batch));
  }
  return ms;
}

async function benchPuts(one: Case, order: string, keyOf: KeyOf): Promise<void> {
  const fill = (open: (directory: string) => Promise<Store>) => () =>
    inDirectory(async (directory) => {
      const store = await open(directory);
      const ms = await putAll(store, one, keyOf);
      await store.close();
      return perKey(one, ms);
    });
  const values = await alternate({
    rounds: one.rounds,
    ours: fill((directory) => TreeStore.open(directory, WARM)),
    peer: fill((directory) => LevelStore.open(directory, WARM)),
  });
  one.context.report({ case: `${one.name}: ${order} puts`, ...micros, ...values, peerName: PEER });
}

async function benchReads(one: Case): Promise<void> {
  await inDirectory(async (directory) => {
    const stores = {
      ours: await TreeStore.open(directory, WARM),
      peer: await LevelStore.open(directory, WARM),
    };
    for (const store of Object.values(stores)) {
      await putAll(store, one, randomKey);
      await store.settle();
    }
    const compare = async (what: string, measure: (store: Store, round: number) => Promise<number>) => {
      let round = 0;
      const { ours, peer } = await alternate({
        rounds: one.rounds,
        warmUpRounds: 2,
        ours: () => measure(stores.ours, round),
        peer: () => measure(stores.peer, round++),
      });
      one.context.report({ case: `${one.name}: ${what}`, ...micros, ours, peer, peerName: PEER });
    };
    await compare('cached gets, hit', (store, round) => getSome(store, one, round));
    await compare('cached gets, miss', (store, round) => getNone(store, one, round));
    await compare('scan', (store) => scanAll(store, one));
    await stores.ours.close();
    await stores.peer.close();
  });
}

const GETS = 100_000;

async function getSome(store: Store, { count }: Case, round: number): Promise<number> {
  let ms = 0;
  for (let from = 0; from < GETS; from += BATCH) {
    const numbers = Array.from({ length: BATCH }, (_, i) => scramble(from + i + round * GETS) % count);
    const keys = numbers.map(randomKey);
    let values: Awaited<ReturnType<Store['get']>> = [];
    ms += await timeMs(async () => (values = await store.get(keys)));
    for (const [i, number] of numbers.entries()) check(values[i], number);
  }
  return (ms * 1e3) / GETS;
}

async function getNone(store: Store, { count }: Case, round: number): Promise<number> {
  let ms = 0;
  for (let from = 0; from < GETS; from += BATCH) {
    const keys = Array.from({ length: BATCH }, (_, i) => randomKey(count + from + i + round * GETS));
    let values: Awaited<ReturnType<Store['get']>> = [];
    ms += await timeMs(async () => (values = await store.get(keys)));
    for (const value of values) check(value, null);
  }
  return (ms * 1e3) / GETS;
}

/** Of a round: a scan of a few milliseconds would tell of the moment rather than of the store. */
const SCANNED_MIN = 500_000;

/** Of both stores each key and each value reach `visit` as an array of bytes that stays as it is. */
async function scanAll(store: Store, one: Case): Promise<number> {
  const scans = Math.ceil(SCANNED_MIN / one.count);
  let ms = 0;
  for (let i = 0; i < scans; i++) {
    let last: Uint8Array = Buffer.alloc(0);
    let seen = 0;
    // The order of all keys is checked, and of the values each 64th.
    const visit = (key: Uint8Array, value: Uint8Array): void => {
      if (Buffer.compare(last, key) > 0) throw new Error('a scan is out of order');
      last = key;
      if ((seen++ & 63) === 0) check(value, numberOf(key));
    };
    let count = 0;
    ms += await timeMs(async () => (count = await store.scan(visit)));
    if (count !== one.count) throw new Error(`a scan of ${count} entries`);
  }
  return perKey(one, ms / scans);
}

/** The tree alone: all keys are put, then half of them again, with a cache that holds a part of them. */
async function benchUpkeep(one: Case): Promise<void> {
  const { context, count, name } = one;
  const report = (what: string, measured: Omit<Measured, 'case' | 'better' | 'ours'>, value: number) =>
    context.report({ case: `${name}: ${what}`, better: 'lower', ...measured, ours: [value] });
  // Scaled with the number of keys, so that 1e5 keys make as many levels as 1e7 do.
  const share = count / 1e7;
  const sizes = { memtableSize: MEMTABLE_SIZE * share, cacheSize: (64 << 20) * share, level0Size: (32 << 20) * share };
  const files = { fileSize: Math.max(64 << 10, (8 << 20) * share) };
  await inDirectory(async (directory) => {
    const store = await TreeStore.open(directory, sizes, files);
    await putAll(store, one, randomKey);
    const half = { ...one, count: Math.floor(count / 2) };
    await putAll(store, half, randomKey, 1);
    const turnMs = await longestTurn(() => store.settle());
    report('longest turn of a flush and compactions', { metric: 'CPU time', unit: 'ms' }, turnMs);
    const { flushedSize, compactedSize } = store.tree.stats;
    const putSize = (count + half.count) * ENTRY_SIZE;
    const ratio = { metric: 'ratio', unit: 'x' };
    report('write amplification', ratio, (flushedSize + compactedSize) / putSize);
    report('space amplification', ratio, sizeOf(join(directory, 'tree')) / (count * ENTRY_SIZE));
    await store.close();
    await benchCold(one, directory, { sizes, files, half: half.count, report });
  });
}

/** CPU time of the longest turn of the event loop while `work` goes on: wall time would tell of other processes too. */
async function longestTurn(work: () => Promise<void>): Promise<number> {
  let longest = 0;
  let isOver = false;
  const turn = (before: NodeJS.CpuUsage): void => {
    const { user, system } = process.threadCpuUsage(before);
    longest = Math.max(longest, user + system);
    const after = process.threadCpuUsage();
    if (!isOver) setImmediate(() => turn(after));
  };
  turn(process.threadCpuUsage());
  await work();
  isOver = true;
  return longest / 1e3;
}

async function benchCold(
  { count }: Case,
  directory: string,
  {
    sizes,
    files,
    half,
    report,
  }: {
    sizes: Sizes;
    files: { fileSize: number };
    half: number;
    report: (what: string, measured: Omit<Measured, 'case' | 'better' | 'ours'>, value: number) => void;
  },
): Promise<void> {
  const open = (at: string) => TreeStore.open(at, sizes, files);
  const emptySize = await inDirectory(async (empty) => {
    const store = await open(empty);
    const size = residentSize(store);
    await store.close();
    return size;
  });
  let store!: TreeStore;
  report('restart', { metric: 'time', unit: 'ms' }, await timeMs(async () => (store = await open(directory))));
  const times: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    const number = scramble(i) % count;
    let values: Awaited<ReturnType<Store['get']>> = [];
    times.push(await timeMs(async () => (values = await store.get([randomKey(number)]))));
    check(values[0], number, number < half ? 1 : 0);
  }
  report('gets one by one, cache of 64 MiB, p50', { metric: 'latency', unit: 'ms' }, quantile(times, 0.5));
  report('gets one by one, cache of 64 MiB, p99', { metric: 'latency', unit: 'ms' }, quantile(times, 0.99));
  const size = Math.max(0, residentSize(store) - emptySize);
  report('memory beyond the cache', { metric: 'memory', unit: 'B/key' }, size / count);
  await store.close();
}

/** Bytes of the process that grow with the tree, without cached blocks. */
function residentSize({ tree }: TreeStore): number {
  globalThis.gc?.();
  const { heapUsed } = process.memoryUsage();
  const { cache, memorySize } = tree.stats;
  return heapUsed + memorySize - cache.data.size - cache.index.size - cache.filter.size;
}

function sizeOf(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

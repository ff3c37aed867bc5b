/**
 * The read cache of cold bytes: verified before they are shown, kept while they are pinned, read again when they
 * failed.
 */
import { describe, expect, test } from 'vitest';
import { CHECKSUM_BLOCK_SIZE } from '@transfer-queue/core/protocol';
import { loadCore } from '@transfer-queue/core/wasm';
import { Arena } from '../../../server/tier/arena.ts';
import { BlockCache, type BlockSource } from '../../../server/tier/block_cache.ts';
import { seededRandom, settle, SimClock } from '../../support/sim_env.ts';

const core = loadCore();
const SLOTS = 3;
/** Two blocks and a bit. */
const LENGTH = 2 * CHECKSUM_BLOCK_SIZE + 1_000;

function cacheOf(slots = SLOTS): BlockCache {
  const size = slots * CHECKSUM_BLOCK_SIZE;
  const arena = new Arena({ clock: new SimClock(), memorySize: 2 * size + 4 * 4_096, frameSize: 4_096 });
  return new BlockCache({ arena, core, size });
}

interface Disk {
  readonly bytes: Buffer;
  reads: number;
  failing: boolean;
  /** Waited for before a read ends. */
  gate: Promise<void>;
}

function sourceOf(key: number, offset = 64): { source: BlockSource; disk: Disk } {
  const random = seededRandom(key);
  const body = Buffer.from(Uint8Array.from({ length: LENGTH }, () => Math.floor(random() * 256)));
  const hasher = core.bodyHasher();
  hasher.update(body);
  hasher.finish();
  const disk = {
    bytes: Buffer.concat([Buffer.alloc(offset), body]),
    reads: 0,
    failing: false,
    gate: Promise.resolve(),
  };
  const read = async (into: Uint8Array, position: number): Promise<number> => {
    disk.reads++;
    await disk.gate;
    if (disk.failing) throw new Error('EIO');
    const found = disk.bytes.subarray(position, position + into.length);
    into.set(found);
    return found.length;
  };
  const blocks = Buffer.from(hasher.blocks);
  return { source: { key, offset, length: LENGTH, blocks, segmentId: 7, read }, disk };
}

async function bytesOf(cache: BlockCache, source: BlockSource, block: number): Promise<Buffer> {
  const slot = cache.take(source, block)!;
  try {
    await slot.loaded;
    const size = Math.min(CHECKSUM_BLOCK_SIZE, source.length - block * CHECKSUM_BLOCK_SIZE);
    return Buffer.from(slot.memory.subarray(0, size));
  } finally {
    cache.unpin(slot);
  }
}

function blockOf(disk: Disk, block: number): Buffer {
  const from = 64 + block * CHECKSUM_BLOCK_SIZE;
  return disk.bytes.subarray(from, Math.min(from + CHECKSUM_BLOCK_SIZE, 64 + LENGTH));
}

describe('blocks', () => {
  test('are read and verified once, the last and shorter one too', async () => {
    const cache = cacheOf();
    const { source, disk } = sourceOf(1);
    for (const block of [0, 1, 2, 0, 1, 2]) expect(await bytesOf(cache, source, block)).toEqual(blockOf(disk, block));
    expect([disk.reads, cache.hits, cache.misses]).toEqual([3, 3, 3]);
  });

  test('one that is asked for while it loads is loaded once, and shown to nobody before it is verified', async () => {
    const cache = cacheOf();
    const { source, disk } = sourceOf(2);
    const { promise, resolve } = Promise.withResolvers<void>();
    disk.gate = promise;
    let shown = 0;
    const readers = Array.from({ length: 5 }, () => bytesOf(cache, source, 1).then(() => shown++));
    await settle();
    expect([shown, disk.reads]).toEqual([0, 1]);
    resolve();
    await Promise.all(readers);
    expect(shown).toBe(5);
  });

  test('the least recently used one makes room', async () => {
    const cache = cacheOf();
    const { source, disk } = sourceOf(3);
    for (const block of [0, 1, 2, 0]) await bytesOf(cache, source, block);
    const other = sourceOf(4);
    await bytesOf(cache, other.source, 0);
    await bytesOf(cache, source, 0);
    expect(disk.reads).toBe(3);
    await bytesOf(cache, source, 1);
    expect(disk.reads).toBe(4);
  });
});

describe('damage', () => {
  test('a flipped byte is an error for each who waits, and is never served', async () => {
    const cache = cacheOf();
    const { source, disk } = sourceOf(5);
    disk.bytes[64 + CHECKSUM_BLOCK_SIZE + 5] ^= 4;
    const expected = {
      code: 'data_corrupt',
      details: { segment: 7, offset: 64 + CHECKSUM_BLOCK_SIZE, length: CHECKSUM_BLOCK_SIZE },
    };
    const both = await Promise.allSettled([bytesOf(cache, source, 1), bytesOf(cache, source, 1)]);
    for (const outcome of both) expect(outcome).toMatchObject({ status: 'rejected', reason: expected });
    await expect(bytesOf(cache, source, 1)).rejects.toMatchObject(expected);
    expect(await bytesOf(cache, source, 0)).toEqual(blockOf(disk, 0));
  });

  test('a block that was repaired is read again and served', async () => {
    const cache = cacheOf(1);
    const { source, disk } = sourceOf(6);
    disk.bytes[64] ^= 1;
    await expect(bytesOf(cache, source, 0)).rejects.toMatchObject({ code: 'data_corrupt' });
    disk.bytes[64] ^= 1;
    expect(await bytesOf(cache, source, 0)).toEqual(blockOf(disk, 0));
  });

  test('a file that ends too early is damage, not other bytes', async () => {
    const cache = cacheOf(1);
    const { source, disk } = sourceOf(7);
    await bytesOf(cache, source, 0);
    const short = { ...source, key: 70, read: async (into: Uint8Array) => Promise.resolve(into.length - 1) };
    await expect(bytesOf(cache, short, 0)).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await bytesOf(cache, source, 0)).toEqual(blockOf(disk, 0));
  });

  test('a read that failed hits those who waited for it and nobody later', async () => {
    const cache = cacheOf(1);
    const { source, disk } = sourceOf(8);
    disk.failing = true;
    await expect(bytesOf(cache, source, 0)).rejects.toThrow('EIO');
    disk.failing = false;
    expect(await bytesOf(cache, source, 0)).toEqual(blockOf(disk, 0));
  });

  test('failed blocks lose no slot', async () => {
    const cache = cacheOf();
    const { source, disk } = sourceOf(9);
    disk.failing = true;
    for (let i = 0; i < 20; i++) await bytesOf(cache, source, i % 3).catch(() => undefined);
    disk.failing = false;
    const slots = [0, 1, 2].map((block) => cache.take(source, block));
    expect(slots.every((slot) => slot !== null)).toBe(true);
  });
});

describe('pins', () => {
  test('a pinned slot keeps its bytes; when all are pinned there is none', async () => {
    const cache = cacheOf();
    const { source, disk } = sourceOf(10);
    const slots = [0, 1, 2].map((block) => cache.take(source, block)!);
    await Promise.all(slots.map((slot) => slot.loaded));
    const other = sourceOf(11);
    expect(cache.take(other.source, 0)).toBeNull();
    cache.unpin(slots[1]);
    await cache.take(other.source, 0)!.loaded;
    expect(slots[0].memory).toEqual(blockOf(disk, 0));
    expect(slots[2].memory.subarray(0, 1_000)).toEqual(blockOf(disk, 2));
  });

  test('a slot that was let go while it loads is neither reused before the load ended nor lost', async () => {
    const cache = cacheOf(1);
    const { source, disk } = sourceOf(13);
    const { promise, resolve } = Promise.withResolvers<void>();
    disk.gate = promise;
    for (const failing of [false, true]) {
      const slot = cache.take(source, failing ? 1 : 0)!;
      cache.unpin(slot);
      expect(cache.take(sourceOf(14).source, 0)).toBeNull();
      disk.failing = failing;
      resolve();
      await slot.loaded.catch(() => undefined);
      await settle();
    }
    disk.failing = false;
    expect(await bytesOf(cache, source, 1)).toEqual(blockOf(disk, 1));
  });

  test('whoever waits for room is told of the next unpin that leaves a slot free', async () => {
    const cache = cacheOf(1);
    const { source } = sourceOf(12);
    const slot = cache.take(source, 0)!;
    cache.take(source, 0);
    await slot.loaded;
    let told = 0;
    void cache.room().then(() => told++);
    void cache.room().then(() => told++);
    cache.unpin(slot);
    await settle();
    expect(told).toBe(0);
    cache.unpin(slot);
    await settle();
    expect(told).toBe(2);
  });
});

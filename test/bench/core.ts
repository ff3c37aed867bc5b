/** Suite `core`: hashing, routing and bitmap scans in core.wasm, from Node and from CPython (core_bench.py). */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { crc32 } from 'node:zlib';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import xxhash from 'xxhash-wasm';

import { checksumHex, loadCore, PAGE_BITS, type Core } from '../../core/wasm.ts';
import { alternate, timeMs } from './runner/measure.ts';
import type { BenchContext, Measured } from './runner/suite.ts';

const BODY_SIZE = 64 << 20;
const CHUNK_SIZE = 1 << 20;
const ROWS = 1 << 20;

/** Random bytes from a fixed seed (xorshift32), so that each run moves the same. */
function randomBytes(size: number): Uint8Array {
  const words = new Uint32Array(size / 4);
  let state = 2463534242;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}

function checked(got: unknown, expected: unknown, what: string): void {
  if (got !== expected) throw new Error(`${what}: got ${String(got)}, expected ${String(expected)}`);
}

/** GB/s (1e9 bytes) of a call that handles `size` bytes. */
const rate = (size: number, call: () => void) => async () => size / 1e6 / (await timeMs(call));

/** Nanoseconds per item of a call that handles `count` items. */
const perItem = (count: number, call: () => void) => async () => ((await timeMs(call)) * 1e6) / count;

export async function run(context: BenchContext): Promise<void> {
  const core = loadCore();
  const rounds = context.quick ? 7 : 15;
  await benchBytes(core, rounds, context);
  await benchItems(core, rounds, context);
  await benchScan(core, rounds, context);
  await benchPython(context);
}

async function benchBytes(core: Core, rounds: number, { report }: BenchContext): Promise<void> {
  const { h64Raw } = await xxhash();
  const body = randomBytes(BODY_SIZE);
  const copy = new Uint8Array(BODY_SIZE);
  const expected = h64Raw(body);
  const hashBody = () => {
    const hasher = core.bodyHasher();
    for (let at = 0; at < BODY_SIZE; at += CHUNK_SIZE) hasher.update(body.subarray(at, at + CHUNK_SIZE));
    return checksumHex(hasher.finish());
  };
  const checksum = hashBody();
  const ours = {
    'xxh64 of 64 MiB': () => checked(core.xxh64(body), expected, 'xxh64'),
    'body checksum, copy into WASM too': () => checked(hashBody(), checksum, 'checksum'),
  };
  const crc = crc32(body);
  const peers = {
    memcpy: () => copy.set(body),
    'zlib.crc32': () => checked(crc32(body), crc, 'crc32'),
    'xxhash-wasm': () => checked(h64Raw(body), expected, 'xxhash-wasm'),
  };
  for (const [name, ourCall] of Object.entries(ours)) {
    for (const [peerName, peerCall] of Object.entries(peers)) {
      const values = await alternate({ rounds, ours: rate(BODY_SIZE, ourCall), peer: rate(BODY_SIZE, peerCall) });
      report({ case: `node: ${name}`, metric: 'rate', unit: 'GB/s', better: 'higher', ...values, peerName });
    }
  }
  checked(h64Raw(copy), expected, 'memcpy');
}

async function benchItems(core: Core, rounds: number, { report }: BenchContext): Promise<void> {
  const { h64Raw } = await xxhash();
  const ids = Float64Array.from({ length: 1000 }, (_, i) => i * 7919);
  const le64 = new DataView(new ArrayBuffer(8));
  const bytes = new Uint8Array(le64.buffer);
  const oneByOne = () => {
    return Array.from(ids, (id) => {
      le64.setBigUint64(0, BigInt(Math.floor(id / 8)), true);
      return Number(h64Raw(bytes) % 64n);
    });
  };
  const batched = () => core.shardsOf(ids, { groupSize: 8, shards: 64 });
  checked(batched().join(), oneByOne().join(), 'shards');
  const repeat = 100;
  const routing = await alternate({
    rounds,
    ours: perItem(ids.length * repeat, () => times(repeat, batched)),
    peer: perItem(ids.length * repeat, () => times(repeat, oneByOne)),
  });
  const items = { metric: 'time', unit: 'ns/item', better: 'lower' } as const;
  report({ case: 'node: routing 1,000 ids', ...items, ...routing, peerName: 'xxhash-wasm, id by id' });

  const small = randomBytes(1024);
  const out = new Uint8Array(8);
  const hashes = await alternate({
    rounds,
    ours: perItem(20_000, () => times(20_000, () => core.xxh64Into(small, out))),
    peer: perItem(20_000, () => times(20_000, () => h64Raw(small))),
  });
  checked(checksumHex(out), h64Raw(small).toString(16).padStart(16, '0'), 'xxh64 of 1 KiB');
  report({ case: 'node: xxh64 of 1 KiB', ...items, ...hashes, peerName: 'xxhash-wasm' });
}

function times(count: number, call: () => unknown): void {
  for (let i = 0; i < count; i++) call();
}

/** Two fields, one task that consumed half the rows: the worst place for a scan is a page without a ready row. */
async function benchScan({ bitmaps }: Core, rounds: number, { report }: BenchContext): Promise<void> {
  const pages = Array.from({ length: ROWS / PAGE_BITS }, () => [bitmaps.alloc(), bitmaps.alloc(), bitmaps.alloc()]);
  for (const [first, second, consumed] of pages) {
    bitmaps.setRange(first, 0, PAGE_BITS);
    bitmaps.setRange(second, 0, PAGE_BITS);
    bitmaps.setRange(consumed, 0, PAGE_BITS / 2);
  }
  const words = pages.map((three) => three.map((page) => new Uint32Array(bitmaps.bytesOf(page).slice().buffer)));
  const inWasm = () => {
    return pages.reduce(
      (sum, [first, second, not]) => sum + bitmaps.countReady({ and: [first, second], not: [not] }),
      0,
    );
  };
  const inJavaScript = () => words.reduce((sum, [first, second, not]) => sum + countWords(first, second, not), 0);
  checked(inWasm(), ROWS / 2, 'ready rows');
  checked(inJavaScript(), ROWS / 2, 'ready rows');
  const repeat = 50;
  const values = await alternate({
    rounds,
    ours: perItem(repeat, () => times(repeat, inWasm)),
    peer: perItem(repeat, () => times(repeat, inJavaScript)),
  });
  const scan = { metric: 'time', unit: 'ns/scan', better: 'lower' } as const;
  report({
    case: 'node: count ready of 1M rows, 3 bitmaps',
    ...scan,
    ...values,
    peerName: 'JavaScript words',
  });
  for (const page of pages.flat()) bitmaps.free(page);
}

function countWords(first: Uint32Array, second: Uint32Array, not: Uint32Array): number {
  let count = 0;
  for (let i = 0; i < first.length; i++) {
    let word = first[i] & second[i] & ~not[i];
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return count;
}

/** core_bench.py prints one measured figure per line, in the form that `report` takes. */
async function benchPython({ quick, report }: BenchContext): Promise<void> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const python = `${root}.venv/bin/python`;
  if (!existsSync(python)) throw new Error(`${python} is missing: set the repository up with npm test first`);
  const script = fileURLToPath(new URL('core_bench.py', import.meta.url));
  const child = spawn(python, [script, ...(quick ? ['--quick'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONPATH: `${root}py-bindings` },
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  for await (const line of createInterface({ input: child.stdout })) report(JSON.parse(line) as Measured);
  const code = await ended;
  if (code !== 0) throw new Error(`core_bench.py ended with status ${code}`);
}

/** The file format: frozen bytes of format version 1, and the second reader of blocks against the first. */

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockWriter, createLsmMemory } from '../../../core/lsm.ts';
import { readBlock, readIndexValue } from '../../../server/tree/block_reader.ts';
import * as format from '../../../server/tree/sst_format.ts';
import { SstWriter } from '../../../server/tree/sst_writer.ts';
import { SimFs, simEnv } from '../../support/sim_env.ts';
import { bytesOf } from './support.ts';

const memory = createLsmMemory();
const { decodeFooter, decodeHeader, encodeHeader, FOOTER_SIZE, HEADER_SIZE, sstName, sstNumber } = format;

/** Two data blocks under one filter. */
async function sample(
  compressed: boolean,
): Promise<{ bytes: Buffer; facts: Awaited<ReturnType<SstWriter['finish']>> }> {
  const fs = new SimFs();
  const options = { env: simEnv(fs), memory, directory: '/t', number: 7, fileSize: 1 << 20, compressed };
  const file = await SstWriter.create(options);
  const blocks = new BlockWriter(memory);
  for (let i = 0; i < 400; i++) {
    const key = bytesOf(`key ${String(i).padStart(4, '0')}`);
    const value = i % 9 === 0 ? null : bytesOf(`value ${i}`);
    blocks.add(key, value, 1_000 - i);
    if (i === 250) file.add(blocks.finish()!);
  }
  file.add(blocks.finish()!);
  const slot = memory.slotAlloc();
  file.addFilter(memory.read(slot, blocks.filterInto(slot)));
  const facts = await file.finish();
  return { bytes: fs.files.get('/t/0000000007.sst')!.current, facts };
}

describe('format version 1', () => {
  test.each([
    [false, '77db3aafc2b7c6af2fcd73924f855674f1ed8704961ed632912332265bd8450f', 0],
    [true, '', 1],
  ])('compressed %s: the bytes are those that they were', async (compressed, sha256, flags) => {
    const { bytes, facts } = await sample(compressed);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(facts.sha256);
    // zstd's own output may change from one version of the library to the next.
    if (!compressed) expect(facts.sha256).toBe(sha256);
    expect(facts).toMatchObject({ number: 7, size: bytes.length, entries: 400, lsnMin: 601, lsnMax: 1_000 });
    expect(decodeHeader(memory, bytes)).toEqual({ number: 7, flags });
    expect(decodeFooter(memory, bytes)).toMatchObject({ number: 7, flags, dataCount: 2, filterCount: 1, entries: 400 });
    expect(decodeFooter(memory, bytes.subarray(0, -1))).toBeNull();
  });

  test('of another number is no header', () => {
    const header = encodeHeader(memory, { number: 2 ** 40, flags: 0 });
    expect(header).toHaveLength(HEADER_SIZE);
    expect(decodeHeader(memory, header)).toEqual({ number: 2 ** 40, flags: 0 });
    header.writeUInt32LE(2, 8);
    expect(decodeHeader(memory, header)).toBeNull();
    expect(FOOTER_SIZE).toBe(72);
  });

  test('names are numbers', () => {
    expect(sstName(12)).toBe('0000000012.sst');
    expect(sstNumber(sstName(12))).toBe(12);
    for (const name of ['12.sst', '0000000012.tmp', 'a0000000012.sst', 'manifest']) expect(sstNumber(name)).toBeNull();
  });
});

describe('the second reader of blocks', () => {
  const entry = fc.record({
    key: fc.uint8Array({ maxLength: 6, max: 3 }),
    lsn: fc.oneof(fc.nat(9), fc.maxSafeNat()),
    value: fc.option(
      fc.oneof(
        fc.uint8Array({ maxLength: 8, max: 2 }),
        fc.nat(600).map((size) => new Uint8Array(size)),
      ),
    ),
  });
  type Entry = { key: Uint8Array; lsn: number; value: Uint8Array | null };
  const inOrder = (a: Entry, b: Entry) => Buffer.compare(a.key, b.key) || b.lsn - a.lsn;

  function blockOf(entries: readonly Entry[]): { block: Buffer; written: Entry[] } {
    const writer = new BlockWriter(memory);
    const sorted = [...entries].sort(inOrder).filter((one, i, all) => i === 0 || inOrder(all[i - 1], one) !== 0);
    const written = sorted.slice(0, sorted.findIndex((one) => !writer.add(one.key, one.value, one.lsn)) >>> 0);
    const { address, size } = writer.finish()!;
    writer.free();
    return { block: Buffer.from(memory.read(address, size)), written };
  }

  const plain = (entries: readonly Entry[] | null) =>
    entries?.map(({ key, lsn, value }) => ({ key: [...key], lsn, value: value === null ? null : [...value] }));

  test('reads what the writer wrote', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 200 }), (entries) => {
        const { block, written } = blockOf(entries);
        expect(plain(readBlock(block))).toEqual(plain(written));
      }),
      { numRuns: 200 },
    );
  });

  test('ends on any bytes', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1 }), fc.nat(), fc.nat(255), (entries, at, byte) => {
        const { block } = blockOf(entries);
        block[at % block.length] = byte;
        readBlock(block);
        readBlock(block.subarray(0, at % block.length));
      }),
    );
  });

  test('reads the numbers of an index entry, all three of them', () => {
    expect(readIndexValue(Uint8Array.of(0x81, 1, 5, 0))).toEqual({ block: 129, filter: 5 });
    expect(readIndexValue(Uint8Array.of(1, 5))).toBeNull();
    expect(readIndexValue(Uint8Array.of(1, 5, 0, 0))).toBeNull();
  });
});

/** Units of state: written, changed, shrunk, removed, over checkpoints and restarts; read whole or refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { numberKey, recordRange } from '../../../server/index/keys.ts';
import { recordKinds, Records, type RecordKind, type SavedRecord } from '../../../server/index/records.ts';
import { VALUE_SIZE_MAX } from '../../../server/tree/api.ts';
import { PlainTree } from '../../support/plain_tree.ts';

const kinds = Object.keys(recordKinds) as RecordKind[];

async function all(records: Records): Promise<SavedRecord[]> {
  const found: SavedRecord[] = [];
  for await (const record of records.all()) found.push(record);
  return found;
}

/** Keys of the tree that hold records. */
async function keysOf(tree: PlainTree): Promise<string[]> {
  const keys: string[] = [];
  for await (const entries of tree.scan(recordRange())) {
    keys.push(...entries.map(({ key }) => Buffer.from(key).toString('hex')));
  }
  return keys;
}

function bytesOf(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed) % 251);
}

const unit = fc.record({
  partition: fc.nat(2),
  kind: fc.constantFrom(...kinds),
  key: fc.nat(3).map((n) => numberKey(n)),
});
const size = fc.oneof(fc.nat(40), fc.integer({ min: VALUE_SIZE_MAX - 4, max: VALUE_SIZE_MAX + 2 }), fc.nat(30_000));
const commands = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ act: fc.constant('write' as const), unit, size }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('remove' as const), unit }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('freeze' as const), unit, size }) },
    { weight: 1, arbitrary: fc.constant({ act: 'restart' as const }) },
  ),
  { maxLength: 40, size: 'max' },
);

const nameOf = ({ partition, kind, key }: Omit<SavedRecord, 'value'>): string =>
  `${partition}/${recordKinds[kind]}/${Buffer.from(key).toString('hex')}`;

test('what was written last is read, in the order of partition, kind and key, and nothing else is left', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const tree = new PlainTree();
      let records = new Records(tree);
      const model = new Map<string, SavedRecord>();
      for (const [step, command] of sequence.entries()) {
        const lsn = step + 1;
        if (command.act === 'write') {
          const value = bytesOf(command.size, step);
          records.write({ ...command.unit, value }, lsn);
          model.set(nameOf(command.unit), { ...command.unit, value });
        } else if (command.act === 'remove') {
          records.write({ ...command.unit, value: null }, lsn);
          model.delete(nameOf(command.unit));
        } else if (command.act === 'freeze') {
          tree.rotate();
          const isNew = !model.has(nameOf(command.unit));
          const value = bytesOf(command.size, step);
          if (isNew) {
            records.writeFrozen({ ...command.unit, value }, lsn);
            model.set(nameOf(command.unit), { ...command.unit, value });
          }
          await tree.flush({});
        } else {
          tree.rotate();
          await tree.flush({});
          tree.discard();
          records = new Records(tree);
          await all(records);
        }
      }
      const found = await all(records);
      const expected = [...model.values()].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
      expect(found.map(nameOf)).toEqual(expected.map(nameOf));
      for (const [i, { value }] of found.entries()) expect(Buffer.from(value).equals(expected[i].value)).toBe(true);
      const pieces = expected.map(({ value }) => Math.ceil((value.length + 2) / VALUE_SIZE_MAX));
      expect(await keysOf(tree)).toHaveLength(pieces.reduce((sum, count) => sum + count, 0));
    }),
    { seed: 5, numRuns: 150 },
  );
});

describe('a unit that lacks a piece is refused', () => {
  const first = { partition: 1, kind: 'extent', key: numberKey(1) } as const;
  const second = { partition: 1, kind: 'extent', key: numberKey(2) } as const;

  /** Two units of three pieces, of which those at some places among the six are gone. */
  async function without(places: readonly number[]): Promise<Records> {
    const tree = new PlainTree();
    const records = new Records(tree);
    for (const unit of [first, second]) records.write({ ...unit, value: bytesOf(20_000, 1) }, 1);
    const keys = await keysOf(tree);
    expect(keys).toHaveLength(6);
    for (const place of places) tree.delete(Buffer.from(keys[place], 'hex'), 2);
    return records;
  }

  test.each([
    [[0]],
    [[1]],
    [[2]],
    [[3]],
    [[4]],
    [[5]],
    [[1, 2]],
    [[2, 3]],
    [[1, 2, 3]],
    [[0, 1]],
    [[4, 5]],
    [[2, 3, 4]],
  ])('pieces %j', async (places) => {
    await expect(all(await without(places))).rejects.toMatchObject({ code: 'data_corrupt' });
  });

  test('but not one that is gone as a whole', async () => {
    expect((await all(await without([0, 1, 2]))).map(({ key }) => key)).toEqual([numberKey(2)]);
    expect(await all(await without([0, 1, 2, 3, 4, 5]))).toEqual([]);
  });
});

test.each([
  ['of a kind that is not known', '0200000001630000', '0100'],
  ['without a value', '0200000001010000', ''],
  ['with half a count of pieces', '0200000001010000', '01'],
  ['of no pieces', '0200000001010000', '0000'],
])('a record %s is refused', async (_, key, value) => {
  const tree = new PlainTree();
  tree.put(Buffer.from(key, 'hex'), Buffer.from(value, 'hex'), 1);
  await expect(all(new Records(tree))).rejects.toMatchObject({ code: 'data_corrupt' });
});

test('numbers of kinds stay as they are', () => {
  expect(recordKinds).toEqual({ request: 1, partition: 2, extent: 3, rowsLive: 4, queue: 5, grant: 6, restore: 7 });
});

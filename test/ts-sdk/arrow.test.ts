import {
  Bool,
  Dictionary,
  Field,
  FixedSizeList,
  Float32,
  Float64,
  Int32,
  Int64,
  List,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  makeData,
  tableFromArrays,
  tableFromIPC,
  tableToIPC,
  vectorFromArray,
} from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { columnsOfTable } from '../../ts-sdk/arrow.ts';
import { decodeInput } from '../../ts-sdk/decode.ts';
import { rig, thrown } from './support.ts';

const cells = (table: Table, name: string): unknown[] => [...columnsOfTable(table).get(name)!];

describe('columnsOfTable', () => {
  it('decodes dictionaries, which strings of tableFromArrays are', () => {
    const table = tableFromArrays({ s: ['b', 'a', 'b'] });
    expect(table.schema.fields[0].type).toBeInstanceOf(Dictionary);
    expect(columnsOfTable(table).get('s')!.layout).toEqual({ layout: 'text' });
    expect(cells(table, 's')).toEqual(['b', 'a', 'b']);
    expect(cells(table.slice(1, 3), 's')).toEqual(['a', 'b']);
    expect(cells(table.concat(tableFromArrays({ s: ['c'] })), 's')).toEqual(['b', 'a', 'b', 'c']);
  });

  it('turns bits into bytes, also from the middle of a byte', () => {
    const table = new Table({ b: vectorFromArray([true, false, true, true, false], new Bool()) });
    expect(cells(table, 'b')).toEqual([true, false, true, true, false]);
    expect(cells(table.slice(3, 5), 'b')).toEqual([true, false]);
  });

  it('takes lists, also of int64 and in slices, without copying their values', () => {
    const table = new Table({ n: vectorFromArray([[1, 2], [], [3]], new List(new Field('item', new Float64()))) });
    expect(cells(table, 'n')).toEqual([Float64Array.of(1, 2), new Float64Array(0), Float64Array.of(3)]);
    expect(cells(table.slice(2, 3), 'n')).toEqual([Float64Array.of(3)]);
    const values = BigInt64Array.of(1n, 2n, 3n);
    const child = makeData({ type: new Int64(), data: values });
    const type = new List(new Field('item', new Int64()));
    const data = makeData({ type, length: 2, nullCount: 0, valueOffsets: Int32Array.of(0, 1, 3), child });
    const batch = new RecordBatch(
      new Schema([new Field('n', type)]),
      makeData({ type: new Struct([new Field('n', type)]), length: 2, nullCount: 0, children: [data] }),
    );
    const column = columnsOfTable(batch).get('n')!;
    expect([...column]).toEqual([BigInt64Array.of(1n), BigInt64Array.of(2n, 3n)]);
    expect(column.values.buffer).toBe(values.buffer);
  });

  it('takes tensors by the metadata of their extension', () => {
    const metadata = new Map([
      ['ARROW:extension:name', 'arrow.fixed_shape_tensor'],
      ['ARROW:extension:metadata', '{"shape":[2,3]}'],
    ]);
    const type = new FixedSizeList(6, new Field('item', new Float32()));
    const child = makeData({ type: new Float32(), data: Float32Array.from({ length: 12 }, (_, i) => i) });
    const data = makeData({ type, length: 2, nullCount: 0, child });
    const field = new Field('t', type, false, metadata);
    const struct = new Struct([field]);
    const table = new Table(
      new RecordBatch(new Schema([field]), makeData({ type: struct, length: 2, nullCount: 0, children: [data] })),
    );
    const column = columnsOfTable(table).get('t')!;
    expect(column.layout).toEqual({ layout: 'dense', dtype: 'float32', shape: [2, 3] });
    expect(column.row(1)).toEqual(Float32Array.of(6, 7, 8, 9, 10, 11));
    expect(columnsOfTable(table.slice(1, 2)).get('t')!.row(0)).toEqual(column.row(1));
  });

  it('takes text of several chunks and of none', () => {
    const one = new Table({ s: vectorFromArray(['a', 'bc'], new Utf8()) });
    expect(cells(one.concat(new Table({ s: vectorFromArray(['d'], new Utf8()) })), 's')).toEqual(['a', 'bc', 'd']);
    expect(cells(one.slice(2, 2), 's')).toEqual([]);
  });

  it.each([
    ['nulls', { x: vectorFromArray([1, null], new Int32()) }, 'nulls_refused'],
    [
      'nulls behind a dictionary',
      { x: vectorFromArray(['a', null], new Dictionary(new Utf8(), new Int32())) },
      'nulls_refused',
    ],
    ['dates', { x: vectorFromArray([new Date(0)]) }, 'type_unsupported'],
  ])('refuses %s', (_, vectors, code) => {
    expect(thrown(() => columnsOfTable(new Table(vectors as never))).code).toBe(code);
  });
});

describe('put of tables', () => {
  it("takes a newcomer's first put: numbers for ids, strings, bits", async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', {});
    const table = tableFromArrays({ index_id: [7, 8], prompt: ['a', 'b'], reward: Float32Array.of(1, 0) });
    expect(await train.put(table)).toMatchObject({ rows: 2 });
    const batch = await train.get([8, 7]);
    expect(batch.table().toArray().map(String)).toEqual([
      '{"index_id": 8, "prompt": "b", "reward": 0}',
      '{"index_id": 7, "prompt": "a", "reward": 1}',
    ]);
  });

  it('takes the same as Arrow IPC bytes', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', {});
    await train.put(tableToIPC(tableFromArrays({ index_id: [7, 8], prompt: ['a', 'b'] }), 'stream'));
    expect([...(await train.get([8, 7])).column('prompt')]).toEqual(['b', 'a']);
    const [batch] = tableFromArrays({ prompt: ['c'] }).batches;
    await train.put(batch, { ids: [9] });
    expect((await train.get([9])).column('prompt').row(0)).toBe('c');
  });

  it('sends bytes that are a valid put as they are', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', {});
    await train.put({ x: Float32Array.of(1, 2) }, { ids: [1, 2] });
    const { bytes } = await train.get([2, 1]);
    await train.put(bytes);
    expect(fake.seen.at(-1)!.size).toBe(bytes.length + 16);
    const shifted = new Uint8Array(bytes.length + 1).subarray(1);
    shifted.set(bytes);
    expect((await train.put(shifted)).rows).toBe(2);
  });

  it('refuses what is no Arrow stream', () => {
    expect(thrown(() => decodeInput(new Uint8Array(16))).code).toBe('arrow_malformed');
    const stream = tableToIPC(new Table({ index_id: vectorFromArray([1n], new Int64()) }), 'stream');
    expect(thrown(() => decodeInput(stream.slice(0, -8))).code).toBe('arrow_truncated');
    expect(tableFromIPC(stream).numRows).toBe(1);
  });
});

import { RecordBatchReader, tableFromIPC } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { EOS, GENERATED, PieceList, composeBatch, schemaMessage } from '../../../core/arrow/index.ts';
import type { ColumnSource, NamedLayout, OutputColumn } from '../../../core/arrow/index.ts';
import { partCount } from '../../../core/layout.ts';
import type { FieldLayout } from '../../../core/layout.ts';
import { askPyarrow } from './oracle.ts';
import { cellsOf, everyLayout, joined, randomStream, seeded, walked } from './fixtures.ts';
import type { Cells } from './fixtures.ts';

/** A stored batch: its bytes, and one source per column. The extent's number is the stream's. */
interface Stored {
  readonly stream: Uint8Array<ArrayBuffer>;
  readonly fields: readonly NamedLayout[];
  readonly sources: readonly ColumnSource[];
  readonly cells: Cells;
}

function store(stream: Uint8Array<ArrayBuffer>, extent: number): Stored {
  const { fields, batches, ...rest } = walked(stream);
  const sources = batches[0].columns.map(({ regions }, i): ColumnSource => {
    const hasOffsets = partCount(fields[i].layout) > 1;
    return { extent, regions, offsets: hasOffsets ? new Int32Array(stream.buffer, regions[0], regions[1] / 4) : null };
  });
  return { stream, fields, sources, cells: cellsOf(stream, { fields, batches, ...rest }) };
}

function storeRandom(layouts: readonly FieldLayout[], rowCounts: readonly number[], seed: number): Stored[] {
  const random = seeded(seed);
  return rowCounts.map((rows, i) => store(randomStream(layouts, { rows, random, idFirst: 1000 * i }), i));
}

interface Rows {
  readonly sourceOf: number[];
  readonly ordinals: number[];
}

function piecesOf(stored: readonly Stored[], { sourceOf, ordinals }: Rows): PieceList {
  const { fields } = stored[0];
  const list = new PieceList();
  list.pushCopy(schemaMessage(fields));
  const ids = sourceOf.map((source, row) => stored[source].cells.ids[ordinals[row]]);
  const columns = fields.map((field, i): OutputColumn => ({
    ...field,
    kind: 'gathered',
    sources: stored.map(({ sources }) => sources[i]),
    sourceOf,
    ordinals,
  }));
  const composed = composeBatch(list, ids.length, [{ kind: 'int64', name: 'index_id', values: ids }, ...columns]);
  expect(composed.ok).toBe(true);
  list.pushCopy(EOS);
  return list;
}

function compose(stored: readonly Stored[], rows: Rows): Uint8Array<ArrayBuffer> {
  const list = piecesOf(stored, rows);
  const answer = joined(list.views((source) => stored[source].stream));
  expect(answer.length).toBe(list.bytes);
  return answer;
}

function expectedCells(stored: readonly Stored[], { sourceOf, ordinals }: Rows): Cells {
  const pick = (of: (cells: Cells) => readonly (string | number)[]): unknown =>
    sourceOf.map((source, row) => of(stored[source].cells)[ordinals[row]]);
  const columns = stored[0].fields.map(({ name }) => [name, pick((cells) => cells.columns[name])]);
  return { ids: pick(({ ids }) => ids), columns: Object.fromEntries(columns) } as Cells;
}

function randomRows(rowCounts: readonly number[], count: number, random: (end: number) => number): Rows {
  const sourceOf: number[] = [];
  const ordinals: number[] = [];
  while (sourceOf.length < count) {
    const source = random(rowCounts.length);
    let ordinal = random(rowCounts[source]);
    // Runs, so that some neighbours join.
    for (let run = random(4); run >= 0 && ordinal < rowCounts[source]; run--) {
      sourceOf.push(source);
      ordinals.push(ordinal++);
    }
  }
  return { sourceOf: sourceOf.slice(0, count), ordinals: ordinals.slice(0, count) };
}

describe('composed batches', () => {
  it('hold the rows asked for, in every layout, as the walker, pyarrow and arrow-js read them', async () => {
    const rowCounts = [1, 5, 9, 4];
    const stored = storeRandom(everyLayout, rowCounts, 5);
    const random = seeded(6);
    const asked = [0, 1, 2, 3, 7, 8, 40, 129].map((count) => randomRows(rowCounts, count, random));
    const answers = asked.map((rows) => compose(stored, rows));
    const judged = await askPyarrow(answers);
    asked.forEach((rows, i) => {
      const expected = expectedCells(stored, rows);
      expect(cellsOf(answers[i], walked(answers[i]))).toEqual(expected);
      expect(judged[i].error).toBeUndefined();
      const { index_id: ids, ...columns } = judged[i].columns!;
      expect(ids).toHaveLength(rows.sourceOf.length);
      expect({ ids: judged[i].ids, columns }).toEqual(expected);
      const table = tableFromIPC(answers[i]);
      expect(table.numRows).toBe(rows.sourceOf.length);
      expect([...(table.getChild('index_id') ?? [])].map(Number)).toEqual(expected.ids);
      expect(table.batches.every((batch) => batch.data.children.every(({ nullCount }) => nullCount === 0))).toBe(true);
    });
    expect(judged[0].types).toMatchSnapshot();
  });

  it('can be put again, and composed from what was composed', () => {
    const stored = storeRandom(everyLayout, [6, 6], 9);
    const rows = { sourceOf: [0, 1, 0, 0, 1], ordinals: [5, 0, 1, 2, 1] };
    const again = store(compose(stored, rows), 0);
    const reversed = { sourceOf: [0, 0, 0, 0, 0], ordinals: [4, 3, 2, 1, 0] };
    const answer = compose([again], reversed);
    const { ids, columns } = expectedCells(stored, rows);
    expect(cellsOf(answer, walked(answer))).toEqual({
      ids: ids.toReversed(),
      columns: Object.fromEntries(Object.entries(columns).map(([name, cells]) => [name, cells.toReversed()])),
    });
  });

  it('take one slice per part when a whole stored batch is asked for', () => {
    const [stored] = storeRandom(everyLayout, [64], 4);
    const all = { sourceOf: new Array<number>(64).fill(0), ordinals: Array.from({ length: 64 }, (_, row) => row) };
    const list = piecesOf([stored], all);
    const slices = list.sources.filter((source) => source !== GENERATED);
    const parts = everyLayout.map((layout) => (partCount(layout) === 3 ? 2 : 1)).reduce((sum, n) => sum + n, 0);
    expect(slices.length).toBeLessThanOrEqual(parts);
  });

  it('carry generated columns', async () => {
    const list = new PieceList();
    const attempt = { name: 'tq_attempt', layout: { layout: 'scalar', dtype: 'int32' } as const };
    list.pushCopy(schemaMessage([attempt], new Map([['tq:claim', 'c1']])));
    const ids = Float64Array.of(0, 2 ** 32, 2 ** 53 - 1);
    composeBatch(list, 3, [
      { kind: 'int64', name: 'index_id', values: ids },
      { kind: 'int32', name: 'tq_attempt', values: [1, 2, -3] },
    ]);
    list.pushCopy(EOS);
    const answer = joined(list.views(() => new Uint8Array()));
    expect(list.count).toBe(1);
    const [judged] = await askPyarrow([answer]);
    expect(judged.ids).toEqual([...ids]);
    expect(judged.columns!['tq_attempt']).toEqual(['01000000', '02000000', 'fdffffff']);
    const reader = RecordBatchReader.from(answer).open();
    expect(reader.schema.metadata).toEqual(new Map([['tq:claim', 'c1']]));
  });

  it.each([[[]], [['']], [['{}', '', 'ä', '{"a":[1,2,3]}']], [['x'.repeat(9_000), 'y']]])(
    'carry generated texts: %j',
    async (texts: string[]) => {
      const list = new PieceList();
      // What a batch before left in the generated bytes must not show in the padding.
      const mark = list.mark();
      list.pushCopy(new Uint8Array(2_000).fill(0xff));
      list.rewind(mark);
      list.pushCopy(schemaMessage([{ name: 'tq_tags', layout: { layout: 'text' } }]));
      const ids = Float64Array.from(texts.keys());
      composeBatch(list, texts.length, [
        { kind: 'int64', name: 'index_id', values: ids },
        { kind: 'text', name: 'tq_tags', values: texts },
      ]);
      list.pushCopy(EOS);
      const answer = joined(list.views(() => new Uint8Array()));
      const [judged] = await askPyarrow([answer]);
      expect(judged.ids).toEqual([...ids]);
      expect(judged.columns!['tq_tags']).toEqual(texts.map((text) => Buffer.from(text).toString('hex')));
    },
  );

  it('may be several in one stream', () => {
    const stored = storeRandom(everyLayout, [3], 2);
    const one = compose(stored, { sourceOf: [0, 0], ordinals: [0, 1] });
    const two = compose(stored, { sourceOf: [0], ordinals: [2] });
    const schema = schemaMessage(stored[0].fields).length;
    const both = joined([one.subarray(0, one.length - EOS.length), two.subarray(schema)]);
    expect(cellsOf(both, walked(both))).toEqual(stored[0].cells);
  });
});

describe('columns beyond int32', () => {
  const large = (layout: FieldLayout, offsets: Int32Array | null): OutputColumn => ({
    kind: 'gathered',
    name: 'x',
    layout,
    sources: [{ extent: 0, regions: [0, 0, 0, 0], offsets }],
    sourceOf: [0, 0, 0, 0],
    ordinals: [0, 1, 0, 1],
  });

  it('are refused with the rows that fit, and leave the list as it was', () => {
    const list = new PieceList();
    list.pushCopy(EOS);
    const { count, bytes } = list;
    const column = large({ layout: 'bytes' }, Int32Array.of(0, 2 ** 30, 2 ** 31 - 1));
    const refusal = composeBatch(list, 4, [column]);
    expect(refusal).toMatchObject({ ok: false, code: 'answer_too_large', details: { column: 'x', rows: 2 } });
    expect([list.count, list.bytes, list.lengths[0]]).toEqual([count, bytes, EOS.length]);
    const dense = large({ layout: 'dense', dtype: 'int8', shape: [2 ** 30] }, null);
    expect(composeBatch(list, 4, [dense])).toMatchObject({ code: 'answer_too_large', details: { rows: 1 } });
    expect(composeBatch(list, 2, [column])).toMatchObject({ ok: true });
    expect(list.lengths[1]).toBe(2 ** 31 - 1);
  });
});

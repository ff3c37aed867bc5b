import { readdirSync, readFileSync } from 'node:fs';
import { Int32, Int64, RecordBatchStreamWriter, Utf8, vectorFromArray, Table } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { EOS, SchemaCache, batchMessage, schemaMessage, walkStream } from '../../../core/arrow/index.ts';
import type { FieldLayout } from '../../../core/layout.ts';
import { limits } from '../../../core/protocol.ts';
import { askPyarrow } from './oracle.ts';
import {
  aligned,
  cellsOf,
  emptyBatch,
  everyLayout,
  int32s,
  joined,
  randomStream,
  rawStream,
  readVector,
  refusalOf,
  seeded,
  vectors,
  walked,
} from './fixtures.ts';

interface Expected {
  readonly ids: number[];
  readonly fields: Record<string, { layout: FieldLayout; cells: string[] }>;
}
const expected = JSON.parse(readFileSync(`${vectors}accepted.json`, 'utf8')) as Record<string, Expected>;
const cases = Object.keys(expected);

describe('streams of pyarrow', () => {
  it.each(cases)('finds every layout and cell of %s', (name) => {
    const stream = readVector(`accepted/${name}.arrow`);
    const result = walked(stream);
    const { ids, fields } = expected[name];
    expect(result.fields).toEqual(Object.entries(fields).map(([field, { layout }]) => ({ name: field, layout })));
    expect(cellsOf(stream, result)).toEqual({
      ids,
      columns: Object.fromEntries(Object.entries(fields).map(([field, { cells }]) => [field, cells])),
    });
  });

  it('are read the same way by the oracle', async () => {
    const streams = cases.map((name) => readVector(`accepted/${name}.arrow`));
    const answers = await askPyarrow(streams);
    streams.forEach((stream, i) => {
      const { ids, columns } = cellsOf(stream, walked(stream));
      expect(answers[i].error).toBeUndefined();
      expect(answers[i].ids).toEqual(ids);
      expect({ ...answers[i].columns, index_id: undefined }).toEqual({ ...columns, index_id: undefined });
    });
  });

  const refused = readdirSync(`${vectors}refused`).flatMap((code) =>
    readdirSync(`${vectors}refused/${code}`).map((file) => ({ code, file })),
  );
  it.each(refused)('refuses $file as $code', ({ code, file }) => {
    const refusal = refusalOf(readVector(`refused/${code}/${file}`));
    expect(refusal.code, refusal.message).toBe(code);
  });
});

describe('streams of arrow-js', () => {
  it('are accepted', () => {
    const vector = { index_id: vectorFromArray([1n, 2n], new Int64()), x: vectorFromArray([1, 2], new Int32()) };
    const text = vectorFromArray(['a', 'é'], new Utf8());
    const table = new Table({ ...vector, text });
    const stream = aligned(RecordBatchStreamWriter.writeAll(table).toUint8Array(true));
    const result = walked(stream);
    expect(result.fields.map(({ layout }) => layout)).toEqual([
      { layout: 'scalar', dtype: 'int32' },
      { layout: 'text' },
    ]);
    expect(cellsOf(stream, result).columns['text']).toEqual(['61', 'c3a9']);
  });
});

const two: FieldLayout[] = [{ layout: 'ragged', dtype: 'int32' }, { layout: 'text' }];
const good = (rows = 3): Uint8Array<ArrayBuffer> => randomStream(two, { rows, random: seeded(7) });

describe('framing', () => {
  it('refuses every truncation', () => {
    const stream = good();
    for (let size = 0; size < stream.length; size++) {
      const { code } = refusalOf(stream.slice(0, size));
      expect(code, `at ${size}`).toBe('arrow_truncated');
    }
  });

  it('refuses bytes after the end', () => {
    expect(refusalOf(joined([good(), new Uint8Array(8)])).code).toBe('arrow_malformed');
  });

  it('demands an aligned stream', () => {
    const shifted = new Uint8Array(good().length + 4).subarray(4);
    expect(() => walkStream(shifted)).toThrow(RangeError);
  });

  it('walks a stream at any aligned place of a resizable buffer', () => {
    const stream = randomStream(everyLayout, { rows: 5, random: seeded(3) });
    const buffer = new ArrayBuffer(stream.length + 64, { maxByteLength: 1 << 20 });
    const placed = new Uint8Array(buffer, 64, stream.length);
    placed.set(stream);
    buffer.resize(1 << 20);
    expect(cellsOf(placed, walked(placed))).toEqual(cellsOf(stream, walked(stream)));
  });

  it('refuses what is no Arrow stream', () => {
    for (const text of ['GET / HTTP/1.1\r\n\r\n', 'ARROW1\0\0', '\x93NUMPY\x01\0']) {
      expect(refusalOf(aligned(Buffer.from(text, 'latin1'))).code).toBe('arrow_malformed');
    }
  });
});

describe('limits', () => {
  const empty = emptyBatch(1, 2);

  it('takes as many batches as allowed, and no more', () => {
    const batches = new Array<Uint8Array>(limits.putBatchesMax).fill(empty);
    expect(walked(joined([schemaMessage([]), ...batches, EOS])).batches).toHaveLength(limits.putBatchesMax);
    expect(refusalOf(joined([schemaMessage([]), ...batches, empty, EOS])).code).toBe('too_many_batches');
  });

  it('takes as many columns as allowed, and no more', () => {
    const scalar: FieldLayout = { layout: 'scalar', dtype: 'int8' };
    const fields = Array.from({ length: limits.columnsMax }, (_, i) => ({ name: `f${i}`, layout: scalar }));
    const fit = fields.slice(1);
    const body = emptyBatch(limits.columnsMax, 2 * limits.columnsMax);
    expect(walked(joined([schemaMessage(fit), body, EOS])).fields).toHaveLength(fit.length);
    expect(refusalOf(joined([schemaMessage(fields), body, EOS])).code).toBe('too_many_columns');
  });

  it('refuses metadata beyond the limit, and a stream that claims it', () => {
    const large = new Map([['k', 'v'.repeat(limits.metadataBytesMax)]]);
    expect(refusalOf(joined([schemaMessage([], large), empty, EOS])).code).toBe('metadata_too_large');
    const claim = new Uint8Array(new Int32Array([-1, 0x7ffffff8]).buffer);
    expect(refusalOf(claim).code).toBe('metadata_too_large');
  });

  it('keeps the metadata of the schema', () => {
    const metadata = new Map([
      ['tq:lsn', '7'],
      ['é', ''],
    ]);
    expect(walked(joined([schemaMessage([], metadata), empty, EOS])).metadata).toEqual(metadata);
  });

  it('allows reserved names only in answers', () => {
    const attempt = { name: 'tq_attempt', layout: { layout: 'scalar', dtype: 'int32' } as const };
    const stream = joined([schemaMessage([attempt]), emptyBatch(2, 4), EOS]);
    expect(refusalOf(stream).code).toBe('name_invalid');
    expect(walked(stream, { allowReserved: true }).fields).toEqual([attempt]);
  });

  it('allows the text of tq_tags in puts', () => {
    const tags = { name: 'tq_tags', layout: { layout: 'text' } as const };
    const others = { name: 'tq_tags', layout: { layout: 'bytes' } as const };
    expect(walked(joined([schemaMessage([tags]), emptyBatch(2, 5), EOS])).fields).toEqual([tags]);
    expect(refusalOf(joined([schemaMessage([others]), emptyBatch(2, 5), EOS])).code).toBe('type_unsupported');
  });
});

/** A batch of two rows over a ragged int32 column, of which one thing is changed. */
interface Forged {
  rows: number;
  nodes: number[];
  regions: number[];
  bodyLength: number;
  ids: number[];
  offsets: number[];
}

function forged(
  change: (batch: Forged) => void,
  layout: FieldLayout = { layout: 'ragged', dtype: 'int32' },
): Uint8Array<ArrayBuffer> {
  const batch: Forged = {
    rows: 2,
    nodes: [2, 2, 3],
    // ids at 0, offsets at 16, values at 32.
    regions: [0, 0, 0, 16, 16, 0, 16, 12, 32, 0, 32, 12],
    bodyLength: 48,
    ids: [1, 0, 2, 0],
    offsets: [0, 1, 3],
  };
  change(batch);
  const body = new Int32Array(12);
  body.set(batch.ids);
  body.set(batch.offsets, 4);
  body.set([7, 8, 9], 8);
  const message = batchMessage(batch);
  return joined([schemaMessage([{ name: 'x', layout }]), message, new Uint8Array(body.buffer), EOS]);
}

describe('record batches', () => {
  it('accepts the forgery that changes nothing', () => {
    expect(walked(forged(() => undefined)).batches[0].columns[0].regions).toHaveLength(4);
  });

  it('accepts validity buffers without nulls, values beyond the last offset, a first offset above 0', () => {
    const stream = forged((batch) => {
      batch.regions[4] = 16;
      batch.regions.splice(8, 2, 28, 0);
      batch.offsets = [1, 1, 2];
      batch.regions[8] = 32;
    });
    expect(cellsOf(stream, walked(stream)).columns['x']).toEqual(['', '08000000']);
  });

  const changes: Record<string, (batch: Forged) => void> = {
    'a buffer beyond the body': (batch) => (batch.regions[11] = 24),
    'a buffer that begins beyond the body': (batch) => (batch.regions[10] = 56),
    'a sum that needs more than 32 bits': (batch) => (batch.regions[10] = 2 ** 32 + 32),
    'a sum that needs more than 53 bits': (batch) => (batch.regions[11] = 2 ** 53 - 1),
    'a misaligned buffer': (batch) => (batch.regions[10] = 36),
    'a buffer that is too short': (batch) => (batch.regions[11] = 8),
    'an offsets buffer that is too short': (batch) => (batch.regions[7] = 8),
    'buffers that overlap': (batch) => (batch.regions[10] = 24),
    'buffers out of order': (batch) => (batch.regions[6] = 0),
    'offsets that fall': (batch) => (batch.offsets = [0, 3, 1]),
    'negative offsets': (batch) => (batch.offsets = [-1, 1, 3]),
    'offsets beyond the values': (batch) => (batch.offsets = [0, 1, 4]),
    'a child that is too short': (batch) => (batch.nodes[2] = 2),
    'a column of another length': (batch) => (batch.nodes[1] = 1),
    'an index of another length': (batch) => (batch.nodes[0] = 1),
    'rows beyond the columns': (batch) => (batch.rows = 3),
    'absurd rows': (batch) => (batch.rows = 2 ** 52),
    'a missing node': (batch) => batch.nodes.pop(),
    'a surplus node': (batch) => batch.nodes.push(0),
    'a missing buffer': (batch) => batch.regions.splice(10),
    'a surplus buffer': (batch) => batch.regions.push(48, 0),
    'a body that is not padded': (batch) => (batch.bodyLength = 44),
  };
  it.each(Object.keys(changes))('refuses %s', (what) => {
    expect(refusalOf(forged(changes[what])).code).toBe('arrow_malformed');
  });

  it.each([[[1, -1, 2, 0]], [[1, 0, 2, 0x200000]]])('refuses ids %j', (ids) => {
    expect(refusalOf(forged((batch) => (batch.ids = ids))).code).toBe('index_id_invalid');
  });

  it('gives positions that hold in the stream, batch after batch', () => {
    const random = seeded(11);
    const streams = [4, 0, 7].map((rows) => randomStream(everyLayout, { rows, random }));
    const schema = schemaMessage(walked(streams[0]).fields).length;
    const batches = streams.map((stream) => stream.subarray(schema, stream.length - EOS.length));
    const all = joined([streams[0].subarray(0, schema), ...batches, EOS]);
    const result = walked(all);
    expect(result.batches.map(({ rows }) => rows)).toEqual([4, 0, 7]);
    const parts = streams.map((stream) => cellsOf(stream, walked(stream)));
    expect(cellsOf(all, result).ids).toEqual(parts.flatMap(({ ids }) => ids));
    for (const { name } of result.fields) {
      expect(cellsOf(all, result).columns[name]).toEqual(parts.flatMap(({ columns }) => columns[name]));
    }
  });
});

describe('text', () => {
  const euro = [0xe2, 0x82, 0xac];
  const fields = [{ name: 'x', layout: { layout: 'text' } as const }];
  const answerTo = (bytes: number[], offsets: number[]): string => {
    const buffers = [new Uint8Array(), int32s(...offsets), Uint8Array.from(bytes)];
    const result = walkStream(rawStream(fields, { rows: 2, nodes: [2], buffers }));
    return result.ok ? 'ok' : result.code;
  };

  it('is taken where every row is UTF-8', () => {
    expect(answerTo([...euro, ...euro], [0, 3, 6])).toBe('ok');
    expect(answerTo([...euro, ...euro], [3, 3, 6])).toBe('ok');
    // What lies before the first offset and after the last is nobody's text.
    expect(answerTo([0xff, 0x61, 0xff], [1, 1, 2])).toBe('ok');
  });

  it('is refused where a row is not, though all of them together may be', () => {
    expect(answerTo([...euro, ...euro], [0, 2, 6])).toBe('arrow_malformed');
    expect(answerTo([...euro, ...euro], [1, 3, 6])).toBe('arrow_malformed');
    expect(answerTo([...euro, ...euro], [0, 3, 5])).toBe('arrow_malformed');
    expect(answerTo([0xc0, 0x80], [0, 1, 2])).toBe('arrow_malformed');
  });
});

describe('no rows', () => {
  const fields = [{ name: 'x', layout: { layout: 'bytes' } as const }];
  const empty = new Uint8Array();
  const streamWith = (offsets: Uint8Array): Uint8Array<ArrayBuffer> =>
    rawStream(fields, { rows: 0, nodes: [0], buffers: [empty, offsets, empty] });

  it('may come without offsets, or with one', () => {
    expect(walked(streamWith(empty)).batches[0].columns[0].regions[1]).toBe(0);
    expect(walked(streamWith(int32s(0))).batches[0].columns[0].regions[1]).toBe(4);
  });

  it.each([
    ['a negative offset', int32s(-8)],
    ['an offset beyond the values', int32s(8)],
    ['half an offset', Uint8Array.of(0, 0)],
  ])('are refused with %s, as pyarrow does', (_, offsets) => {
    expect(refusalOf(streamWith(offsets)).code).toBe('arrow_malformed');
  });
});

describe('tensors', () => {
  const fields = [{ name: 'x', layout: { layout: 'ragged', dtype: 'int8', shape: [null, 2] } as const }];
  const codeOf = (offsets: number[], shapes: number[]): string => {
    const [none, values] = [new Uint8Array(), new Uint8Array(8)];
    const buffers = [none, none, int32s(...offsets), none, values, none, none, int32s(...shapes)];
    const result = walkStream(rawStream(fields, { rows: 2, nodes: [2, 2, 8, 2, 4], buffers }));
    return result.ok ? 'ok' : result.code;
  };

  it('have as many values as their shapes say, and the dimensions that are declared', () => {
    expect(codeOf([0, 2, 8], [1, 2, 3, 2])).toBe('ok');
    expect(codeOf([2, 2, 8], [0, 2, 3, 2])).toBe('ok');
    expect(codeOf([0, 2, 8], [1, 2, 2, 2])).toBe('arrow_malformed');
    expect(codeOf([0, 2, 8], [2, 1, 3, 2])).toBe('arrow_malformed');
    expect(codeOf([0, 2, 8], [-1, -2, 3, 2])).toBe('arrow_malformed');
  });
});

describe('schema cache', () => {
  it('gives the same schema for the same bytes, and reads what differs', () => {
    const schemas = new SchemaCache(2);
    const first = walked(good(), { schemas });
    expect(walked(good(5), { schemas }).fields).toBe(first.fields);
    const others = [1, 2, 3].map((n) => randomStream(two.slice(0, n % 2).concat(two), { rows: 1, random: seeded(n) }));
    for (const stream of others)
      expect(cellsOf(stream, walked(stream, { schemas }))).toEqual(cellsOf(stream, walked(stream)));
    expect(walked(good(), { schemas }).fields).toEqual(first.fields);
  });
});

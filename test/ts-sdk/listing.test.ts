/**
 * Listings as tables, and the samplers that are written with them, on the real server. The tables are those of
 * test/vectors/listing.json, which says what its words mean; the Python SDK gives the same ones.
 */
import { readFileSync } from 'node:fs';
import { tableFromIPC, tableToIPC, type Table } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { connect, type ListOptions, type Listing, type Partition, type Tags } from '../../ts-sdk/index.ts';
import { realRig } from './real.ts';
import { thrown } from './support.ts';

interface Case {
  readonly name: string;
  readonly numbers: readonly string[];
  readonly rows: readonly { readonly id: number; readonly tags: Tags }[];
  readonly returned: readonly number[];
  readonly list: ListOptions;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly values: readonly unknown[] }[];
  readonly apache_arrow?: string;
}

const { cases } = JSON.parse(readFileSync(new URL('../vectors/listing.json', import.meta.url), 'utf8')) as {
  readonly cases: readonly Case[];
};

const real = realRig();

/** The columns of a table in the words of the cases. */
function columnsOf(table: Table): unknown[] {
  return table.schema.fields.map(({ name, type, nullable, metadata }, at) => {
    expect([nullable, metadata.size]).toEqual([true, 0]);
    const values = [...table.getChildAt(at)!].map((value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value,
    );
    return { name, type: String(type).toLowerCase(), values };
  });
}

describe('the table of a listing', () => {
  it.each(cases)('$name', async ({ numbers, rows: put, returned, list, columns, apache_arrow: refusal }) => {
    const rows = await real.fresh(0, { numbers });
    for (const { id, tags } of put) await rows.put({ x: [1] }, { ids: [id], tags });
    if (returned.length > 0) {
      const claim = await rows.claim({ task: 't', fields: ['x'], ids: returned });
      if (claim.outcome === 'rows') await claim.batch.release();
    }
    const listing = await rows.list(list);
    if (refusal !== undefined) {
      expect(thrown(() => listing.table()).code).toBe(refusal);
      return;
    }
    const table = listing.table();
    expect(columnsOf(table)).toEqual(columns);
    expect(columnsOf(tableFromIPC(tableToIPC(table, 'stream')))).toEqual(columns);
  });

  it('has a row for each, however many pages there were', async () => {
    const count = 10_007;
    const rows = await real.fresh(count, { numbers: ['score'] });
    await rows.tag([count - 1], { score: 1 });
    const table = (await rows.list()).table();
    const scores = table.getChild('score')!;
    expect([
      table.numRows,
      scores.nullCount,
      scores.get(count - 1),
      table.getChild('index_id')!.get(count - 1),
    ]).toEqual([count, count - 1, 1, BigInt(count - 1)]);
  });
});

/** The ids of `count` rows in the order of their scores, from the highest on, less the first `from`. */
function highest(listing: Listing, { from, count }: { from: number; count: number }): number[] {
  const scores = listing.table().getChild('score')!;
  const order = listing.ids.map((_, row) => row).toSorted((a, b) => scores.get(b) - scores.get(a));
  return order.slice(from, from + count).map((row) => listing.ids[row]);
}

describe('a sampler of the user', () => {
  it('lists what is ready, chooses by a number, and claims these rows', async () => {
    const rows = await scored(6);
    const ready = await rows.list({ task: 't', fields: ['x'], where: 'score < 5' });
    const best = highest(ready, { from: 0, count: 2 });
    expect(best).toEqual([4, 3]);
    const claim = await rows.claim({ task: 't', fields: ['x'], ids: best });
    if (claim.outcome !== 'rows') throw new Error(claim.outcome);
    expect(claim.batch.ids.toSorted()).toEqual([3, 4]);
    expect((await rows.list({ task: 't', fields: ['x'] })).ids).toEqual([0, 1, 2, 5]);
    await claim.batch.ack();
    expect((await rows.stats()).tasks.t).toMatchObject({ consumed: 2 });
  });

  it('gets what it won, when two choose the same rows', async () => {
    await using other = connect({ url: real.url });
    for (let round = 0; round < 20; round++) {
      const rows = await scored(8);
      const ready = await rows.list({ task: 't', fields: ['x'] });
      // 7 6 5 4 and 5 4 3 2.
      const choices = [highest(ready, { from: 0, count: 4 }), highest(ready, { from: 2, count: 4 })];
      const choosers = [rows, await other.partition(rows.name)];
      const claims = await Promise.all(
        choosers.map((chooser, at) => chooser.claim({ task: 't', fields: ['x'], ids: choices[at] })),
      );
      const won = claims.map((claim) => (claim.outcome === 'rows' ? claim.batch.ids.toSorted() : []));
      const shared = won.filter((ids) => ids.includes(5) && ids.includes(4));
      expect(shared.length).toBe(1);
      expect(won.flat().toSorted()).toEqual([2, 3, 4, 5, 6, 7]);
      won.forEach((ids, at) => expect(choices[at]).toEqual(expect.arrayContaining(ids)));
      for (const claim of claims) if (claim.outcome === 'rows') await claim.batch.ack();
      expect((await rows.list({ task: 't', fields: ['x'] })).ids).toEqual([0, 1]);
      await rows.drop();
    }
  });

  it('gets nothing of what others have', async () => {
    const rows = await scored(4);
    const ids = highest(await rows.list({ task: 't', fields: ['x'] }), { from: 0, count: 2 });
    const first = await rows.claim({ task: 't', fields: ['x'], ids });
    expect(first.outcome).toBe('rows');
    expect(await rows.claim({ task: 't', fields: ['x'], ids })).toMatchObject({ outcome: 'timed_out', leased: 2 });
  });
});

/** Rows whose score is their id. */
async function scored(count: number): Promise<Partition> {
  const rows = await real.fresh(count, { numbers: ['score'] });
  const ids = Array.from({ length: count }, (_, id) => id);
  await rows.tag(
    ids,
    ids.map((score) => ({ score })),
  );
  return rows;
}

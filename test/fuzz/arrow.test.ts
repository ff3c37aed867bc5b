import { describe, expect, it } from 'vitest';
import { EOS, PieceList, composeBatch, schemaMessage, walkStream } from '../../core/arrow/index.ts';
import type { ColumnSource, OutputColumn, WalkedStream } from '../../core/arrow/index.ts';
import { partCount } from '../../core/layout.ts';
import { askPyarrow } from '../core/arrow/oracle.ts';
import { cellsOf, joined, refusalOf, seeded, walked } from '../core/arrow/fixtures.ts';
import { isLong, runsOr, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { arrowCorpus, mutantOf } from './arrow-mutants.ts';

/** SEED=n and RUNS=n choose other mutants, TQ_LONG=1 a million; what fails prints the seed. */
const count = runsOr(isLong ? 1_000_000 : 20_000);
const seed = seedOr(1);
const perProcess = 5_000;

type Accepts = (stream: Uint8Array) => WalkedStream | null;

/** The mutants that `accepts` takes and pyarrow does not, or reads otherwise. */
async function disagreements(mutants: readonly Uint8Array<ArrayBuffer>[], accepts: Accepts): Promise<string[]> {
  const taken = mutants.filter((mutant) => accepts(mutant) !== null);
  const answers = await askPyarrow(taken);
  const found: string[] = [];
  taken.forEach((mutant, i) => {
    const stream = accepts(mutant)!;
    const { error, ids, columns } = answers[i];
    if (error !== undefined) found.push(`pyarrow refuses: ${error}: ${base64(mutant)}`);
    else {
      const { index_id: _, ...cells } = columns!;
      const ours = JSON.stringify(sorted(cellsOf(mutant, stream)));
      if (ours !== JSON.stringify(sorted({ ids: [...ids!], columns: cells }))) {
        found.push(`pyarrow reads other cells: ${base64(mutant)}`);
      }
    }
  });
  return found;
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

function sorted({
  ids,
  columns,
}: {
  ids: readonly number[];
  columns: Readonly<Record<string, readonly string[]>>;
}): unknown {
  return [ids, Object.entries(columns).sort(([a], [b]) => (a < b ? -1 : 1))];
}

const walker: Accepts = (stream) => {
  const result = walkStream(stream);
  return result.ok ? result : null;
};

/** All rows of the stream in reverse, through the composer. */
function composeReversed(stream: Uint8Array<ArrayBuffer>, { fields, batches }: WalkedStream): Uint8Array<ArrayBuffer> {
  const order = batches
    .flatMap(({ rows }, source) => Array.from({ length: rows }, (_, row) => [source, row]))
    .reverse();
  const sourceOf = order.map(([source]) => source);
  const ordinals = order.map(([, row]) => row);
  const columns = fields.map((field, i): OutputColumn => {
    const sources = batches.map(({ columns: stored }): ColumnSource => {
      const { regions } = stored[i];
      const hasOffsets = partCount(field.layout) > 1;
      return {
        extent: 0,
        regions,
        offsets: hasOffsets ? new Int32Array(stream.buffer, regions[0], regions[1] / 4) : null,
      };
    });
    return { ...field, kind: 'gathered', sources, sourceOf, ordinals };
  });
  const list = new PieceList();
  list.pushCopy(schemaMessage(fields));
  const ids = order.map(([source, row]) => batches[source].ids[row]);
  expect(composeBatch(list, order.length, [{ kind: 'int64', name: 'index_id', values: ids }, ...columns]).ok).toBe(
    true,
  );
  list.pushCopy(EOS);
  return joined(list.views(() => stream));
}

function makeMutants(many: number, from: number): Uint8Array<ArrayBuffer>[] {
  const corpus = arrowCorpus();
  const random = seeded(from);
  return Array.from({ length: many }, () => mutantOf(corpus, random));
}

describe('mutants of Arrow streams', () => {
  it(
    'are never accepted where pyarrow refuses, and never read otherwise',
    async () => {
      let accepted = 0;
      for (let done = 0; done < count; done += perProcess) {
        const mutants = makeMutants(Math.min(perProcess, count - done), 7919 * seed + done);
        accepted += mutants.filter((mutant) => walker(mutant) !== null).length;
        expect(await disagreements(mutants, walker), `seed ${seed}, from ${done}`).toEqual([]);
      }
      // A fuzzer whose mutants are all refused, or all accepted, finds nothing.
      expect(accepted / count).toBeGreaterThan(0.05);
      expect(accepted / count).toBeLessThan(0.9);
    },
    TIMEOUT_MS,
  );

  it('compose to the same cells where they are accepted', () => {
    for (const mutant of makeMutants(2_000, seed)) {
      const result = walker(mutant);
      if (result === null) continue;
      const answer = composeReversed(mutant, result);
      const { ids, columns } = cellsOf(mutant, result);
      expect(cellsOf(answer, walked(answer))).toEqual({
        ids: ids.toReversed(),
        columns: Object.fromEntries(Object.entries(columns).map(([name, cells]) => [name, cells.toReversed()])),
      });
    }
  });

  it('canary: a walker that takes a stream with bad offsets is found', async () => {
    // It believes of every mutant what it knows of the good stream.
    const corpus = arrowCorpus().slice(0, 8);
    const blind: Accepts = (stream) => (stream.length === corpus[2].length ? walked(corpus[2]) : null);
    const random = seeded(seed);
    const mutants = Array.from({ length: 200 }, () => mutantOf([corpus[2]], random));
    const refused = mutants.filter((mutant) => blind(mutant) !== null && walker(mutant) === null);
    expect(refused.length).toBeGreaterThan(20);
    expect((await disagreements(mutants, blind)).length).toBeGreaterThan(20);
  });

  it('are refused with codes of the catalogue only', () => {
    const codes = new Set(
      makeMutants(2_000, seed + 1)
        .filter((mutant) => walker(mutant) === null)
        .map((mutant) => refusalOf(mutant).code),
    );
    expect(codes.size).toBeGreaterThan(5);
  });
});

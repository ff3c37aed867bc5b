/** A node, the rows that it should have, and those that it should have had at each snapshot that is open. */
import { expect } from 'vitest';
import type { Selection } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import { read } from '../../../server/engine/read.ts';
import type { SegmentCompaction } from '../../../server/engine/segment_compaction.ts';
import { caller, declareTest, openTestNode, putText, valuesOf } from '../../support/node.ts';
import { simEnv, type SimEnv } from '../../support/sim_env.ts';
import { compact, compactionOf } from './space.ts';

export const DIR = '/data';
export const FIELDS = ['a', 'b', 'c'];
/** Longer than any test waits in simulated time. */
export const LEASE_MS = 3_600_000;
/** From one survey of worn extents to the next, and some more for the work. */
const SURVEY_MS = 20_000;
export const ID_END = 2 ** 53;

type Rows = ReadonlyMap<number, ReadonlyMap<string, string>>;

export interface Wanted {
  readonly fields?: readonly string[] | null;
  readonly lsn?: number;
  readonly waitMs?: number;
  readonly partition?: string;
}

/** The values of an answer by field, in the order of its rows. */
export async function readAt(node: Node, select: Selection, wanted: Wanted): Promise<Record<string, string[]>> {
  const { fields = null, lsn, waitMs = 0, partition = 'p' } = wanted;
  const outcome = await read(node, { partition, select, fields, waitMs, lsn }, caller);
  if (outcome.kind !== 'rows') throw new Error(`the read ended as ${outcome.kind}`);
  return { ...(await valuesOf(node, outcome.located)), next: [String(outcome.next)] };
}

export const byIds = (...ids: number[]): Selection => ({ by: 'ids', ids: Float64Array.from(ids) });
export const byRange = (start: number, end: number, rowsMax: number): Selection => ({
  by: 'range',
  start,
  end,
  rowsMax,
});

export class World {
  readonly node: Node;
  readonly env: SimEnv;
  readonly compaction: SegmentCompaction;
  readonly rows = new Map<number, ReadonlyMap<string, string>>();
  /** In the order of their declaration. */
  readonly declared = new Set<string>();
  readonly open: { readonly snapshot: string; readonly lsn: number; readonly rows: Rows; readonly fields: string[] }[] =
    [];
  #version = 0;

  constructor(node: Node, env: SimEnv) {
    this.node = node;
    this.env = env;
    this.compaction = compactionOf(node);
  }

  static async start(): Promise<World> {
    const env = simEnv();
    const { node } = await openTestNode(env, DIR);
    await declareTest(node, 'p');
    return new World(node, env);
  }

  async put(ids: readonly number[], field: string, size: number): Promise<void> {
    const version = this.#version++;
    const values = ids.map((id) => `${id}/${field}/${version}/`.padEnd(size, String(version % 10)));
    await putText(this.node, 'p', ids, field, values);
    this.declared.add(field);
    for (const [i, id] of ids.entries()) this.rows.set(id, new Map([...(this.rows.get(id) ?? []), [field, values[i]]]));
  }

  async delete(ids: readonly number[]): Promise<void> {
    await deleteRows(this.node, 'p', { ids: Float64Array.from(ids), requestId: '' });
    for (const id of ids) this.rows.delete(id);
  }

  async snapshot(leaseMs = LEASE_MS): Promise<void> {
    const { snapshot, lsn } = await this.node.snapshots.open(leaseMs);
    this.open.push({ snapshot, lsn, rows: new Map(this.rows), fields: [...this.declared] });
  }

  close(choice: number): void {
    for (const { snapshot } of this.open.splice(choice % Math.max(1, this.open.length), 1)) {
      this.node.snapshots.close(snapshot);
    }
  }

  async checkpoint(): Promise<void> {
    await this.node.checkpoints.run();
    await this.node.parts.tree.compacted();
  }

  /** Lets segments be compacted and extents be written anew, as far as there is reason to. */
  async reclaim(): Promise<void> {
    await compact({ env: this.env, node: this.node, compaction: this.compaction });
    await this.env.clock.advance(SURVEY_MS);
    await this.node.rewrite.idle();
  }

  /** Reads rows at every snapshot, and compares. */
  async check(ids: readonly number[], fields: readonly string[] | null): Promise<void> {
    for (const { lsn, rows, fields: known } of this.open) {
      const names = fields === null ? known : fields.filter((field) => this.declared.has(field));
      const has = (id: number): boolean => rows.has(id) && names.every((name) => rows.get(id)!.has(name));
      const cells = (some: readonly number[]): Record<string, string[]> => ({
        index_id: some.map(String),
        ...Object.fromEntries(names.map((name) => [name, some.map((id) => rows.get(id)!.get(name)!)])),
      });
      const wanted = { fields: fields === null ? null : names, lsn };
      const missing = ids.filter((id) => !has(id));
      const asked = readAt(this.node, byIds(...ids), wanted);
      if (missing.length === 0) expect(await asked).toEqual({ ...cells(ids), next: ['null'] });
      else await expect(asked).rejects.toMatchObject({ code: 'rows_missing', details: { missing } });
      await this.#checkRange({ names: wanted.fields, lsn, rows, has, cells });
    }
  }

  async #checkRange({
    names,
    lsn,
    rows,
    has,
    cells,
  }: {
    names: readonly string[] | null;
    lsn: number;
    rows: Rows;
    has: (id: number) => boolean;
    cells: (ids: readonly number[]) => Record<string, string[]>;
  }): Promise<void> {
    const rowsMax = 4;
    const sorted = [...rows.keys()].sort((a, b) => a - b);
    for (let start = 0, at = 0; ; at += rowsMax) {
      const page = sorted.slice(at, at + rowsMax);
      const next = sorted.length > at + rowsMax ? sorted[at + rowsMax] : null;
      const found = await readAt(this.node, byRange(start, ID_END, rowsMax), { fields: names, lsn });
      expect(found).toEqual({ ...cells(page.filter(has)), next: [String(next)] });
      if (next === null) return;
      start = next;
    }
  }
}

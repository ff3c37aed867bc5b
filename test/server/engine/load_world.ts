/** Saves and loads partitions as clients do, against a node. */
import type { Node } from '../../../server/engine/node.ts';
import { read } from '../../../server/engine/read.ts';
import { openStateSnapshot, stateOf } from '../../../server/engine/saving.ts';
import type { Loaded } from '../../../server/engine/loads.ts';
import { machine, type PartitionQueue } from '../../../server/queue/machine.ts';
import { bytesOf, caller, putBody } from '../../support/node.ts';

const ROWS_PER_FILE = 3;
const LEASE_MS = 60_000;

export interface Saved {
  readonly name: string;
  readonly state: Buffer;
  /** Bodies of puts. */
  readonly bodies: readonly Buffer[];
}

interface Header {
  readonly sets: readonly { readonly fields: readonly string[]; readonly rows: number }[];
}

/** `during` is called before each step. */
export async function save(node: Node, during: () => Promise<void> = async () => undefined): Promise<Saved[]> {
  const { snapshot, lsn, partitions } = await openStateSnapshot(node, LEASE_MS);
  const saved: Saved[] = [];
  for (const name of partitions) {
    await during();
    const state = await savedState(node, snapshot, name);
    const bodies: Buffer[] = [];
    for (const { fields, ids } of rowsOf(state)) {
      for (let from = 0; from < ids.length; from += ROWS_PER_FILE) {
        await during();
        const some = ids.subarray(from, from + ROWS_PER_FILE);
        const command = { partition: name, select: { by: 'ids', ids: some }, fields, waitMs: 0, lsn } as const;
        const outcome = await read(node, command, caller);
        if (outcome.kind !== 'rows') throw new Error(`the read ended as ${outcome.kind}`);
        bodies.push(await bytesOf(node, outcome.located));
      }
    }
    saved.push({ name, state, bodies });
  }
  node.snapshots.close(snapshot);
  return saved;
}

export async function savedState(node: Node, snapshot: string, name: string): Promise<Buffer> {
  const { parts, give } = await stateOf(node, snapshot, name);
  give();
  return Buffer.concat(parts);
}

/** Says the name to put the rows to. */
export function stage(node: Node, load: string, name: string, state: Buffer): Promise<string> {
  return node.loads.stage(load, name, { size: state.length, receive: () => Promise.resolve(state) });
}

/** What a client reads of a state: which rows have which fields. */
export function rowsOf(state: Buffer): { fields: readonly string[]; ids: Float64Array }[] {
  const size = state.readUInt32LE(8);
  const { sets } = JSON.parse(state.toString('utf8', 12, 12 + size)) as Header;
  let at = 12 + size;
  return sets.map(({ fields, rows }) => {
    const ids = Float64Array.from({ length: rows }, (_, i) => Number(state.readBigInt64LE(at + 8 * i)));
    at += 8 * rows;
    return { fields, ids };
  });
}

/** Stages everything and puts its rows; the commit is left to the caller. */
export async function stageAll(node: Node, saved: readonly Saved[]): Promise<string> {
  const { load } = node.loads.open(LEASE_MS);
  for (const { name, state, bodies } of saved) {
    const staging = await stage(node, load, name, state);
    for (const body of bodies) await putBody(node, staging, body);
  }
  return load;
}

export async function load(node: Node, saved: readonly Saved[], replace = false): Promise<Loaded> {
  const loaded = await node.loads.commit(await stageAll(node, saved), { replace });
  return loaded;
}

/** What a queue says of its rows, as data that another node must agree with: claims are not part of it. */
export function viewOf(queue: PartitionQueue): unknown {
  const { sealed, version, rowsAdmitted, evicted, settings } = queue;
  const list = machine.listRows(queue, { from: 0, rowsMax: 10_000 });
  const rows = Array.from(list.ids, (id) => {
    const { fields, tasks } = machine.rowStatus(queue, id)!;
    const standing = tasks.map(({ task, state, returns }) => [task, state === 'leased' ? 'unclaimed' : state, returns]);
    return { id, fields, standing, tags: machine.tagsOfRow(queue, id) };
  });
  const tasks = Array.from(queue.tasks.values(), ({ name, skipped, fields }) => ({ name, skipped, fields }));
  return { sealed, version, rowsAdmitted, evicted, settings: { ...settings, name: '' }, rows, tasks };
}

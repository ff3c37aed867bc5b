/**
 * Seeded lives of a node on a simulated disk: random puts, overwrites, deletes, drops and claims, a power cut at a
 * random change of the disk, a start from what it left, and again. After each start the cells are held against their
 * history.
 *
 *   history of a cell   op (required) | op | op ...       required: acknowledged at level `disk`, or below `durableLsn`
 *
 * Invariants checked: the directory opens; a cell shows its last required op or a later one, as a whole; it shows
 * nothing that was not put there; its row has the tags of the same put; a second start shows the same as the first.
 */
import { endClaim } from '../../../server/engine/claims.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, drop } from '../../../server/engine/partitions.ts';
import { tagRows } from '../../../server/engine/tags.ts';
import { machine } from '../../../server/queue/machine.ts';
import { bodyOf, claimOf, declareTest, openTestNode, putBody, readText, valuesOf } from '../../support/node.ts';
import { seededRandom, settle, simEnv, SimFs, type SimClock, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const MEMORY_SIZE = 9 << 20;
const PARTITIONS = { disk: 'disk', os: 'os', both: 'os' } as const;
const FIELDS = ['a', 'b'] as const;
const LAYOUTS = new Map(FIELDS.map((name) => [name, { layout: 'bytes' } as const]));
const IDS = [0, 1, 2, 3, 4, 5];
const STEPS_MAX = 40;
const CUTS = 3;
const SECTOR = 512;

type Random = () => number;

/** What one op made of a cell: a value, or null when it took the cell away. */
interface Op {
  readonly value: string | null;
  /** Infinity until it is acknowledged. */
  lsn: number;
  isDisk: boolean;
}

type Histories = Map<string, Op[]>;

interface Life {
  readonly random: Random;
  histories: Histories;
  env: SimEnv;
  opened: OpenedNode;
  versions: number;
}

/** What a power cut came upon. */
interface Moment {
  readonly fs: SimFs;
  readonly histories: Histories;
  readonly durableLsn: number;
}

/** One seed. Rejects with the first violation. */
export async function live(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const env = simEnv(SimFs.withReserve(DIR));
  const opened = await openTestNode(env, DIR, MEMORY_SIZE);
  const life: Life = { random, histories: new Map(), env, opened, versions: 0 };
  for (let cut = 0; cut < CUTS; cut++) {
    const moment = await workUntilCut(life);
    const { clock } = life.env;
    const shown = await startAndCheck(life, moment, clock);
    if (random() < 0.5) await restartAndCompare(life, shown, clock);
  }
}

async function workUntilCut(life: Life): Promise<Moment> {
  const { env, random, opened } = life;
  let moment: Moment | null = null;
  let changesLeft = 1 + Math.floor(random() * 60);
  env.fs.onChange = () => {
    if (--changesLeft === 0) moment = take(life);
  };
  await Promise.all(
    Object.entries(PARTITIONS).map(([name, ack]) => declareTest(opened.node, name, { ack, fields: LAYOUTS })),
  );
  const flying: Promise<void>[] = [];
  for (let step = 0; step < STEPS_MAX && moment === null; step++) {
    const op = act(life);
    // An op that is refused is acknowledged never: its history stays open.
    flying.push(op.catch(() => undefined));
    if (random() < 0.7) await op.catch(() => undefined);
  }
  await Promise.all(flying);
  env.fs.onChange = () => undefined;
  return moment ?? take(life);
}

function take({ env, random, histories, opened }: Life): Moment {
  const copy = new Map([...histories].map(([cell, ops]) => [cell, ops.map((op) => ({ ...op }))]));
  const names = random();
  const keepName = (): boolean => (names < 0.3 ? false : names < 0.6 ? true : random() < 0.5);
  const fs = env.fs.afterPowerCut({ keep: keeper(random), keepName });
  return { fs, histories: copy, durableLsn: opened.node.parts.journal.durableLsn };
}

/** Per file: nothing but what was synced, all, a prefix, or some of the sectors. */
function keeper(random: Random): (path: string, current: Buffer, durable: Buffer) => Buffer {
  return (_, current, durable) => {
    const mode = random();
    if (mode < 0.25) return durable;
    if (mode < 0.45) return current;
    const size = random() < 0.5 ? current.length : durable.length;
    const end = Math.max(durable.length, Math.floor(random() * (current.length + 1)));
    if (mode < 0.7) return Buffer.concat([durable, current.subarray(durable.length, end)]);
    const kept = Buffer.alloc(Math.max(size, durable.length));
    kept.set(durable);
    for (let at = 0; at < kept.length; at += SECTOR) {
      if (random() < 0.5) kept.set(current.subarray(at, Math.min(at + SECTOR, kept.length)), at);
    }
    return kept;
  };
}

function act(life: Life): Promise<void> {
  const { random, env, opened } = life;
  const names = Object.keys(PARTITIONS) as (keyof typeof PARTITIONS)[];
  const name = names[Math.floor(random() * names.length)];
  const ids = IDS.filter(() => random() < 0.4);
  const choice = random();
  if (choice < 0.62) return put(life, name, ids);
  if (choice < 0.65) return tag(life, name, ids);
  if (choice < 0.75) return remove(life, name, ids);
  if (choice < 0.79) return dropAndDeclare(life, name);
  if (choice < 0.89) return claim(life, name);
  return choice < 0.97 ? env.clock.advance(1_001) : opened.node.makeDurable();
}

async function put(life: Life, name: keyof typeof PARTITIONS, ids: readonly number[]): Promise<void> {
  const { random, opened } = life;
  if (ids.length === 0) return;
  const field = FIELDS[Math.floor(random() * FIELDS.length)];
  const isDisk = name === 'disk' || (name === 'both' && random() < 0.5);
  const size = random() < 0.06 ? 300_000 : Math.floor(random() * 2_000);
  const values = ids.map((id) => `${name}/${id}/${field}/${++life.versions}/`.padEnd(size, '.'));
  const ops = ids.map((id, i) => begin(life, cellOf(name, id, field), { value: values[i], isDisk }));
  const tags = values.map((value) => JSON.stringify({ [field]: versionOf(value) }));
  const body = bodyOf(ids, field, values, true, tags);
  const { lsn } = await putBody(opened.node, name, body, { ack: isDisk ? 'disk' : null });
  for (const op of ops) op.lsn = lsn;
}

/** Each row is tagged with the versions of the cells that it shows. */
const versionOf = (value: string): string => value.split('/')[3];

/** Tags that come without a put must not keep a start from leaving out the put that brought their row. */
async function tag({ opened }: Life, name: keyof typeof PARTITIONS, ids: readonly number[]): Promise<void> {
  await tagRows(opened.node, { partition: name, ids: Float64Array.from(ids), tags: ['{"seen":true}'], requestId: '' });
}

async function remove(life: Life, name: keyof typeof PARTITIONS, ids: readonly number[]): Promise<void> {
  const ops = gone(life, name, ids);
  const { lsn } = await deleteRows(life.opened.node, name, { ids: Float64Array.from(ids), requestId: '' });
  for (const op of ops) op.lsn = lsn;
}

async function dropAndDeclare(life: Life, name: keyof typeof PARTITIONS): Promise<void> {
  const ops = gone(life, name, IDS);
  const { node } = life.opened;
  const dropping = drop(node, name);
  const declaring = declareTest(node, name, { ack: PARTITIONS[name], fields: LAYOUTS });
  const lsn = await dropping;
  for (const op of ops) op.lsn = lsn;
  await declaring;
}

/** Claims keep extents alive that nothing else keeps; some are acked, some are left. */
async function claim(life: Life, name: keyof typeof PARTITIONS): Promise<void> {
  const { random, opened } = life;
  const requestId = `${name}-${Math.floor(random() * 4)}`;
  const outcome = await claimOf(opened.node, name, { fields: ['a'], requestId, leaseMs: 3_000 });
  if (outcome.kind !== 'claimed') return;
  checkOwn(life.histories, name, await valuesOf(opened.node, outcome.located));
  if (random() < 0.5) await endClaim(opened.node, outcome.token, 'ack', '');
}

function gone(life: Life, name: keyof typeof PARTITIONS, ids: readonly number[]): Op[] {
  const cells = ids.flatMap((id) => FIELDS.map((field) => cellOf(name, id, field)));
  return cells.map((cell) => begin(life, cell, { value: null, isDisk: name === 'disk' }));
}

function begin(life: Life, cell: string, op: Pick<Op, 'value' | 'isDisk'>): Op {
  const begun = { ...op, lsn: Infinity };
  life.histories.set(cell, [...(life.histories.get(cell) ?? []), begun]);
  return begun;
}

const cellOf = (name: string, id: number, field: string): string => `${name}/${id}/${field}/`;

/** Starts from what the cut left, compares with the histories, and begins new ones at what is there. */
async function startAndCheck(life: Life, moment: Moment, clock: SimClock): Promise<Map<string, string>> {
  life.env = simEnv(moment.fs, clock);
  life.opened = await openTestNode(life.env, DIR, MEMORY_SIZE);
  const shown = await cellsOf(life.opened, moment.histories);
  for (const [cell, ops] of moment.histories) {
    const possible = possibleValues(ops, moment.durableLsn);
    const value = shown.get(cell) ?? null;
    if (!possible.includes(value)) throw violation(cell, value, possible);
  }
  const lsn = 0;
  life.histories = new Map(
    [...moment.histories].map(([cell, ops]) => [
      cell,
      [...ops.map((op) => ({ ...op, lsn: -1 })), { value: shown.get(cell) ?? null, lsn, isDisk: true }],
    ]),
  );
  return shown;
}

/** What the last required op made of the cell, or a later one. */
function possibleValues(ops: readonly Op[], durableLsn: number): (string | null)[] {
  const sorted = [...ops].sort((a, b) => (a.lsn === b.lsn ? 0 : a.lsn - b.lsn));
  const isRequired = ({ lsn, isDisk }: Op): boolean => lsn <= durableLsn || (isDisk && lsn !== Infinity);
  const last = sorted.findLastIndex(isRequired);
  return [...(last === -1 ? [null] : []), ...sorted.slice(Math.max(0, last)).map((op) => op.value)];
}

function violation(cell: string, value: string | null, possible: readonly (string | null)[]): Error {
  const brief = (one: string | null): string => (one === null ? 'nothing' : `${one.slice(0, 40)} (${one.length})`);
  return new Error(`cell ${cell} shows ${brief(value)}; possible: ${possible.map(brief).join(', ')}`);
}

async function cellsOf({ node }: OpenedNode, histories: Histories): Promise<Map<string, string>> {
  const shown = new Map<string, string>();
  for (const partition of node.parts.state.store.partitions()) {
    const { name } = partition.settings;
    for (const { id: field, name: fieldName } of partition.fields) {
      const queue = node.parts.state.queue(partition);
      const ids = IDS.filter((id) => machine.rowHas(queue, id, [field]));
      const values = await readText(node, name, ids, [fieldName]);
      for (const [i, id] of ids.entries()) {
        const value = values[fieldName][i];
        shown.set(cellOf(name, id, fieldName), value);
        const version = machine.tagsOfRow(queue, id)[fieldName] as string;
        if (version !== versionOf(value)) throw new Error(`row ${id} of ${name} shows ${value}, tagged ${version}`);
      }
    }
    const claimed = await claimOf(node, name, { fields: ['a'], requestId: `${name}-0` }).catch(() => null);
    if (claimed?.kind === 'claimed') checkOwn(histories, name, await valuesOf(node, claimed.located));
  }
  return shown;
}

/** Values of a claim may be older than the cells, but were put there once. */
function checkOwn(histories: Histories, name: string, values: Record<string, string[]>): void {
  for (const [i, id] of values.index_id.entries()) {
    const ops = histories.get(cellOf(name, Number(id), 'a')) ?? [];
    if (!ops.some((op) => op.value === values.a[i])) throw violation(`${name}/${id}/a, claimed,`, values.a[i], []);
  }
}

/** A crash right after a start, of the process or of the machine, loses nothing of what that start found. */
async function restartAndCompare(life: Life, shown: ReadonlyMap<string, string>, clock: SimClock): Promise<void> {
  await settle();
  const { fs } = life.env;
  const next = life.random() < 0.5 ? fs.afterCrash() : fs.afterPowerCut({ keep: keeper(life.random) });
  life.env = simEnv(next, clock);
  life.opened = await openTestNode(life.env, DIR, MEMORY_SIZE);
  const again = await cellsOf(life.opened, life.histories);
  for (const cell of new Set([...shown.keys(), ...again.keys()])) {
    if (shown.get(cell) !== again.get(cell)) throw violation(cell, again.get(cell) ?? null, [shown.get(cell) ?? null]);
  }
}

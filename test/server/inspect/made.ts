/** Directories that real nodes made on a simulated disk, for those who look at them, and ways to damage them. */
import { deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { endClaim } from '../../../server/engine/claims.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { verifyDirectory } from '../../../server/inspect/verify.ts';
import { silentMeter } from '../../../server/inspect/meter.ts';
import type { Report } from '../../../server/inspect/report.ts';
import { claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { giveMemory, simEnv, SimFs, takeMemory, turn, type SimEnv } from '../../support/sim_env.ts';

export const DIR = '/data';
const MEMORY_SIZE = 7 << 20;
/** Above a quarter of a frame, so that a put gets a sealed segment of its own. */
const LARGE = 400_000;

export interface Made extends OpenedNode {
  readonly env: SimEnv;
  /** Ends it as kill -9 does; its memory goes to those that come after. */
  abandon(): Promise<void>;
}

export async function openOn(fs: SimFs): Promise<Made> {
  fs.pace = () => Promise.resolve();
  const env = simEnv(fs);
  const memory = takeMemory(MEMORY_SIZE);
  const opened = await openTestNode(env, DIR, MEMORY_SIZE, { memory });
  const abandon = async (): Promise<void> => {
    opened.node.parts.state.close();
    env.end();
    await turn();
    giveMemory(memory);
  };
  return { ...opened, env, abandon };
}

export interface MakeOptions {
  /** Before the last few events. */
  readonly checkpoint?: boolean;
  /** Ends it as kill -9 does; else it is stopped. */
  readonly killed?: boolean;
  /** Further rows, so that the index takes more than one block. */
  readonly rows?: number;
}

/** Partitions of two levels, small and large puts, rows put twice, deletes, claims in each of their states. */
export async function makeDirectory({
  checkpoint = false,
  killed = false,
  rows = 0,
}: MakeOptions = {}): Promise<SimFs> {
  const made = await openOn(SimFs.withReserve(DIR));
  const { node } = made;
  await declareTest(node, 'p', { groupSize: 2 });
  await declareTest(node, 'safe', { ack: 'disk' });
  await declareTest(node, 'gone');
  await putText(node, 'p', [1, 2, 3, 4], 'a', ['one', 'two', 'three', 'four'], { requestId: 'first' });
  await putText(node, 'p', [3, 4, 5, 6], 'b', ['b3', 'b4', 'b5', 'b6']);
  await putText(node, 'safe', [10, 11], 'text', ['x'.repeat(LARGE), 'short']);
  await putText(node, 'safe', [12, 13], 'text', ['y'.repeat(LARGE), 'short']);
  await putText(node, 'gone', [1], 'a', ['gone']);
  const claimed = await claimOf(node, 'p', { fields: ['a'], rowsMax: 2, task: 'trainer' });
  if (claimed.kind === 'claimed') {
    claimed.located.close();
    await endClaim(node, claimed.token, 'ack', 'ack-1');
  }
  await drop(node, 'gone');
  if (rows > 0) await putMany(node, rows);
  if (checkpoint) await node.checkpoints.run();
  await putText(node, 'p', [2], 'a', ['two again']);
  const leased = await claimOf(node, 'p', { fields: ['a'], rowsMax: 2, task: 'trainer' });
  if (leased.kind === 'claimed') leased.located.close();
  await deleteRows(node, 'safe', { ids: Float64Array.of(12), requestId: 'delete-12' });
  await seal(node, 'safe');
  if (!killed) await made.close();
  return made.env.fs.afterCrash();
}

/** Ids far from each other and values of their own, put twice, so that little of the index is alike. */
async function putMany(node: Node, rows: number): Promise<void> {
  await declareTest(node, 'many');
  const ids = Array.from({ length: rows }, (_, i) => i * 7_919);
  await putText(node, 'many', ids, 'a', ids.map(String));
  await putText(
    node,
    'many',
    ids.filter((id) => id % 3 === 0),
    'b',
    ids.filter((id) => id % 3 === 0).map(String),
  );
}

/** Paths of the files in a folder of the directory, less what is no data. */
export function pathsIn(fs: SimFs, folder: string): string[] {
  return [...fs.files.keys()].filter((path) => path.startsWith(`${DIR}/${folder}/`)).sort();
}

/** All bytes, by path. */
export function imageOf(fs: SimFs): Map<string, string> {
  return new Map([...fs.files].map(([path, { current }]) => [path, current.toString('latin1')]));
}

/** The same directory with one bit of a file changed. */
export function flipped(fs: SimFs, path: string, at: number, bit = 0): SimFs {
  return withBytes(fs, path, (bytes) => {
    bytes[at] ^= 1 << bit;
    return bytes;
  });
}

/** The same directory with other bytes in a file, or without it. */
export function withBytes(fs: SimFs, path: string, change: (bytes: Buffer) => Buffer | null): SimFs {
  const next = new SimFs(fs.disk.fork());
  next.boot = fs.boot;
  const bytes = change(Buffer.from(next.files.get(path)!.current));
  if (bytes === null) next.files.delete(path);
  else next.files.set(path, { current: bytes, durable: Buffer.from(bytes) });
  return next;
}

export function verifyOn(fs: SimFs): Promise<Report> {
  return verifyDirectory(simEnv(fs), DIR, silentMeter);
}

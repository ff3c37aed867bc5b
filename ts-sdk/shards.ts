/**
 * Which node holds which row, as every client in every language works it out.
 *
 *   shard = xxh64(le64(floor(id / groupSize))) % shards           node = first of the rendezvous ranking of the shard
 *
 * The map comes from `/v1/cluster` at the first call that needs it, and again when a node says 421 wrong_node.
 */
import { core } from './core.ts';
import { clientError } from './errors.ts';

/** Where rows may come to any of several nodes, each is asked to wait this long at most before the next is asked. */
export const TURN_MS = 250;

/** The address of a node. */
export interface Node {
  readonly id: string;
  readonly url: string;
}

/** Some of the rows of a call, all on one node. `positions` are their places in the call, ascending. */
export interface Share {
  readonly node: Node;
  readonly positions: Uint32Array;
}

/** One version of the map. */
export class ShardMap {
  readonly epoch: number;
  readonly nodes: readonly Node[];
  /** Index of its node, per shard. Empty with one node, which holds everything. */
  readonly #owners: Uint32Array;

  constructor({ epoch, shards, nodes }: { epoch: number; shards: number; nodes: readonly Node[] }) {
    this.epoch = epoch;
    this.nodes = nodes;
    if (nodes.length === 1) {
      this.#owners = new Uint32Array(0);
      return;
    }
    const hashes = core().nodeHashes(nodes.map((node) => node.id));
    const all = countUp(shards);
    this.#owners = core().rendezvous(all, { hashes, count: 1 });
  }

  /** True when every row is on the one node there is. */
  get isSingle(): boolean {
    return this.nodes.length === 1;
  }

  /** The rows of a call by node. Nodes without rows are left out; a call without rows is the first node's. */
  split(ids: ArrayLike<number>, groupSize: number): Share[] {
    if (this.isSingle) return [{ node: this.nodes[0], positions: countUp(ids.length) }];
    const shards = core().shardsOf(ids, { groupSize, shards: this.#owners.length });
    const positions: number[][] = this.nodes.map(() => []);
    shards.forEach((shard, position) => positions[this.#owners[shard]].push(position));
    if (ids.length === 0) return [{ node: this.nodes[0], positions: new Uint32Array(0) }];
    return this.nodes
      .map((node, index) => ({ node, positions: Uint32Array.from(positions[index]) }))
      .filter((share) => share.positions.length > 0);
  }
}

/** Reads the answer of `/v1/cluster`. The only node of a map is reached where the caller reached it, by `url`. */
export function parseShardMap(json: unknown, url: string): ShardMap {
  const { epoch, shards, nodes } = json as { epoch: unknown; shards: unknown; nodes: unknown };
  const isMap =
    Number.isSafeInteger(epoch) &&
    Number.isSafeInteger(shards) &&
    (shards as number) >= 1 &&
    Array.isArray(nodes) &&
    nodes.length > 0;
  if (!isMap || !(nodes as unknown[]).every(isNode)) throw clientError('answer_invalid', 'The shard map is not valid.');
  const known = nodes as Node[];
  return new ShardMap({
    epoch: epoch as number,
    shards: shards as number,
    nodes: known.length === 1 ? [{ id: known[0].id, url }] : known,
  });
}

function isNode(value: unknown): value is Node {
  const { id, url } = (value ?? {}) as { id?: unknown; url?: unknown };
  return typeof id === 'string' && typeof url === 'string' && URL.canParse(url);
}

/** 0, 1, 2 .. count - 1. */
function countUp(count: number): Uint32Array {
  const numbers = new Uint32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = i;
  return numbers;
}

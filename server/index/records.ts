/**
 * Units of state in the tree: what the parts of the node save at a checkpoint and load at a start.
 *
 *   key     02 | u32 partition | u8 kind | rest | u16 piece          pieces of at most 8 KiB, numbered from 0
 *   value   piece 0: u16 pieces | bytes        later pieces: bytes
 *
 * Invariants: a unit is read whole or refused; a unit that shrinks leaves no piece behind; within a kind no key begins
 * with another, so that the pieces of a unit stand together.
 */
import { StoreError } from '../errors.ts';
import { VALUE_SIZE_MAX, type Range, type Tree } from '../tree/api.ts';
import { partitionOf, PREFIX_SIZE, recordPrefix, recordRange } from './keys.ts';

/** Kinds sort in the order in which a start needs them. Released numbers are never reused. */
export const recordKinds = {
  request: 1,
  partition: 2,
  extent: 3,
  rowsLive: 4,
  queue: 5,
  grant: 6,
  restore: 7,
} as const;
export type RecordKind = keyof typeof recordKinds;

const kindOfNumber = new Map(
  Object.entries(recordKinds).map(([kind, number]) => [number as number, kind as RecordKind]),
);

interface Unit {
  readonly partition: number;
  readonly kind: RecordKind;
  /** The rest of the key. */
  readonly key: Uint8Array;
}

export interface SavedRecord extends Unit {
  readonly value: Uint8Array;
}

const PIECES_SIZE = 2;

export class Records {
  readonly #tree: Tree;
  /** How many pieces a unit has, by its key; units of one piece are not listed. */
  readonly #pieces = new Map<string, number>();

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  /** Writes a unit, or removes it when `value` is null. */
  write(unit: Unit & { readonly value: Uint8Array | null }, lsn: number): void {
    const key = keyOf(unit);
    const name = key.toString('latin1');
    const before = this.#pieces.get(name) ?? 1;
    const parts = unit.value === null ? [] : piecesOf(unit.value);
    for (const [piece, part] of parts.entries()) this.#tree.put(pieceKey(key, piece), part, lsn);
    for (let piece = parts.length; piece < before; piece++) this.#tree.delete(pieceKey(key, piece), lsn);
    this.#note(name, parts.length);
  }

  /** Writes a new unit into the frozen memtable. */
  writeFrozen(unit: Unit & { readonly value: Uint8Array }, lsn: number): void {
    const key = keyOf(unit);
    const parts = piecesOf(unit.value);
    for (const [piece, part] of parts.entries()) this.#tree.putFrozen(pieceKey(key, piece), part, lsn);
    this.#note(key.toString('latin1'), parts.length);
  }

  /** All units, in the order of partition, kind and key. */
  async *all(): AsyncGenerator<SavedRecord> {
    for await (const { first, parts } of this.#units(recordRange())) {
      if (parts.length > 1) this.#pieces.set(first.toString('latin1'), parts.length);
      yield recordOf(first, parts);
    }
  }

  /** The units of one kind of a partition, as a snapshot of this LSN sees them. */
  async *of(partition: number, kind: RecordKind, lsn: number): AsyncGenerator<SavedRecord> {
    const start = Buffer.concat([recordPrefix(partition), Uint8Array.of(recordKinds[kind])]);
    const end = Buffer.concat([recordPrefix(partition), Uint8Array.of(recordKinds[kind] + 1)]);
    for await (const { first, parts } of this.#units({ start, end, lsn })) yield recordOf(first, parts);
  }

  async *#units(range: Range): AsyncGenerator<{ readonly first: Buffer; readonly parts: readonly Uint8Array[] }> {
    let first: Buffer | null = null;
    let parts: Uint8Array[] = [];
    let wanted = 0;
    for await (const entries of this.#tree.scan(range)) {
      for (const { key, value } of entries) {
        if (first === null) {
          first = Buffer.from(key);
          parts = [];
          wanted = value.length < PIECES_SIZE ? 0 : Buffer.from(value).readUInt16LE(0);
        }
        if (wanted === 0 || !pieceKey(first, parts.length).equals(key)) throw lacksPiece();
        parts.push(value.slice(parts.length === 0 ? PIECES_SIZE : 0));
        if (parts.length < wanted) continue;
        yield { first, parts };
        first = null;
      }
    }
    if (first !== null) throw lacksPiece();
  }

  #note(name: string, pieces: number): void {
    if (pieces > 1) this.#pieces.set(name, pieces);
    else this.#pieces.delete(name);
  }
}

function lacksPiece(): StoreError {
  return new StoreError('data_corrupt', { reason: 'a unit of state lacks a piece' });
}

function keyOf({ partition, kind, key }: Unit): Buffer {
  return Buffer.concat([recordPrefix(partition), Uint8Array.of(recordKinds[kind]), key, new Uint8Array(2)]);
}

function piecesOf(value: Uint8Array): Uint8Array[] {
  const count = Math.ceil((PIECES_SIZE + value.length) / VALUE_SIZE_MAX);
  const first = Buffer.allocUnsafe(Math.min(VALUE_SIZE_MAX, PIECES_SIZE + value.length));
  first.writeUInt16LE(count, 0);
  first.set(value.subarray(0, first.length - PIECES_SIZE), PIECES_SIZE);
  const pieces: Uint8Array[] = [first];
  for (let from = first.length - PIECES_SIZE; from < value.length; from += VALUE_SIZE_MAX) {
    pieces.push(value.subarray(from, from + VALUE_SIZE_MAX));
  }
  return pieces;
}

function pieceKey(key: Buffer, piece: number): Buffer {
  const other = Buffer.from(key);
  other.writeUInt16BE(piece, key.length - 2);
  return other;
}

function recordOf(key: Buffer, parts: readonly Uint8Array[]): SavedRecord {
  const kind = kindOfNumber.get(key[PREFIX_SIZE]);
  if (kind === undefined)
    throw new StoreError('data_corrupt', { reason: `records of kind ${key[PREFIX_SIZE]} are unknown` });
  const value = parts.length === 1 ? parts[0] : Buffer.concat(parts);
  return { partition: partitionOf(key), kind, key: key.subarray(PREFIX_SIZE + 1, -2), value };
}

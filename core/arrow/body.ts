/**
 * Writes one record batch into a PieceList: head, nodes, buffers.
 *
 * Invariants: every buffer starts at a multiple of 8 of the body and is padded with zeros; the validity buffer of
 * every node is empty, since nothing is null.
 */
import type { Footprint } from './field.ts';
import { pad8 } from './format.ts';
import { batchMessageSize, writeBatchMessage } from './message.ts';
import type { PieceList } from './pieces.ts';

/** A column that is made here: index_id as int64, tq_attempt as int32, tq_tags as text. */
export type GeneratedColumn =
  | { readonly kind: 'int64' | 'int32'; readonly name: string; readonly values: ArrayLike<number> }
  | { readonly kind: 'text'; readonly name: string; readonly values: readonly string[] };

/** A record batch under construction: room for its head, then its buffers as they are written. */
export class BodyWriter {
  readonly list: PieceList;
  readonly rows: number;
  readonly nodes: number[] = [];
  readonly regions: number[] = [];
  readonly #headAt: number;
  readonly #start: number;
  #bufferStart = 0;

  constructor(list: PieceList, rows: number, size: Footprint) {
    this.list = list;
    this.rows = rows;
    this.#headAt = list.generate(batchMessageSize(size.nodes, size.buffers));
    this.#start = list.bytes;
  }

  /** A node and its validity buffer, which is empty. */
  node(length: number): void {
    this.nodes.push(length);
    this.regions.push(this.list.bytes - this.#start, 0);
  }

  beginBuffer(): void {
    this.#bufferStart = this.list.bytes;
  }

  endBuffer(): void {
    const length = this.list.bytes - this.#bufferStart;
    this.regions.push(this.#bufferStart - this.#start, length);
    this.list.pad(pad8(length));
  }

  /** A whole buffer of `size` bytes that is filled in through `list.words` from the index that is returned. */
  generatedBuffer(size: number): number {
    this.regions.push(this.list.bytes - this.#start, size);
    const at = this.list.generate(size + pad8(size));
    if (size % 8 !== 0) this.list.words[at + Math.floor(size / 4)] = 0;
    return at;
  }

  /** Writes the head, now that all is known. Returns the length of the body. */
  end(): number {
    const { list, rows, nodes, regions } = this;
    const bodyLength = list.bytes - this.#start;
    writeBatchMessage(list.words, this.#headAt, { rows, nodes, regions, bodyLength });
    return bodyLength;
  }
}

/** A column that is made from values in memory. */
export function generateColumn(body: BodyWriter, column: GeneratedColumn): void {
  body.node(body.rows);
  if (column.kind === 'text') return generateText(body, column.values);
  const { kind, values } = column;
  const at = body.generatedBuffer(body.rows * (kind === 'int64' ? 8 : 4));
  const { words } = body.list;
  if (kind === 'int32') {
    for (let row = 0; row < body.rows; row++) words[at + row] = values[row];
    return;
  }
  for (let row = 0; row < body.rows; row++) {
    words[at + 2 * row] = values[row];
    words[at + 2 * row + 1] = Math.floor(values[row] / 0x100000000);
  }
}

function generateText(body: BodyWriter, texts: readonly string[]): void {
  const { parts, lengths } = encoded(texts);
  const offsetsAt = body.generatedBuffer(4 * (texts.length + 1));
  body.list.words[offsetsAt] = 0;
  let size = 0;
  for (let row = 0; row < texts.length; row++) {
    size += lengths[row].length;
    body.list.words[offsetsAt + row + 1] = size;
  }
  const start = 4 * body.generatedBuffer(size);
  const { generated } = body.list;
  generated.fill(0, start + size, start + size + pad8(size));
  parts.reduce((at, part) => {
    generated.set(part, at);
    return at + part.length;
  }, start);
}

interface Encoded {
  readonly parts: readonly Uint8Array[];
  /** What has the length of each text in bytes. */
  readonly lengths: readonly { readonly length: number }[];
}

/** All in one part where they are ASCII: to encode many short texts costs more than to join them. */
function encoded(texts: readonly string[]): Encoded {
  const joined = encoder.encode(texts.join(''));
  const letters = texts.reduce((sum, text) => sum + text.length, 0);
  if (joined.length === letters) return { parts: [joined], lengths: texts };
  const parts = texts.map((text) => encoder.encode(text));
  return { parts, lengths: parts };
}

const encoder = new TextEncoder();

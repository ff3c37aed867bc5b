/**
 * Shared blobs in a checkpoint: each that rows of a partition name is in it once.
 *
 *   save   digests of the rows --several at a time, each once--> bytes --> files of about `FILE_SIZE`
 *   load   files --> uploads to the hidden partition, before its rows
 *
 * A file is an Arrow IPC stream, as those of rows are: index_id counts, `digest` has the SHA-256s, `bytes` the blobs.
 *
 * Invariants: what is saved has the digest that the rows name; a file is larger than `FILE_SIZE` by one blob at most.
 * The snapshot of a save keeps the server from releasing blobs.
 */
import type { FieldLayout } from '@transfer-queue/core/layout';
import { AT_ONCE_MAX, digestsOf, eachAtOnce, fetchBlob } from './blobs.ts';
import { FILE_SIZE } from './checkpoint_files.ts';
import { Column } from './column.ts';
import { decodeAnswer } from './decode.ts';
import { encodeRows } from './encode.ts';
import { clientError } from './errors.ts';
import type { Wire } from './wire.ts';

const DIGEST = 'digest';
const BYTES = 'bytes';

/** Where blobs are read from, or sent to. */
interface Place {
  readonly wire: Wire;
  readonly url: string;
  readonly partition: string;
  readonly signal: AbortSignal | undefined;
}

/** The digests that the rows of an answer name. */
export function namedBlobs(rows: Uint8Array): string[] {
  const columns = [...decodeAnswer(rows).columns.values()];
  return columns.filter(({ layout }) => layout.layout === 'blob').flatMap(digestsOf);
}

/** The content of files, each with its number of blobs. */
export async function* readBlobs(
  { wire, url, partition, signal }: Place,
  digests: readonly string[],
): AsyncGenerator<[content: Uint8Array, count: number]> {
  let piece = new Map<string, Uint8Array>();
  let size = 0;
  for (let at = 0; at < digests.length; at += AT_ONCE_MAX) {
    const some = digests.slice(at, at + AT_ONCE_MAX);
    const fetched = new Map<string, Uint8Array>();
    await eachAtOnce(some, async (digest) => {
      fetched.set(digest, await fetchBlob(wire, { url, names: { partition, digest }, signal }));
    });
    for (const digest of some) {
      const bytes = fetched.get(digest)!;
      piece.set(digest, bytes);
      size += bytes.length;
      if (size < FILE_SIZE) continue;
      yield [encode(piece), piece.size];
      piece = new Map();
      size = 0;
    }
  }
  if (piece.size > 0) yield [encode(piece), piece.size];
}

/** Sends what a file holds. */
export async function uploadBlobs({ wire, url, partition, signal }: Place, content: Uint8Array): Promise<void> {
  await eachAtOnce(decode(content), ([digest, raw]) =>
    wire.send({ url, route: 'putBlob', names: { partition, digest }, raw, signal }),
  );
}

function encode(blobs: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const digests = Array.from(blobs.keys(), (digest) => Buffer.from(digest, 'hex'));
  const columns = new Map([
    [DIGEST, columnOf({ layout: 'blob' }, digests)],
    [BYTES, columnOf({ layout: 'bytes' }, [...blobs.values()])],
  ]);
  return Buffer.concat(encodeRows({ ids: Array.from(digests.keys()), columns }));
}

function columnOf(layout: FieldLayout, cells: readonly Uint8Array[]): Column {
  const offsets = new Int32Array(cells.length + 1);
  for (const [row, { length }] of cells.entries()) offsets[row + 1] = offsets[row] + length;
  return new Column({ layout, rows: cells.length, values: Buffer.concat(cells), offsets });
}

function decode(content: Uint8Array): [digest: string, bytes: Uint8Array][] {
  // A copy, since columns are views, for which a file may lie anywhere in memory.
  const { columns } = decodeAnswer(new Uint8Array(content));
  const digests = columns.get(DIGEST);
  const blobs = columns.get(BYTES);
  if (digests === undefined || blobs?.layout.layout !== 'bytes')
    throw clientError('answer_invalid', 'A file of blobs is not understood.');
  return digestsOf(digests).map((digest, row) => [digest, blobs.row(row) as Uint8Array]);
}

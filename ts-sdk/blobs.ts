/**
 * Blobs: bytes that many cells share, of which a cell holds the SHA-256. They are sent once and fetched once.
 *
 *   put    cells --SHA-256, each object once--> which are missing? -> upload of those -> rows with the digests
 *   read   digests -> had by the batch, else in the cache of the client, else fetched, several at a time
 *
 * Invariants: bytes that came have the digest that they were asked for by; cells of a batch that name the same blob
 * give the same object.
 */
import { BLOB_DIGEST_SIZE } from '@transfer-queue/core/protocol';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { isArrowTable } from './arrow.ts';
import { Column, bytesOf } from './column.ts';
import type { Rows } from './decode.ts';
import { isRows, type PutData } from './encode.ts';
import { TransferQueueError, catalogueError } from './errors.ts';
import { sendForRoom } from './room.ts';
import { listIn, type Target } from './target.ts';
import type { Call, Wire } from './wire.ts';

/** Blobs that one call sends or fetches at the same time. */
export const AT_ONCE_MAX = 8;

/** The bytes of each of these digests. */
export type BlobSource = (digests: ReadonlySet<string>) => Promise<ReadonlyMap<string, Uint8Array>>;

/** The digests of a column, one per row, in hexadecimal. */
export function digestsOf({ layout, values, offsets, rows }: Column): string[] {
  if (layout.layout !== 'blob') throw catalogueError('field_mismatch', `There are no blobs of ${layout.layout}.`);
  const bytes = bytesOf(values);
  return Array.from({ length: rows }, (_, row) => hexOf(bytes.subarray(offsets![row], offsets![row + 1])));
}

// ---- Reading -----------------------------------------------------------------------------------------------------

/** The blobs that rows of one node name, each fetched once while the rows are there. */
export function blobSource(wire: Wire, partition: string, url: string): BlobSource {
  const had = new Map<string, Promise<Uint8Array>>();
  const load = async (digest: string): Promise<Uint8Array> => {
    const cached = wire.blobs.get(digest);
    if (cached !== undefined) return cached;
    const bytes = await fetchBlob(wire, { url, names: { partition, digest } });
    wire.blobs.add(digest, bytes);
    return bytes;
  };
  return async (digests) => {
    await eachAtOnce([...digests], (digest) => {
      let loading = had.get(digest);
      if (loading === undefined) {
        loading = load(digest);
        had.set(digest, loading);
        loading.catch(() => had.delete(digest));
      }
      return loading;
    });
    return new Map(await Promise.all(Array.from(digests, async (digest) => [digest, await had.get(digest)!] as const)));
  };
}

/** The bytes of a blob, checked. */
export async function fetchBlob(
  wire: Wire,
  call: Pick<Call, 'url' | 'signal'> & { readonly names: { readonly partition: string; readonly digest: string } },
): Promise<Uint8Array> {
  const { digest } = call.names;
  const { bytes } = await wire.send({ ...call, route: 'blob' });
  if (hexOf(await sha256(bytes)) !== digest) throw catalogueError('checksum_mismatch', undefined, { digest });
  return bytes;
}

/** Of rows that several nodes have: each is asked for what the others do not know. */
export function joinedSource(all: readonly (BlobSource | undefined)[]): BlobSource {
  const sources = all.filter((source) => source !== undefined);
  const find = async (digest: string): Promise<Uint8Array> => {
    let missing: unknown = catalogueError('blob_missing', undefined, { digests: [digest], count: 1 });
    for (const source of sources) {
      try {
        return (await source(new Set([digest]))).get(digest)!;
      } catch (error) {
        if (!(error instanceof TransferQueueError) || error.code !== 'blob_missing') throw error;
        missing = error;
      }
    }
    throw missing;
  };
  const had = new Map<string, Uint8Array>();
  return async (digests) => {
    const lacking = [...digests].filter((digest) => !had.has(digest));
    await eachAtOnce(lacking, async (digest) => had.set(digest, await find(digest)));
    return had;
  };
}

// ---- Writing -----------------------------------------------------------------------------------------------------

/** What a put sends: the same data with digests in the place of blobs, and the blobs by their digests. */
export interface NamedBlobs {
  readonly data: PutData;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

/** Cells that are one object are hashed once. Tables, streams and batches hold digests already, if anything. */
export async function nameBlobs(data: PutData, layouts: Readonly<Record<string, FieldLayout>>): Promise<NamedBlobs> {
  const blobs = new Map<string, Uint8Array>();
  if (data instanceof Uint8Array || isRows(data) || isArrowTable(data)) return { data, blobs };
  const named: Record<string, unknown> = { ...data };
  for (const [name, cells] of Object.entries(named)) {
    if (layouts[name]?.layout !== 'blob' || cells instanceof Column) continue;
    named[name] = await columnOfDigests(name, cells, blobs);
  }
  return { data: named as PutData, blobs };
}

async function columnOfDigests(name: string, cells: unknown, blobs: Map<string, Uint8Array>): Promise<Column> {
  const isList = Array.isArray(cells) && cells.every((cell) => cell instanceof Uint8Array);
  if (!isList) throw catalogueError('field_mismatch', `Field ${name} is blob: give one Uint8Array per row.`);
  const distinct = [...new Set(cells)];
  const digests = new Map<Uint8Array, Uint8Array>();
  await eachAtOnce(distinct, async (bytes) => {
    const digest = await sha256(bytes);
    digests.set(bytes, digest);
    blobs.set(hexOf(digest), bytes);
  });
  const rows = cells.length;
  const values = new Uint8Array(BLOB_DIGEST_SIZE * rows);
  for (const [row, cell] of cells.entries()) {
    values.set(digests.get(cell)!, BLOB_DIGEST_SIZE * row);
  }
  const offsets = Int32Array.from({ length: rows + 1 }, (_, row) => BLOB_DIGEST_SIZE * row);
  return new Column({ layout: { layout: 'blob' }, rows, values, offsets });
}

interface Upload {
  readonly rows: Rows;
  readonly blobs: NamedBlobs['blobs'];
  /** Of the wait for room, on the clock of the runtime. */
  readonly endMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Sends the blobs that rows are about to name and that the node does not have. */
export async function uploadMissing({ wire, partition }: Target, url: string, upload: Upload): Promise<void> {
  const { rows, blobs, endMs, signal } = upload;
  if (blobs.size === 0) return;
  const columns = [...rows.columns.values()].filter(({ layout }) => layout.layout === 'blob');
  const digests = [...new Set(columns.flatMap(digestsOf))].filter((digest) => blobs.has(digest));
  const { listRowsMax } = await wire.limits(signal);
  for (let at = 0; at < digests.length; at += listRowsMax) {
    const json = { digests: digests.slice(at, at + listRowsMax) };
    const answer = await wire.sendForJson({ url, route: 'missingBlobs', names: { partition }, json, signal });
    await eachAtOnce(listIn<string>(answer, 'missing'), (digest) => {
      const call = { url, route: 'putBlob', names: { partition, digest }, raw: blobs.get(digest)!, signal } as const;
      return sendForRoom(wire, call, endMs);
    });
  }
}

/** Works on all items, several at a time; once one fails, begins none any more. */
export async function eachAtOnce<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const left = items.values();
  const workers = Array.from({ length: Math.min(AT_ONCE_MAX, items.length) }, async () => {
    for (const item of left) await work(item);
  });
  await Promise.all(workers);
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}

const hexDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function hexOf(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += hexDigits[byte];
  return hex;
}

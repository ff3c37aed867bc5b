/**
 * Blobs: bytes that many cells share, stored once and named by their SHA-256 (where: blob_partitions.ts).
 *
 *   missing? -> upload of those that are (blob_upload.ts) -> put of rows whose cells name them
 *
 * Invariants: rows are put only while all blobs that they name are there; a blob that no cell names stays for a while
 * (blob_release.ts), so that there is time for the put of the rows.
 */
import { StoreError } from '../errors.ts';
import type { BlobColumn } from '../journal/events.ts';
import type { BlobCells } from '../store/blob_columns.ts';
import type { Located } from '../store/locate.ts';
import type { Partition } from '../store/partition.ts';
import { BLOB_FIELD, blobId, blobsName, hasBlob } from './blob_partitions.ts';
import type { Node } from './node.ts';
import { readCell } from './read.ts';

/** Digests that a refusal names. */
const NAMED_MAX = 16;

/** The partition that has the blobs of this one; undefined while it has none. */
export function blobsOf(node: Node, { id }: Partition): Partition | undefined {
  return node.parts.state.store.partition(blobsName(id));
}

/** The bytes of a blob, kept until the caller closes them. */
export async function readBlob(node: Node, name: string, digest: string): Promise<Located> {
  const owner = node.partitionToPut(name);
  const absent = missing(node, owner, [digest]);
  if (absent.length > 0) throw blobMissing(owner, absent);
  return readCell(node, { partition: blobsName(owner.id), id: blobId(digest), field: BLOB_FIELD });
}

/** Those of the blobs that are not there; the others are, for a while from now. */
export function missingBlobs(node: Node, name: string, digests: readonly string[]): readonly string[] {
  const owner = node.partitionToPut(name);
  const absent = new Set(missing(node, owner, digests));
  const known = blobsOf(node, owner);
  for (const digest of digests) if (!absent.has(digest)) node.blobs.touch(known!, digest);
  return [...absent];
}

/** In the turn of the commit: all that the rows of a put name is there. */
export function checkBlobs(node: Node, owner: Partition, columns: readonly BlobColumn[]): void {
  const absent = new Set(columns.flatMap(({ digests }) => missing(node, owner, digests)));
  if (absent.size > 0) throw blobMissing(owner, [...absent]);
}

/**
 * An LSN by which all that the rows of a put name was there; null while something is not. They were used, so that none
 * of them goes and comes anew before the put is done.
 */
export function blobsLsn(node: Node, owner: Partition, columns: readonly BlobCells[]): number | null {
  const blobs = blobsOf(node, owner);
  if (blobs === undefined || columns.some(({ digests }) => missing(node, owner, digests).length > 0)) return null;
  for (const { digests } of columns) for (const digest of digests) node.blobs.touch(blobs, digest);
  return blobs.lsn;
}

/** As people see them. */
export function describeBlobs(node: Node, owner: Partition): { readonly count: number; readonly bytes: number } {
  const blobs = blobsOf(node, owner);
  if (blobs === undefined) return { count: 0, bytes: 0 };
  return { count: node.parts.state.queue(blobs).slots.rows, bytes: blobs.bytes };
}

function missing(node: Node, owner: Partition, digests: readonly string[]): readonly string[] {
  const blobs = blobsOf(node, owner);
  if (blobs === undefined) return digests;
  const queue = node.parts.state.queue(blobs);
  return digests.filter((digest) => !hasBlob(queue, digest));
}

function blobMissing({ settings }: Partition, digests: readonly string[]): StoreError {
  const named = digests.slice(0, NAMED_MAX);
  return new StoreError('blob_missing', { partition: settings.name, digests: named, count: digests.length });
}

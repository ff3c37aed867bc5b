/**
 * Where the blobs of a partition are: in a partition of their own, which goes with it and which nobody else sees.
 *
 *   blobs:7   of partition 7, under whatever name; a row of it: id = low 53 bits of the first 8 bytes of the SHA-256,
 *             tag tq_key = all of the SHA-256 in hexadecimal, field data = the bytes
 *
 * Rows like any others: blocks of them are checked, moved, saved and scrubbed as those of users are. Two blobs with the
 * same id are a collision of keys, and the second one is refused as any other such row.
 */
import { KEY_TAG } from '@transfer-queue/core/protocol';
import { machine, type PartitionQueue } from '../queue/machine.ts';
import type { Partition } from '../store/partition.ts';

/** No name that a path could give has a colon. */
const MARK = 'blobs:';

export const BLOB_FIELD = 'data';

export function blobsName(owner: number): string {
  return `${MARK}${owner}`;
}

export function isBlobs({ settings }: Partition): boolean {
  return settings.name.startsWith(MARK);
}

/** The partition whose blobs these are. */
export function ownerOf({ settings }: Partition): number {
  return Number(settings.name.slice(MARK.length));
}

export function blobId(digest: string): number {
  return Number(BigInt.asUintN(53, BigInt(`0x${digest.slice(0, 16)}`)));
}

/** Whether the blob is among these rows. */
export function hasBlob(queue: PartitionQueue, digest: string): boolean {
  return machine.tagsOfRow(queue, blobId(digest))[KEY_TAG] === digest;
}

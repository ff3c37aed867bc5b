/**
 * The upload of a blob.
 *
 *   head of an Arrow stream | the bytes, hashed as they arrive at their final place | end of the stream
 *
 * The stream is made around the bytes, so that an upload is a put like any other, and a blob a row.
 *
 * Invariant: what is stored under a digest has it.
 */
import { composeBatch, EOS, GENERATED, PieceList, schemaMessage } from '@transfer-queue/core/arrow';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { INDEX_COLUMN, KEY_TAG, limits, TAGS_COLUMN } from '@transfer-queue/core/protocol';
import { Sha256 } from '../env/digest.ts';
import { StoreError } from '../errors.ts';
import type { Partition } from '../store/partition.ts';
import { BLOB_FIELD, blobId, blobsName, hasBlob } from './blob_partitions.ts';
import { blobsOf } from './blobs.ts';
import type { Caller } from './commands.ts';
import type { Node } from './node.ts';
import { commitDeclaration } from './partitions.ts';
import { checkPut, openPut, type Put, type PutAnswer } from './put.ts';

const bytesLayout: FieldLayout = { layout: 'bytes' };
const textLayout: FieldLayout = { layout: 'text' };

export interface BlobCommand {
  readonly partition: string;
  readonly digest: string;
  /** Bytes of the blob. */
  readonly size: number;
  readonly waitMs: number;
}

export type BlobStart =
  { readonly kind: 'there'; readonly answer: PutAnswer } | { readonly kind: 'upload'; readonly upload: BlobUpload };

/** Begins an upload; a blob that is there needs none. */
export async function openBlob(node: Node, { partition: name, digest, size, waitMs }: BlobCommand): Promise<BlobStart> {
  const owner = node.partitionToPut(name);
  const known = blobsOf(node, owner);
  if (known !== undefined && hasBlob(node.parts.state.queue(known), digest)) {
    node.blobs.touch(known, digest);
    const { lsn, settings } = known;
    await node.parts.journal.settled(settings.ack);
    return { kind: 'there', answer: { lsn, rows: 0, ack: settings.ack } };
  }
  const frame = frameOf(digest, size);
  const command = { requestId: '', ack: null, ifAbsent: false, claim: null, checksum: null, waitMs };
  const partition = blobsName(owner.id);
  if (known === undefined) await declareBlobs(node, owner);
  const put = { ...command, partition, length: frame.length };
  return {
    kind: 'upload',
    upload: new BlobUpload(node, await openPut(node, put, checkPut(node, put)), { digest, size, frame }),
  };
}

/** In the turn in which it is declared the owner is there, so that it goes with it. */
async function declareBlobs(node: Node, owner: Partition): Promise<void> {
  const { store } = node.parts.state;
  const { id, settings } = owner;
  for (let room = node.journalRoom('os'); room !== null; room = node.journalRoom('os')) await room;
  if (owner.dropped) throw new StoreError('partition_unknown', { partition: settings.name, dropped: true });
  if (blobsOf(node, owner) !== undefined) return;
  if (store.partitionCount >= limits.partitionsMax)
    throw new StoreError('too_many_partitions', { limit: limits.partitionsMax });
  node.checkRoom();
  const fields = [{ name: BLOB_FIELD, layout: bytesLayout }];
  const declared = { name: blobsName(id), fields, open: false, groupSize: 1, ack: settings.ack };
  await commitDeclaration(node, store.partitionNext, declared).commit;
}

/** A blob on its way in. */
export class BlobUpload {
  readonly #node: Node;
  readonly #put: Put;
  readonly #digest: string;
  readonly #hash = new Sha256();
  readonly #end: Uint8Array;
  #left: number;

  constructor(node: Node, put: Put, { digest, size, frame }: { digest: string; size: number; frame: Frame }) {
    this.#node = node;
    this.#put = put;
    this.#digest = digest;
    this.#left = size;
    this.#end = frame.end;
    this.#write(frame.head);
  }

  /** Where the next bytes go. */
  get room(): Uint8Array {
    return this.#put.room.subarray(0, this.#left);
  }

  wrote(size: number): void {
    this.#hash.update(this.#put.room.subarray(0, size));
    this.#put.wrote(size);
    this.#left -= size;
  }

  async finish(caller: Caller): Promise<PutAnswer> {
    const found = this.#hash.finish();
    if (found !== this.#digest) {
      await this.#put.abort();
      throw new StoreError('blob_mismatch', { digest: this.#digest, found });
    }
    this.#write(this.#end);
    const answer = await this.#put.finish(caller);
    this.#node.blobs.touch(this.#put.partition, this.#digest);
    return answer;
  }

  abort(): Promise<void> {
    return this.#put.abort();
  }

  #write(bytes: Uint8Array): void {
    this.#put.room.set(bytes);
    this.#put.wrote(bytes.length);
  }
}

/** What stands around the bytes of a blob. */
interface Frame {
  readonly head: Uint8Array;
  readonly end: Uint8Array;
  /** Of all, the bytes of the blob included. */
  readonly length: number;
}

function frameOf(digest: string, size: number): Frame {
  const list = new PieceList();
  const blob = { extent: 0, regions: [0, 8, 0, size], offsets: Int32Array.of(0, size) };
  const place = { sources: [blob], sourceOf: [0], ordinals: [0] };
  list.pushCopy(
    schemaMessage([
      { name: TAGS_COLUMN, layout: textLayout },
      { name: BLOB_FIELD, layout: bytesLayout },
    ]),
  );
  composeBatch(list, 1, [
    { kind: 'int64', name: INDEX_COLUMN, values: [blobId(digest)] },
    { kind: 'text', name: TAGS_COLUMN, values: [JSON.stringify({ [KEY_TAG]: digest })] },
    { kind: 'gathered', name: BLOB_FIELD, layout: bytesLayout, ...place },
  ]);
  list.pushCopy(EOS);
  const [head, end = new Uint8Array(0)] = list.sources.flatMap((source, piece) => {
    const at = list.offsets[piece];
    return source === GENERATED ? [list.generated.slice(at, at + list.lengths[piece])] : [];
  });
  return { head, end, length: list.bytes };
}

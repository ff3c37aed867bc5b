/** Uploads of blobs, and puts of rows that name them, as a client would make them. */
import { createHash } from 'node:crypto';
import { encodeBatch } from '@transfer-queue/core/arrow';
import { openBlob } from '../../../server/engine/blob_upload.ts';
import { missingBlobs, readBlob } from '../../../server/engine/blobs.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { PutAnswer } from '../../../server/engine/put.ts';
import { caller, putBody, textColumn } from '../../support/node.ts';
import { AnswerWindows } from '../../../server/store/windows.ts';
import { PieceList } from '@transfer-queue/core/arrow';
import type { PutCommand } from '../../../server/engine/commands.ts';

export function digestOf(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Says whether it was stored, or was there. */
export async function upload(node: Node, partition: string, text: string, digest = digestOf(text)): Promise<boolean> {
  const bytes = Buffer.from(text);
  const start = await openBlob(node, { partition, digest, size: bytes.length, waitMs: 0 });
  if (start.kind === 'there') return false;
  for (let at = 0; at < bytes.length;) {
    const { room } = start.upload;
    const size = Math.min(room.length, 70_000);
    room.set(bytes.subarray(at, at + size));
    start.upload.wrote(size);
    at += size;
  }
  await start.upload.finish(caller);
  return true;
}

/** Puts rows whose cells name the blobs of these texts. */
export function putNamed(
  node: Node,
  partition: string,
  ids: readonly number[],
  texts: readonly string[],
  options: Partial<PutCommand> & { readonly field?: string } = {},
): Promise<PutAnswer> {
  const { field = 'image', ...command } = options;
  const values = Buffer.concat(texts.map((text) => Buffer.from(digestOf(text), 'hex')));
  const offsets = Int32Array.from({ length: ids.length + 1 }, (_, row) => 32 * row);
  const column = { name: field, layout: { layout: 'blob' }, values, offsets } as const;
  return putBody(
    node,
    partition,
    Buffer.concat(
      encodeBatch(ids, [
        column,
        textColumn(
          'note',
          { layout: 'text' },
          texts.map(() => 'n'),
        ),
      ]),
    ),
    command,
  );
}

export async function download(node: Node, partition: string, text: string): Promise<string> {
  const located = await readBlob(node, partition, digestOf(text));
  const { reader, core } = node.parts;
  const [{ field, batches }] = located.columns;
  const { regions } = located.batches[batches[0]];
  const [, , at, size] = regions[field.id]!;
  const pieces = new PieceList();
  pieces.push(batches[0], at, size);
  const windows = new AnswerWindows({ reader, located, pieces, core, tail: false });
  try {
    await windows.prepare();
    const parts: Buffer[] = [];
    for (let left = size; left > 0;) {
      const window = await windows.next();
      for (const part of window.parts) {
        parts.push(Buffer.from(part));
        left -= part.length;
      }
      window.release();
    }
    return Buffer.concat(parts).toString();
  } finally {
    windows.close();
    located.close();
  }
}

/** Which of these texts have no blob. */
export function absent(node: Node, partition: string, texts: readonly string[]): string[] {
  const missing = missingBlobs(
    node,
    partition,
    texts.map((text) => digestOf(text)),
  );
  return texts.filter((text) => missing.includes(digestOf(text)));
}

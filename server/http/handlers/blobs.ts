/** Blobs: upload one, read one, ask which are not there. */
import { BLOB_DIGEST_PATTERN, BlobsRequest, defaults, limits } from '@transfer-queue/core/protocol';
import { openBlob, type BlobUpload } from '../../engine/blob_upload.ts';
import { missingBlobs, readBlob } from '../../engine/blobs.ts';
import type { PutAnswer } from '../../engine/put.ts';
import { StoreError } from '../../errors.ts';
import { respondCell } from '../arrow_answer.ts';
import { checkRawType, receiveJson, respondJson } from '../body.ts';
import type { Exchange } from '../exchange.ts';
import { integerOf, parseQuery } from './parse.ts';
import { handlersOf } from './route.ts';

const digestPattern = new RegExp(BLOB_DIGEST_PATTERN);

export const blobHandlers = handlersOf({
  async putBlob(node, exchange, { partition, digest }) {
    checkRawType(exchange);
    checkDigest(digest);
    const query = parseQuery(exchange, ['wait_ms']);
    const waitMs = integerOf(query, 'wait_ms', { max: limits.waitMsMax }) ?? defaults.waitMs;
    const size = exchange.head.contentLength;
    const start = await openBlob(node, { partition, digest, size, waitMs });
    const stored = start.kind === 'upload';
    const { lsn, ack } = stored ? await receiveBlob(exchange, start.upload) : start.answer;
    respondJson(exchange, { lsn, ack, stored });
  },

  async blob(node, exchange, { partition, digest }) {
    checkDigest(digest);
    await respondCell(node, exchange, await readBlob(node, partition, digest), 'raw');
  },

  async missingBlobs(node, exchange, { partition }) {
    const { digests } = await receiveJson(exchange, BlobsRequest);
    respondJson(exchange, { missing: missingBlobs(node, partition, digests) });
  },
});

function checkDigest(digest: string): void {
  if (!digestPattern.test(digest)) throw new StoreError('blob_invalid', { digest: digest.slice(0, 128) });
}

/** Receives the bytes at their final place. */
function receiveBlob(exchange: Exchange, upload: BlobUpload): Promise<PutAnswer> {
  return new Promise((resolve, reject) => {
    exchange.receive({
      next: () => upload.room,
      wrote: (size) => upload.wrote(size),
      end: () => void upload.finish(exchange).then(resolve, reject),
      abort: (reason) => void upload.abort().then(() => reject(new StoreError('request_timeout', { reason })), reject),
    });
  });
}

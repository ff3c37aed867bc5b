/** The words of the wire: versions, media types, headers, names, ack levels, samplers, outcomes. */

export const PROTOCOL_VERSION = 1;

/** Media types of bodies. Arrow means an Arrow IPC stream, always uncompressed, without dictionaries. */
export const mediaTypes = {
  arrow: 'application/vnd.apache.arrow.stream',
  json: 'application/json',
  npy: 'application/x-npy',
  raw: 'application/octet-stream',
} as const;

/** Headers of ours. Requests carry the first four, answers the others. */
export const headers = {
  protocol: 'tq-protocol',
  requestId: 'tq-request-id',
  checksum: 'tq-checksum',
  wantTail: 'tq-want-tail',
  tail: 'tq-tail',
  outcome: 'tq-outcome',
  lsn: 'tq-lsn',
  rows: 'tq-rows',
  next: 'tq-next',
  claim: 'tq-claim',
  leaseMs: 'tq-lease-ms',
  partial: 'tq-partial',
} as const;

/**
 * The 16 bytes that may follow an Arrow stream, inside Content-Length: this magic, then the checksum, little-endian.
 */
export const TAIL_MAGIC = 'TQXXH64\n';
export const TAIL_SIZE = 16;

/** A body's checksum is the xxh64 of the xxh64s of its blocks of this size; the server keeps the latter per extent. */
export const CHECKSUM_BLOCK_SIZE = 1 << 20;

/** Ids, LSNs and epochs are safe integers: 0 <= n < ID_END. */
export const ID_END = Number.MAX_SAFE_INTEGER + 1;

/** Names of partitions, fields and tasks. Columns named `index_id` or `tq_...` are ours. */
export const NAME_PATTERN = '^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$';
export const INDEX_COLUMN = 'index_id';
export const ATTEMPT_COLUMN = 'tq_attempt';
export const RESERVED_PREFIX = 'tq_';

/** A caller's own name for one attempt at a change; the same id again gets the same answer and acts once. */
export const REQUEST_ID_PATTERN = '^[A-Za-z0-9_-]{1,64}$';

/** How far a put must be before it is acknowledged. A later word promises all that the earlier ones promise. */
export const ackLevels = ['memory', 'os', 'disk'] as const;
export type AckLevel = (typeof ackLevels)[number];

/** The samplers that every server has; modules loaded at its start add others by name. */
export const samplers = ['fifo', 'group', 'priority', 'weighted'] as const;
export type Sampler = (typeof samplers)[number];

/** Names of tags: as in filters, without dots. Those that begin with `tq_` are ours. */
export const TAG_NAME_PATTERN = '^[A-Za-z_][A-Za-z0-9_-]{0,127}$';
/** The column of a put that carries tags: per row the text of a JSON object, merged into what the row has; or ''. */
export const TAGS_COLUMN = 'tq_tags';
/** The tag that holds the string key of a row that was put by key; it can not change. */
export const KEY_TAG = 'tq_key';

/** Bytes of the SHA-256 that names a blob: a cell of a field of layout `blob`. In paths and JSON it is hexadecimal. */
export const BLOB_DIGEST_SIZE = 32;
export const BLOB_DIGEST_PATTERN = '^[0-9a-f]{64}$';

/** What becomes of rows that are too old for the version window of a claim: they stay, or the task passes them. */
export const staleRules = ['keep', 'skip'] as const;
export type StaleRule = (typeof staleRules)[number];

/** When the server deletes rows by itself: never, or once every declared task has consumed them. */
export const releaseRules = ['never', 'consumed'] as const;
export type ReleaseRule = (typeof releaseRules)[number];

/** The three ends of a wait, in the `tq-outcome` header; they never look alike. */
export const outcomes = { rows: 'rows', timedOut: 'timed_out', drained: 'drained' } as const;

/** What a request that leaves something out gets. */
export const defaults = {
  leaseMs: 30_000,
  waitMs: 0,
  groupSize: 1,
  ack: 'os',
  sampler: 'fifo',
  onStale: 'keep',
  release: 'never',
  priorityBy: 'priority',
  weightBy: 'weight',
  lengthBy: 'length',
  versionBy: 'version',
  rangeRowsMax: 1_024,
} as const;

/**
 * The wire contract as data: names, headers, limits, errors, request bodies and routes of protocol version 1.
 *
 * Everything that a client, the server or a document says about the wire is read from here; `_protocol.py` and the marked
 * parts of docs/API.md are generated from it (`npm run generate`), and a test proves that they are fresh.
 *
 * Invariants: a code, once published, keeps its kind and status; a limit may rise, never fall, within a version;
 * sizes are bytes, times are milliseconds, and each name says so in its last word.
 */
import { Type, type Static } from 'typebox';

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
} as const;

/** The 16 bytes that may follow an Arrow stream, inside Content-Length: this magic, then the checksum, little-endian. */
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

export const samplers = ['fifo', 'group'] as const;
export type Sampler = (typeof samplers)[number];

/** The three ends of a wait, in the `tq-outcome` header; they never look alike. */
export const outcomes = { rows: 'rows', timedOut: 'timed_out', drained: 'drained' } as const;

/** Published at `/v1/limits`. A server with little memory lowers the two `body` limits; clients split by what it says. */
export const limits = {
  putBodyBytesMax: 1 << 30,
  answerBytesMax: 1 << 30,
  jsonBodyBytesMax: 1 << 20,
  headBytesMax: 16 << 10,
  headFieldsMax: 64,
  targetBytesMax: 2 << 10,
  putRowsMax: 262_144,
  putBatchesMax: 1_024,
  columnsMax: 4_096,
  nestingMax: 16,
  metadataBytesMax: 1 << 20,
  readRowsMax: 32_768,
  claimRowsMax: 10_000,
  groupSizeMax: 4_096,
  partitionsMax: 10_000,
  tasksPerPartitionMax: 64,
  waitersMax: 20_000,
  waitMsMax: 60_000,
  leaseMsMin: 100,
  leaseMsMax: 3_600_000,
  requestIdsKept: 65_536,
  connectionsMax: 12_000,
} as const;
export type Limits = { readonly [K in keyof typeof limits]: number };

/**
 * What a caller should do about an error: `retry` the same request after a pause; `fix_request`, since it can never work
 * as it is; `wait` for others to act (rows, space) and ask again; `give_up`, since the thing asked for is gone.
 */
export const errorKinds = ['retry', 'fix_request', 'wait', 'give_up'] as const;
export type ErrorKind = (typeof errorKinds)[number];

interface ErrorEntry {
  readonly kind: ErrorKind;
  readonly status: number;
  readonly message: string;
}

const fix = (status: number, message: string): ErrorEntry => ({ kind: 'fix_request', status, message });
const retry = (status: number, message: string): ErrorEntry => ({ kind: 'retry', status, message });
const wait = (status: number, message: string): ErrorEntry => ({ kind: 'wait', status, message });
const giveUp = (status: number, message: string): ErrorEntry => ({ kind: 'give_up', status, message });

/** The one catalogue of errors. Documents, TypeScript and Python classes are made from it. */
export const errors = {
  // The HTTP layer.
  http_malformed: fix(400, 'The request head is not valid HTTP/1.1; send it through an HTTP/1.1 client library.'),
  target_invalid: fix(400, 'The request target is not a plain path with an optional query; percent-encode it once.'),
  target_too_long: fix(414, 'The request target is too long; put large arguments into the body.'),
  head_too_large: fix(431, 'The request head has too many bytes or fields; send fewer headers.'),
  method_unknown: fix(501, 'The HTTP method is not one that this server knows.'),
  method_not_allowed: fix(405, 'This path exists, but not with this method.'),
  route_unknown: fix(404, 'No route has this path; docs/API.md lists them.'),
  version_unsupported: fix(505, 'Only HTTP/1.1 is spoken here.'),
  protocol_unsupported: fix(
    400,
    'The client speaks another protocol version; use an SDK of the version of this server.',
  ),
  length_required: fix(411, 'A body needs a Content-Length; chunked bodies are refused.'),
  transfer_encoding_refused: fix(501, 'Transfer-Encoding is refused; send a Content-Length.'),
  expectation_failed: fix(417, 'No expectation but 100-continue is understood.'),
  body_unexpected: fix(400, 'This request must not have a body.'),
  body_too_large: fix(413, 'The body exceeds the limit; split the call by rows.'),
  content_type_unsupported: fix(415, 'The body is not of the media type that this route takes.'),
  too_many_connections: retry(503, 'The server has as many connections as it allows; try again later.'),
  request_timeout: retry(408, 'The request came too slowly and was cut off.'),
  unauthorized: fix(401, 'A valid bearer token is required.'),
  json_invalid: fix(400, 'The JSON body does not fit this route.'),
  query_invalid: fix(400, 'A query parameter is unknown or out of range.'),
  header_invalid: fix(400, 'A header has a value that is not understood.'),
  checksum_mismatch: retry(400, 'The bytes that arrived are not the bytes that were sent: their checksums differ.'),

  // Arrow bodies.
  arrow_malformed: fix(400, 'The body is not a valid Arrow IPC stream.'),
  arrow_truncated: fix(400, 'The Arrow IPC stream ends too early.'),
  dictionary_refused: fix(400, 'Dictionary columns are refused; decode them before the put.'),
  compression_refused: fix(415, 'Compressed Arrow buffers are refused; write the stream without compression.'),
  nulls_refused: fix(400, 'A column holds nulls; leave the cell out instead of sending a null.'),
  type_unsupported: fix(400, 'A column has an Arrow type that no field layout uses.'),
  layout_invalid: fix(400, 'A field layout is not valid.'),
  index_id_invalid: fix(400, 'Column index_id must be int64 without nulls, each id an integer from 0 to 2^53 - 1.'),
  ids_duplicate: fix(400, 'An id occurs twice in one call.'),
  name_invalid: fix(400, 'A name does not fit the grammar, is reserved or occurs twice.'),
  nesting_too_deep: fix(400, 'The schema is nested too deeply.'),
  metadata_too_large: fix(400, 'The metadata of an Arrow message is too large.'),
  too_many_columns: fix(400, 'The batch has too many columns.'),
  too_many_batches: fix(400, 'The stream has too many record batches; combine them before the put.'),
  too_many_rows: fix(400, 'The call has too many rows; split it.'),

  // Partitions, fields, rows.
  partition_unknown: fix(404, 'There is no partition of this name; create it first.'),
  partition_conflict: fix(409, 'The partition exists with other settings that cannot be changed.'),
  partition_sealed: giveUp(409, 'The partition is sealed: it takes no new rows.'),
  too_many_partitions: fix(409, 'The server has as many partitions as it allows; drop some.'),
  field_unknown: fix(404, 'The partition does not declare this field.'),
  field_mismatch: fix(400, 'A column does not have the layout that the partition declares for its field.'),
  rows_missing: wait(404, 'Some of the rows are not there, or lack some of the fields; wait for them with wait_ms.'),
  rows_exist: fix(409, 'Some of the cells are there already, and the put asked for if_absent.'),
  ack_level_too_low: fix(
    400,
    'A put may ask for a stronger ack level than its partition declares, never a weaker one.',
  ),
  answer_too_large: fix(413, 'The answer would exceed the limit; ask for fewer rows or fields.'),

  // Claims.
  claim_unknown: giveUp(404, 'There is no such claim: the token is malformed, or its claim ended long ago.'),
  claim_stale: giveUp(409, 'The lease ended and rows of this claim went to another consumer; drop the results.'),
  group_too_large: fix(400, 'One group does not fit into rows_max; ask for at least group_size rows.'),
  too_many_tasks: fix(409, 'The partition has as many tasks as it allows.'),
  too_many_waiters: wait(503, 'As many requests wait as the server allows; try again later.'),
  request_id_reused: fix(409, 'This request id was used for another kind of request.'),

  // The node.
  disk_full: wait(507, 'The disk of the server is full; drop rows or partitions, or give it space.'),
  memory_full: wait(503, 'The memory budget of the server is in use; try again when readers and writers are done.'),
  not_ready: retry(503, 'The server is still recovering.'),
  shutting_down: retry(503, 'The server is stopping.'),
  wrong_node: retry(421, 'Another node owns this shard; refresh the shard map.'),
  data_corrupt: giveUp(500, 'Stored bytes fail their checksum; they are not served.'),
  internal: retry(500, 'The server failed at this request; its log says why.'),
} as const satisfies Record<string, ErrorEntry>;
export type ErrorCode = keyof typeof errors;

// ---- Bodies ------------------------------------------------------------------------------------------------------

const closed = { additionalProperties: false } as const;
const name = Type.String({ pattern: NAME_PATTERN });
const id = Type.Integer({ minimum: 0, exclusiveMaximum: ID_END });
const waitMs = Type.Integer({ minimum: 0, maximum: limits.waitMsMax });
const leaseMs = Type.Integer({ minimum: limits.leaseMsMin, maximum: limits.leaseMsMax });
const fieldNames = Type.Array(name, { minItems: 1, maxItems: limits.columnsMax, uniqueItems: true });

/** A field layout; core/layout.ts checks the finer rules. */
export const FieldLayoutJson = Type.Object(
  {
    layout: Type.String(),
    dtype: Type.Optional(Type.String()),
    shape: Type.Optional(Type.Array(Type.Union([Type.Integer(), Type.Null()]))),
  },
  closed,
);

export const PartitionRequest = Type.Object(
  {
    fields: Type.Optional(Type.Record(Type.String(), FieldLayoutJson)),
    open: Type.Optional(
      Type.Boolean({ description: 'The first put of a field declares it. Default: true without fields.' }),
    ),
    group_size: Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.groupSizeMax, description: 'Rows of one prompt. Default 1.' }),
    ),
    ack: Type.Optional(
      Type.Union(
        ackLevels.map((level) => Type.Literal(level)),
        { description: 'Default os.' },
      ),
    ),
  },
  closed,
);

export const ReadRequest = Type.Object(
  {
    ids: Type.Optional(Type.Array(id, { maxItems: limits.readRowsMax })),
    range: Type.Optional(
      Type.Object(
        {
          start: id,
          end: Type.Integer({ minimum: 0, maximum: ID_END }),
          rows_max: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.readRowsMax })),
        },
        closed,
      ),
    ),
    newest: Type.Optional(Type.Object({ after_lsn: Type.Optional(id) }, closed)),
    fields: Type.Optional(fieldNames),
    wait_ms: Type.Optional(waitMs),
  },
  closed,
);

export const DeleteRequest = Type.Object({ ids: Type.Array(id, { maxItems: limits.readRowsMax }) }, closed);

export const ClaimRequest = Type.Object(
  {
    task: name,
    fields: fieldNames,
    rows_max: Type.Integer({ minimum: 1, maximum: limits.claimRowsMax }),
    rows_min: Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.claimRowsMax, description: 'Default rows_max.' }),
    ),
    sampler: Type.Optional(
      Type.Union(
        samplers.map((sampler) => Type.Literal(sampler)),
        { description: 'Default fifo.' },
      ),
    ),
    wait_ms: Type.Optional(waitMs),
    lease_ms: Type.Optional(leaseMs),
    auto_ack: Type.Optional(Type.Boolean({ description: 'Consume the rows when they are granted. Default false.' })),
  },
  closed,
);

export const RenewRequest = Type.Object({ lease_ms: leaseMs }, closed);

export const PutQuery = Type.Object(
  {
    ack: Type.Optional(Type.String({ description: 'A stronger ack level for this put: os or disk.' })),
    if_absent: Type.Optional(Type.String({ description: '1 refuses the put when any of its cells is there.' })),
    claim: Type.Optional(Type.String({ description: 'A claim that this put acks, as one event.' })),
  },
  closed,
);

export type PartitionRequest = Static<typeof PartitionRequest>;
export type ReadRequest = Static<typeof ReadRequest>;
export type DeleteRequest = Static<typeof DeleteRequest>;
export type ClaimRequest = Static<typeof ClaimRequest>;
export type RenewRequest = Static<typeof RenewRequest>;

export const defaults = {
  leaseMs: 30_000,
  waitMs: 0,
  groupSize: 1,
  ack: 'os',
  sampler: 'fifo',
  rangeRowsMax: 1_024,
} as const;

// ---- Routes ------------------------------------------------------------------------------------------------------

/** `open` routes need no token; `data` routes take or give Arrow. */
interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly does: string;
  readonly body: 'none' | 'json' | 'arrow';
  readonly schema?: unknown;
  readonly query?: unknown;
  readonly answer: string;
  readonly open?: boolean;
}

export const routes = {
  health: {
    method: 'GET',
    path: '/healthz',
    does: 'Says that the process lives.',
    body: 'none',
    answer: '200 {"status":"ok"}',
    open: true,
  },
  ready: {
    method: 'GET',
    path: '/readyz',
    does: 'Says whether recovery is done and requests are served.',
    body: 'none',
    answer: '200 {"status":"ready"} or 503 not_ready',
    open: true,
  },
  metrics: { method: 'GET', path: '/metrics', does: 'Prometheus text.', body: 'none', answer: '200 text/plain' },
  limits: {
    method: 'GET',
    path: '/v1/limits',
    does: 'The limits in force.',
    body: 'none',
    answer: '200 JSON, the names and numbers of the table below',
  },
  cluster: {
    method: 'GET',
    path: '/v1/cluster',
    does: 'The shard map: epoch, number of shards, nodes.',
    body: 'none',
    answer: '200 {"epoch","shards","nodes":[{"id","url"}]}',
  },
  partitions: {
    method: 'GET',
    path: '/v1/partitions',
    does: 'Lists the partitions with their statistics.',
    body: 'none',
    answer: '200 {"partitions":[...]}',
  },
  partition: {
    method: 'GET',
    path: '/v1/partitions/{partition}',
    does: 'One partition: fields, settings, rows, bytes, tasks.',
    body: 'none',
    answer: '200 JSON',
  },
  declare: {
    method: 'PUT',
    path: '/v1/partitions/{partition}',
    does: 'Creates the partition, or adds fields to it; the same declaration again changes nothing.',
    body: 'json',
    schema: PartitionRequest,
    answer: '200 the partition, with "created"',
  },
  drop: {
    method: 'DELETE',
    path: '/v1/partitions/{partition}',
    does: 'Drops the partition with all its rows and claims.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  seal: {
    method: 'POST',
    path: '/v1/partitions/{partition}:seal',
    does: 'Says that no more rows come; rows that are there may still get fields.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  put: {
    method: 'POST',
    path: '/v1/partitions/{partition}/rows',
    does: 'Puts a batch: all of it or nothing.',
    body: 'arrow',
    query: PutQuery,
    answer: '200 {"lsn","rows","ack"}',
  },
  read: {
    method: 'POST',
    path: '/v1/partitions/{partition}/rows:read',
    does: 'Reads rows by ids (in the order asked), by range, or the newest one; may wait until they are there.',
    body: 'json',
    schema: ReadRequest,
    answer: '200 Arrow, or 200 JSON counts when the wait timed out or the partition drained',
  },
  delete: {
    method: 'POST',
    path: '/v1/partitions/{partition}/rows:delete',
    does: 'Deletes rows; ids that are not there are passed over.',
    body: 'json',
    schema: DeleteRequest,
    answer: '200 {"lsn","deleted"}',
  },
  row: {
    method: 'GET',
    path: '/v1/partitions/{partition}/rows/{id}',
    does: 'What is known of one row: fields with LSN and bytes, and where each task stands.',
    body: 'none',
    answer: '200 JSON',
  },
  cell: {
    method: 'GET',
    path: '/v1/partitions/{partition}/rows/{id}/{field}',
    does: 'One cell, as an Arrow stream, as .npy (Accept: application/x-npy) or as bare bytes (Accept: application/octet-stream).',
    body: 'none',
    answer: '200 in the media type asked for',
  },
  claim: {
    method: 'POST',
    path: '/v1/partitions/{partition}/claims',
    does: 'Takes ready rows for a task under a lease, with their data.',
    body: 'json',
    schema: ClaimRequest,
    answer: '200 Arrow with tq-claim, or 200 JSON counts when the wait timed out or the task drained',
  },
  ack: {
    method: 'POST',
    path: '/v1/claims/{claim}:ack',
    does: 'Ends a claim: its rows are consumed for the task.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  release: {
    method: 'POST',
    path: '/v1/claims/{claim}:release',
    does: 'Gives the rows of a claim back.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  renew: {
    method: 'POST',
    path: '/v1/claims/{claim}:renew',
    does: 'Extends the lease: it now ends lease_ms from now.',
    body: 'json',
    schema: RenewRequest,
    answer: '200 {"lease_ms"}',
  },
} as const satisfies Record<string, Route>;
export type RouteName = keyof typeof routes;

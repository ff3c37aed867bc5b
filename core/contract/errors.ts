/** The catalogue of errors. A code, once published, keeps its kind and its status. */

/**
 * What a caller should do about an error: `retry` the same request after a pause; `fix_request`, since it can never
 * work as it is; `wait` for others to act (rows, space) and ask again; `give_up`, since the thing asked for is gone.
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
  partition_exists: fix(409, 'A partition of this name exists; drop it, or load with replace.'),
  partition_sealed: giveUp(409, 'The partition is sealed: it takes no new rows.'),
  too_many_partitions: fix(409, 'The server has as many partitions as it allows; drop some.'),
  field_unknown: fix(404, 'The partition does not declare this field.'),
  field_mismatch: fix(400, 'A column does not have the layout that the partition declares for its field.'),
  rows_missing: wait(404, 'Some of the rows are not there, or lack some of the fields; wait for them with wait_ms.'),
  rows_exist: fix(409, 'Some of the cells are there already, and the put asked for if_absent.'),
  row_too_scattered: fix(400, 'A row would show cells of too many puts; put more of its fields together.'),
  lsn_unknown: giveUp(410, 'No snapshot holds the state of this LSN; open a snapshot and read at its LSN.'),
  too_many_snapshots: wait(
    503,
    'As many snapshots are open as the server allows; close some, or wait until they expire.',
  ),
  load_unknown: giveUp(410, 'There is no such load: it was closed, its lease expired, or the server was started anew.'),
  load_invalid: fix(400, 'The saved state is not understood, or is not that of the rows that were put.'),
  too_many_loads: wait(503, 'As many loads are open as the server allows; wait until some end.'),
  ack_level_too_low: fix(
    400,
    'A put may ask for a stronger ack level than its partition declares, never a weaker one.',
  ),
  tags_invalid: fix(400, 'Tags must be small JSON objects with allowed names, and declared numbers must be numbers.'),
  number_unknown: fix(400, 'The partition does not declare this number; declare it in numbers.'),
  filter_invalid: fix(400, 'The filter of where is not understood.'),
  too_many_filters: wait(503, 'The partition has as many filters in use as it allows; use fewer different ones.'),
  blob_invalid: fix(400, 'A digest is the SHA-256 of a blob: 32 bytes in a cell, 64 hexadecimal digits in a path.'),
  blob_mismatch: retry(400, 'The bytes that arrived are not those of the blob: they have another SHA-256.'),
  blob_missing: fix(404, 'The partition does not have this blob; upload it before the put of rows that name it.'),
  key_collision: fix(409, 'The row belongs to another key with the same hash; put it under a different key.'),
  over_budget: wait(429, 'The budget of the partition or the node has no room for new rows; wait, ack or delete some.'),
  version_behind: fix(409, 'The current version of a partition only rises.'),
  answer_too_large: fix(413, 'The answer would exceed the limit; ask for fewer rows or fields.'),

  // Claims.
  claim_unknown: giveUp(404, 'There is no such claim: the token is malformed, or its claim ended long ago.'),
  claim_stale: giveUp(409, 'The lease ended and rows of this claim went to another consumer; drop the results.'),
  group_too_large: fix(400, 'One group does not fit into rows_max; ask for at least group_size rows.'),
  task_unknown: fix(404, 'The partition has no task of this name: none was declared, and none has claimed.'),
  sampler_unknown: fix(400, 'The server has no sampler of this name.'),
  sampler_failed: giveUp(500, 'The module of the sampler failed; the log of the server says how.'),
  row_over_budget: fix(
    409,
    'The next row, or group, has no length or exceeds tokens_max by itself; nothing can pass it.',
  ),
  batch_conflict: fix(409, 'This batch number was drawn with other parts.'),
  batch_unknown: giveUp(410, 'This batch was drawn too long ago to be remembered; ask for a later number.'),
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

"""The wire contract of protocol version 1, generated from core/protocol.ts (npm run generate); do not edit."""

from typing import Final

PROTOCOL_VERSION: Final = 1
TAIL_MAGIC: Final = b"TQXXH64\n"
TAIL_SIZE: Final = 16
CHECKSUM_BLOCK_SIZE: Final = 1048576
ID_END: Final = 9007199254740992
NAME_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$"
REQUEST_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"
INDEX_COLUMN: Final = "index_id"
ATTEMPT_COLUMN: Final = "tq_attempt"
TAGS_COLUMN: Final = "tq_tags"
KEY_TAG: Final = "tq_key"
BLOB_DIGEST_SIZE: Final = 32
RESERVED_PREFIX: Final = "tq_"
ACK_LEVELS: Final = ("memory", "os", "disk")
SAMPLERS: Final = ("fifo", "group", "priority", "weighted")
ERROR_KINDS: Final = ("retry", "fix_request", "wait", "give_up")

MEDIA_TYPES: Final[dict[str, str]] = {
    "arrow": "application/vnd.apache.arrow.stream",
    "json": "application/json",
    "npy": "application/x-npy",
    "raw": "application/octet-stream",
}

HEADERS: Final[dict[str, str]] = {
    "protocol": "tq-protocol",
    "request_id": "tq-request-id",
    "checksum": "tq-checksum",
    "want_tail": "tq-want-tail",
    "tail": "tq-tail",
    "outcome": "tq-outcome",
    "lsn": "tq-lsn",
    "rows": "tq-rows",
    "next": "tq-next",
    "claim": "tq-claim",
    "lease_ms": "tq-lease-ms",
    "partial": "tq-partial",
}

OUTCOMES: Final[dict[str, str]] = {
    "rows": "rows",
    "timed_out": "timed_out",
    "drained": "drained",
}

# Defaults of the limits; a server publishes its own at /v1/limits.
LIMITS: Final[dict[str, int]] = {
    "put_body_bytes_max": 1073741824,
    "states_bytes_max": 2147483648,
    "answer_bytes_max": 1073741824,
    "json_body_bytes_max": 1048576,
    "head_bytes_max": 16384,
    "head_fields_max": 64,
    "target_bytes_max": 2048,
    "put_rows_max": 262144,
    "put_batches_max": 1024,
    "columns_max": 4096,
    "puts_per_row_max": 512,
    "nesting_max": 16,
    "metadata_bytes_max": 1048576,
    "read_rows_max": 32768,
    "claim_rows_max": 10000,
    "group_size_max": 4096,
    "partitions_max": 10000,
    "tasks_per_partition_max": 64,
    "attempts_max": 65534,
    "numbers_per_partition_max": 16,
    "filters_per_partition_max": 64,
    "filter_characters_max": 4096,
    "tags_bytes_max": 4096,
    "batches_kept_per_task": 1024,
    "batch_parts_max": 4096,
    "list_rows_max": 10000,
    "watch_changes_max": 1024,
    "waiters_max": 20000,
    "wait_ms_max": 60000,
    "snapshots_max": 1024,
    "loads_max": 16,
    "lease_ms_min": 100,
    "lease_ms_max": 3600000,
    "request_ids_kept": 65536,
    "connections_max": 12000,
}

DEFAULTS: Final[dict[str, int | str]] = {
    "lease_ms": 30000,
    "wait_ms": 0,
    "group_size": 1,
    "ack": "os",
    "sampler": "fifo",
    "on_stale": "keep",
    "release": "never",
    "priority_by": "priority",
    "weight_by": "weight",
    "length_by": "length",
    "version_by": "version",
    "range_rows_max": 1024,
}

# name -> (method, path)
ROUTES: Final[dict[str, tuple[str, str]]] = {
    "health": ("GET", "/healthz"),
    "ready": ("GET", "/readyz"),
    "metrics": ("GET", "/metrics"),
    "limits": ("GET", "/v1/limits"),
    "cluster": ("GET", "/v1/cluster"),
    "damage": ("GET", "/v1/damage"),
    "partitions": ("GET", "/v1/partitions"),
    "partition": ("GET", "/v1/partitions/{partition}"),
    "declare": ("PUT", "/v1/partitions/{partition}"),
    "drop": ("DELETE", "/v1/partitions/{partition}"),
    "seal": ("POST", "/v1/partitions/{partition}:seal"),
    "advance": ("POST", "/v1/partitions/{partition}:advance"),
    "watch": ("GET", "/v1/partitions/{partition}:watch"),
    "leases": ("GET", "/v1/partitions/{partition}/leases"),
    "deadLetters": ("GET", "/v1/partitions/{partition}/tasks/{task}/dead-letters"),
    "requeue": ("POST", "/v1/partitions/{partition}/tasks/{task}:requeue"),
    "reset": ("POST", "/v1/partitions/{partition}/tasks/{task}:reset"),
    "put": ("POST", "/v1/partitions/{partition}/rows"),
    "read": ("POST", "/v1/partitions/{partition}/rows:read"),
    "delete": ("POST", "/v1/partitions/{partition}/rows:delete"),
    "tag": ("POST", "/v1/partitions/{partition}/rows:tag"),
    "list": ("POST", "/v1/partitions/{partition}/rows:list"),
    "putBlob": ("PUT", "/v1/partitions/{partition}/blobs/{digest}"),
    "blob": ("GET", "/v1/partitions/{partition}/blobs/{digest}"),
    "missingBlobs": ("POST", "/v1/partitions/{partition}/blobs:missing"),
    "held": ("GET", "/v1/partitions/{partition}/rows/{id}:held"),
    "row": ("GET", "/v1/partitions/{partition}/rows/{id}"),
    "cell": ("GET", "/v1/partitions/{partition}/rows/{id}/{field}"),
    "claim": ("POST", "/v1/partitions/{partition}/claims"),
    "ack": ("POST", "/v1/claims/{claim}:ack"),
    "release": ("POST", "/v1/claims/{claim}:release"),
    "renew": ("POST", "/v1/claims/{claim}:renew"),
    "openSnapshot": ("POST", "/v1/snapshots"),
    "renewSnapshot": ("POST", "/v1/snapshots/{snapshot}:renew"),
    "closeSnapshot": ("POST", "/v1/snapshots/{snapshot}:close"),
    "snapshotState": ("GET", "/v1/snapshots/{snapshot}/partitions/{partition}/state"),
    "openLoad": ("POST", "/v1/loads"),
    "renewLoad": ("POST", "/v1/loads/{load}:renew"),
    "stage": ("PUT", "/v1/loads/{load}/partitions/{partition}"),
    "commitLoad": ("POST", "/v1/loads/{load}:commit"),
    "closeLoad": ("POST", "/v1/loads/{load}:close"),
}

# code -> (kind, HTTP status, message)
ERRORS: Final[dict[str, tuple[str, int, str]]] = {
    "http_malformed": (
        "fix_request",
        400,
        "The request head is not valid HTTP/1.1; send it through an HTTP/1.1 client library.",
    ),
    "target_invalid": (
        "fix_request",
        400,
        "The request target is not a plain path with an optional query; percent-encode it once.",
    ),
    "target_too_long": (
        "fix_request",
        414,
        "The request target is too long; put large arguments into the body.",
    ),
    "head_too_large": (
        "fix_request",
        431,
        "The request head has too many bytes or fields; send fewer headers.",
    ),
    "method_unknown": (
        "fix_request",
        501,
        "The HTTP method is not one that this server knows.",
    ),
    "method_not_allowed": (
        "fix_request",
        405,
        "This path exists, but not with this method.",
    ),
    "route_unknown": (
        "fix_request",
        404,
        "No route has this path; docs/API.md lists them.",
    ),
    "version_unsupported": (
        "fix_request",
        505,
        "Only HTTP/1.1 is spoken here.",
    ),
    "protocol_unsupported": (
        "fix_request",
        400,
        "The client speaks another protocol version; use an SDK of the version of this server.",
    ),
    "length_required": (
        "fix_request",
        411,
        "A body needs a Content-Length; chunked bodies are refused.",
    ),
    "transfer_encoding_refused": (
        "fix_request",
        501,
        "Transfer-Encoding is refused; send a Content-Length.",
    ),
    "expectation_failed": (
        "fix_request",
        417,
        "No expectation but 100-continue is understood.",
    ),
    "body_unexpected": (
        "fix_request",
        400,
        "This request must not have a body.",
    ),
    "body_too_large": (
        "fix_request",
        413,
        "The body exceeds the limit; split the call by rows.",
    ),
    "content_type_unsupported": (
        "fix_request",
        415,
        "The body is not of the media type that this route takes.",
    ),
    "too_many_connections": (
        "retry",
        503,
        "The server has as many connections as it allows; try again later.",
    ),
    "request_timeout": (
        "retry",
        408,
        "The request came too slowly and was cut off.",
    ),
    "unauthorized": (
        "fix_request",
        401,
        "A valid bearer token is required.",
    ),
    "json_invalid": (
        "fix_request",
        400,
        "The JSON body does not fit this route.",
    ),
    "query_invalid": (
        "fix_request",
        400,
        "A query parameter is unknown or out of range.",
    ),
    "header_invalid": (
        "fix_request",
        400,
        "A header has a value that is not understood.",
    ),
    "checksum_mismatch": (
        "retry",
        400,
        "The bytes that arrived are not the bytes that were sent: their checksums differ.",
    ),
    "arrow_malformed": (
        "fix_request",
        400,
        "The body is not a valid Arrow IPC stream.",
    ),
    "arrow_truncated": (
        "fix_request",
        400,
        "The Arrow IPC stream ends too early.",
    ),
    "dictionary_refused": (
        "fix_request",
        400,
        "Dictionary columns are refused; decode them before the put.",
    ),
    "compression_refused": (
        "fix_request",
        415,
        "Compressed Arrow buffers are refused; write the stream without compression.",
    ),
    "nulls_refused": (
        "fix_request",
        400,
        "A column holds nulls; leave the cell out instead of sending a null.",
    ),
    "type_unsupported": (
        "fix_request",
        400,
        "A column has an Arrow type that no field layout uses.",
    ),
    "layout_invalid": (
        "fix_request",
        400,
        "A field layout is not valid.",
    ),
    "index_id_invalid": (
        "fix_request",
        400,
        "Column index_id must be int64 without nulls, each id an integer from 0 to 2^53 - 1.",
    ),
    "ids_duplicate": (
        "fix_request",
        400,
        "An id occurs twice in one call.",
    ),
    "name_invalid": (
        "fix_request",
        400,
        "A name does not fit the grammar, is reserved or occurs twice.",
    ),
    "nesting_too_deep": (
        "fix_request",
        400,
        "The schema is nested too deeply.",
    ),
    "metadata_too_large": (
        "fix_request",
        400,
        "The metadata of an Arrow message is too large.",
    ),
    "too_many_columns": (
        "fix_request",
        400,
        "The batch has too many columns.",
    ),
    "too_many_batches": (
        "fix_request",
        400,
        "The stream has too many record batches; combine them before the put.",
    ),
    "too_many_rows": (
        "fix_request",
        400,
        "The call has too many rows; split it.",
    ),
    "partition_unknown": (
        "fix_request",
        404,
        "There is no partition of this name; create it first.",
    ),
    "partition_conflict": (
        "fix_request",
        409,
        "The partition exists with other settings that cannot be changed.",
    ),
    "partition_exists": (
        "fix_request",
        409,
        "A partition of this name exists; drop it, or load with replace.",
    ),
    "partition_sealed": (
        "give_up",
        409,
        "The partition is sealed: it takes no new rows.",
    ),
    "too_many_partitions": (
        "fix_request",
        409,
        "The server has as many partitions as it allows; drop some.",
    ),
    "field_unknown": (
        "fix_request",
        404,
        "The partition does not declare this field.",
    ),
    "field_mismatch": (
        "fix_request",
        400,
        "A column does not have the layout that the partition declares for its field.",
    ),
    "rows_missing": (
        "wait",
        404,
        "Some of the rows are not there, or lack some of the fields; wait for them with wait_ms.",
    ),
    "rows_exist": (
        "fix_request",
        409,
        "Some of the cells are there already, and the put asked for if_absent.",
    ),
    "row_too_scattered": (
        "fix_request",
        400,
        "A row would show cells of too many puts; put more of its fields together.",
    ),
    "lsn_unknown": (
        "give_up",
        410,
        "No snapshot holds the state of this LSN; open a snapshot and read at its LSN.",
    ),
    "too_many_snapshots": (
        "wait",
        503,
        "As many snapshots are open as the server allows; close some, or wait until they expire.",
    ),
    "load_unknown": (
        "give_up",
        410,
        "There is no such load: it was closed, its lease expired, or the server was started anew.",
    ),
    "load_invalid": (
        "fix_request",
        400,
        "The saved state is not understood, or is not that of the rows that were put.",
    ),
    "too_many_loads": (
        "wait",
        503,
        "As many loads are open as the server allows; wait until some end.",
    ),
    "ack_level_too_low": (
        "fix_request",
        400,
        "A put may ask for a stronger ack level than its partition declares, never a weaker one.",
    ),
    "tags_invalid": (
        "fix_request",
        400,
        "Tags must be small JSON objects with allowed names, and declared numbers must be numbers.",
    ),
    "number_unknown": (
        "fix_request",
        400,
        "The partition does not declare this number; declare it in numbers.",
    ),
    "filter_invalid": (
        "fix_request",
        400,
        "The filter of where is not understood.",
    ),
    "too_many_filters": (
        "wait",
        503,
        "The partition has as many filters in use as it allows; use fewer different ones.",
    ),
    "blob_invalid": (
        "fix_request",
        400,
        "A digest is the SHA-256 of a blob: 32 bytes in a cell, 64 hexadecimal digits in a path.",
    ),
    "blob_mismatch": (
        "retry",
        400,
        "The bytes that arrived are not those of the blob: they have another SHA-256.",
    ),
    "blob_missing": (
        "fix_request",
        404,
        "The partition does not have this blob; upload it before the put of rows that name it.",
    ),
    "key_collision": (
        "fix_request",
        409,
        "The row belongs to another key with the same hash; put it under a different key.",
    ),
    "over_budget": (
        "wait",
        429,
        "The budget of the partition or the node has no room for new rows; wait, ack or delete some.",
    ),
    "version_behind": (
        "fix_request",
        409,
        "The current version of a partition only rises.",
    ),
    "answer_too_large": (
        "fix_request",
        413,
        "The answer would exceed the limit; ask for fewer rows or fields.",
    ),
    "claim_unknown": (
        "give_up",
        404,
        "There is no such claim: the token is malformed, or its claim ended long ago.",
    ),
    "claim_stale": (
        "give_up",
        409,
        "The lease ended and rows of this claim went to another consumer; drop the results.",
    ),
    "group_too_large": (
        "fix_request",
        400,
        "One group does not fit into rows_max; ask for at least group_size rows.",
    ),
    "task_unknown": (
        "fix_request",
        404,
        "The partition has no task of this name: none was declared, and none has claimed.",
    ),
    "sampler_unknown": (
        "fix_request",
        400,
        "The server has no sampler of this name.",
    ),
    "sampler_failed": (
        "give_up",
        500,
        "The module of the sampler failed; the log of the server says how.",
    ),
    "row_over_budget": (
        "fix_request",
        409,
        "The next row, or group, has no length or exceeds tokens_max by itself; nothing can pass it.",
    ),
    "batch_conflict": (
        "fix_request",
        409,
        "This batch number was drawn with other parts.",
    ),
    "batch_unknown": (
        "give_up",
        410,
        "This batch was drawn too long ago to be remembered; ask for a later number.",
    ),
    "too_many_tasks": (
        "fix_request",
        409,
        "The partition has as many tasks as it allows.",
    ),
    "too_many_waiters": (
        "wait",
        503,
        "As many requests wait as the server allows; try again later.",
    ),
    "request_id_reused": (
        "fix_request",
        409,
        "This request id was used for another kind of request.",
    ),
    "disk_full": (
        "wait",
        507,
        "The disk of the server is full; drop rows or partitions, or give it space.",
    ),
    "memory_full": (
        "wait",
        503,
        "The memory budget of the server is in use; try again when readers and writers are done.",
    ),
    "not_ready": (
        "retry",
        503,
        "The server is still recovering.",
    ),
    "shutting_down": (
        "retry",
        503,
        "The server is stopping.",
    ),
    "wrong_node": (
        "retry",
        421,
        "Another node owns this shard; refresh the shard map.",
    ),
    "data_corrupt": (
        "give_up",
        500,
        "Stored bytes fail their checksum; they are not served.",
    ),
    "internal": (
        "retry",
        500,
        "The server failed at this request; its log says why.",
    ),
}

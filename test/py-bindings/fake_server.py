"""A small Transfer-Queue server in memory, for tests of the client; it judges bodies by pyarrow and xxhash.

Invariants: a put is refused unless pyarrow validates it in full and its tail has the right checksum; answers are
written by pyarrow. What it does not check (limits, tokens, journal) the tests with the real server do.
"""

from __future__ import annotations

import io
import itertools
import json
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fake_claims
import fake_tasks
import pyarrow as pa
import xxhash
from fake_partition import FakePartition, Refused, storage
from fake_snapshots import FakeSnapshots
from transferq._arrow_fields import arrow_field, layout_of_field
from transferq._layouts import layout_from_json
from transferq._protocol import ERRORS, LIMITS

ARROW = "application/vnd.apache.arrow.stream"


def checksum_of(body: bytes) -> bytes:
    blocks = [body[at : at + (1 << 20)] for at in range(0, len(body), 1 << 20)]
    hashes = b"".join(struct.pack("<Q", xxhash.xxh64_intdigest(block)) for block in blocks)
    return struct.pack("<Q", xxhash.xxh64_intdigest(hashes))


class FakeStore:
    """State and routes; one lock, one condition for all waits."""

    # Of all nodes: no two claims have the same one.
    tokens = itertools.count(1)

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self.limits = {**LIMITS, **(limits or {})}
        self.nodes: list[dict[str, str]] = [{"id": "n1", "url": "http://127.0.0.1:1"}]
        self.owns: Any = None
        self.partitions: dict[str, FakePartition] = {}
        self.claims: dict[str, tuple[FakePartition, str, list[int]]] = {}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[str] = []
        self.renewals: list[str] = []
        self.snapshots = FakeSnapshots()
        self.changed = threading.Condition()
        self.lsns = itertools.count(1)
        # Puts that were refused since a budget was full, and how long each was asked to wait.
        self.waits_for_room: list[int] = []

    # ---- Routes --------------------------------------------------------------------------------------------------

    def route(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        request_id = headers.get("tq-request-id", "")
        with self.changed:
            self.requests.append(f"{method} {url.path}")
            if method == "POST" and request_id in self.answers:
                return self.answers[request_id]
            try:
                answer = self.act(method, url.path, query, body)
            except Refused as refused:
                kind, status, message = ERRORS[refused.code]
                error = {"code": refused.code, "kind": kind, "message": message, "details": refused.details}
                return status, {}, json.dumps(error).encode()
            if isinstance(answer, dict):
                answer = (200, {}, json.dumps(answer).encode())
            if method == "POST":
                self.answers[request_id] = answer
            self.changed.notify_all()
            return answer

    def act(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        parts = path.strip("/").split("/")
        if parts == ["v1", "limits"]:
            return self.limits
        if parts == ["v1", "cluster"]:
            return {"epoch": 1, "shards": 64, "nodes": self.nodes}
        if parts == ["v1", "partitions"]:
            return {"partitions": [partition.describe() for partition in self.partitions.values()]}
        if parts[1] == "claims":
            token, _, verb = parts[2].partition(":")
            return fake_claims.end(self, token, verb, body)
        if parts[1] == "snapshots":
            return self.snapshot(parts[2] if len(parts) == 3 else "", json.loads(body or b"{}"))
        name, _, verb = parts[2].partition(":")
        if method == "PUT":
            return self.declare(name, json.loads(body))
        if name not in self.partitions:
            raise Refused("partition_unknown")
        partition = self.partitions[name]
        if len(parts) == 3:
            return self.of_partition(partition, method, verb, query, body)
        if len(parts) > 4 or parts[3] not in ROWS_ACTIONS:
            return fake_tasks.act(self, partition, parts[3:], query, body)
        argument = body if parts[3] == "rows" else json.loads(body)
        return ROWS_ACTIONS[parts[3]](self, partition, query, argument)

    def of_partition(
        self, partition: FakePartition, method: str, verb: str, query: dict[str, str], body: bytes
    ) -> dict[str, Any]:
        if verb == "watch":
            return fake_tasks.watch(self, partition, query)
        if verb == "advance":
            return fake_tasks.advance(self, partition, json.loads(body))
        if method == "GET":
            return partition.describe()
        if method == "DELETE":
            del self.partitions[partition.name]
        else:
            partition.sealed = True
        return {"lsn": next(self.lsns)}

    def declare(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        created = name not in self.partitions
        partition = self.partitions.setdefault(name, FakePartition(name, settings))
        for field, layout in settings.get("fields", {}).items():
            if partition.fields.setdefault(field, layout) != layout:
                raise Refused("partition_conflict", field=field)
        partition.declare(settings)
        return {**partition.describe(), "created": created}

    def check_owner(self, partition: FakePartition, ids: list[int]) -> None:
        if self.owns is not None and not all(self.owns(row, partition.group_size) for row in ids):
            raise Refused("wrong_node")

    def put(self, partition: FakePartition, query: dict[str, str], body: bytes) -> dict[str, Any]:
        if body[-16:-8] != b"TQXXH64\n" or body[-8:] != checksum_of(body[:-16]):
            raise Refused("checksum_mismatch")
        if len(body) > self.limits["put_body_bytes_max"]:
            raise Refused("body_too_large")
        batch = pa.ipc.open_stream(body[:-16]).read_next_batch()
        batch.validate(full=True)
        if batch.num_rows > self.limits["put_rows_max"]:
            raise Refused("too_many_rows")
        ids = batch.column("index_id").to_pylist()
        if len(set(ids)) != len(ids):
            raise Refused("ids_duplicate")
        self.check_owner(partition, ids)
        names = [field.name for field in batch.schema if field.name not in ("index_id", "tq_tags")]
        for name in names:
            layout = layout_of_field(batch.schema.field(name)).to_json()
            if name not in partition.fields and not partition.open:
                raise Refused("field_unknown", field=name)
            if partition.fields.setdefault(name, layout) != layout:
                raise Refused("field_mismatch", field=name, found=layout)
        if query.get("if_absent") and any(name in partition.rows.get(row, {}) for row in ids for name in names):
            raise Refused("rows_exist")
        if partition.sealed and any(row not in partition.rows for row in ids):
            raise Refused("partition_sealed")
        self.wait_for_room(partition, ids, int(query.get("wait_ms", "0")))
        if "tq_tags" in batch.schema.names:
            for row, text in zip(ids, batch.column("tq_tags").to_pylist(), strict=True):
                partition.merge(row, json.loads(text or "{}"))
        if "claim" in query:
            fake_claims.end(self, query["claim"], "ack", b"")
        lsn = partition.lsn = next(self.lsns)
        partition.note("put", ids, fields=names)
        for name in names:
            cells = storage(batch.column(name))
            for at, row in enumerate(ids):
                partition.rows.setdefault(row, {})[name] = (cells.slice(at, 1), lsn)
        for row in ids:
            partition.rows.setdefault(row, {})
        return {"lsn": lsn, "rows": len(ids), "ack": query.get("ack", partition.ack)}

    def wait_for_room(self, partition: FakePartition, ids: list[int], wait_ms: int) -> None:
        rows_max = partition.settings.get("rows_max")
        for last in self.wait(wait_ms):
            new = sum(row not in partition.rows for row in ids)
            if rows_max is None or new == 0 or len(partition.rows) + new <= rows_max:
                return
            if last or new > rows_max:
                self.waits_for_room.append(wait_ms)
                raise Refused("over_budget", budget="rows_max", limit=rows_max, used=len(partition.rows), asked=new)

    def delete(self, partition: FakePartition, _: Any, request: dict[str, Any]) -> dict[str, Any]:
        deleted = [partition.rows.pop(row, None) for row in request["ids"]]
        for row in request["ids"]:
            partition.tags.pop(row, None)
        return {"lsn": next(self.lsns), "deleted": sum(row is not None for row in deleted)}

    # ---- Reads and claims ----------------------------------------------------------------------------------------

    def wait(self, wait_ms: int) -> Iterator[bool]:
        """Yields whether this is the last look; sleeps between looks until something changes."""
        ends_at = time.monotonic() + wait_ms / 1000
        while True:
            left = ends_at - time.monotonic()
            yield left <= 0
            # Leases end without a change that would wake a waiter.
            self.changed.wait(min(max(left, 0), 0.02))

    def snapshot(self, token_and_verb: str, request: dict[str, Any]) -> dict[str, Any]:
        if not token_and_verb:
            return self.snapshots.open(next(self.lsns), self.partitions, request["lease_ms"])
        token, _, verb = token_and_verb.partition(":")
        done = self.snapshots.act(token, verb, request)
        if done is None:
            raise Refused("lsn_unknown")
        return done

    def read(self, partition: FakePartition, _: Any, request: dict[str, Any]) -> Any:
        if "lsn" in request:
            partition = self.snapshots.at(partition.name, request["lsn"])
            if partition is None:
                raise Refused("lsn_unknown", lsn=request["lsn"])
        fields = request.get("fields", list(partition.fields))
        named, fields = fields, [name for name in fields if name != "tq_tags"]
        unknown = [name for name in fields if name not in partition.fields]
        if unknown:
            raise Refused("field_unknown", field=unknown[0])
        wait_ms = request.get("wait_ms", 0)
        for last in self.wait(wait_ms):
            complete = {row for row, cells in partition.rows.items() if all(name in cells for name in fields)}
            ids, after, missing = self.select(partition, request, fields, complete)
            if not missing:
                return self.answer(partition, ids, named, {} if after is None else {"tq-next": str(after)})
            if partition.sealed:
                return 200, {"tq-outcome": "drained"}, b'{"outcome":"drained"}'
            if last:
                if wait_ms == 0:
                    raise Refused("rows_missing", missing=missing[:10], missing_count=len(missing))
                counts = json.dumps({"outcome": "timed_out", "missing": missing[:10]}).encode()
                return 200, {"tq-outcome": "timed_out"}, counts
        raise AssertionError

    def select(
        self, partition: FakePartition, request: dict[str, Any], fields: list[str], complete: set[int]
    ) -> tuple[list[int], int | None, list[int]]:
        if "ids" in request:
            self.check_owner(partition, request["ids"])
            return request["ids"], None, [row for row in request["ids"] if row not in complete]
        if "newest" in request:
            after = request["newest"].get("after_lsn", 0)
            by_lsn = [(max(partition.rows[row][name][1] for name in fields), row) for row in complete]
            newer = [entry for entry in by_lsn if entry[0] > after]
            return ([max(newer)[1]], None, []) if newer else ([], None, [-1])
        start, end = request["range"]["start"], request["range"]["end"]
        inside = sorted(row for row in complete if start <= row < end)
        rows_max = request["range"]["rows_max"]
        after_page = inside[rows_max] if len(inside) > rows_max else None
        return inside[:rows_max], after_page, []

    def answer(
        self,
        partition: FakePartition,
        ids: list[int],
        fields: list[str],
        headers: dict[str, str],
        attempts: list[int] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        columns = [pa.array(ids, pa.int64())]
        described = [pa.field("index_id", pa.int64(), nullable=False)]
        if attempts is not None:
            columns.append(pa.array(attempts, pa.int32()))
            described.append(pa.field("tq_attempt", pa.int32(), nullable=False))
        lsn = 0
        for name in fields:
            if name == "tq_tags":
                columns.append(pa.array([json.dumps(partition.tags.get(row, {})) for row in ids], pa.utf8()))
                described.append(pa.field(name, pa.utf8(), nullable=False))
                continue
            field = arrow_field(name, layout_from_json(partition.fields[name]))
            cells = [partition.rows[row][name] for row in ids]
            lsn = max([lsn, *(at for _, at in cells)])
            columns.append(pa.concat_arrays([cell for cell, _ in cells]) if cells else pa.array([], field.type))
            described.append(field)
        schema = pa.schema(described)
        columns = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        body = sink.getvalue()
        if len(body) > self.limits["answer_bytes_max"]:
            raise Refused("answer_too_large", bytes=len(body), rows=len(ids), limit=self.limits["answer_bytes_max"])
        found = {"tq-outcome": "rows", "tq-rows": str(len(ids)), "tq-lsn": str(lsn), "tq-tail": "xxh64", **headers}
        return 200, found, body + b"TQXXH64\n" + checksum_of(body)


ROWS_ACTIONS = {
    "rows": FakeStore.put,
    "rows:read": FakeStore.read,
    "rows:delete": FakeStore.delete,
    "claims": fake_claims.claim,
    "rows:tag": fake_tasks.tag,
    "rows:list": fake_tasks.list_rows,
}


@contextmanager
def serve(store: FakeStore, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a store on a free port; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            status, headers, answer = store.route(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-type", ARROW if "tq-tail" in headers else "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names that http.server asks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

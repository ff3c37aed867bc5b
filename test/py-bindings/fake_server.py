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

import pyarrow as pa
import xxhash
from fake_snapshots import FakeSnapshots
from transferq._arrow_fields import arrow_field, layout_of_field
from transferq._layouts import layout_from_json
from transferq._protocol import ERRORS, LIMITS

ARROW = "application/vnd.apache.arrow.stream"


def checksum_of(body: bytes) -> bytes:
    blocks = [body[at : at + (1 << 20)] for at in range(0, len(body), 1 << 20)]
    hashes = b"".join(struct.pack("<Q", xxhash.xxh64_intdigest(block)) for block in blocks)
    return struct.pack("<Q", xxhash.xxh64_intdigest(hashes))


class Refused(Exception):
    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def storage(array: Any) -> Any:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


class FakePartition:
    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.fields: dict[str, dict[str, Any]] = {}
        self.group_size = settings.get("group_size", 1)
        self.ack = settings.get("ack", "os")
        self.open = settings.get("open", "fields" not in settings)
        self.sealed = False
        self.lsn = 0
        # id -> field -> (one-row array, LSN)
        self.rows: dict[int, dict[str, tuple[Any, int]]] = {}
        # task -> id -> (state, attempt, token, deadline)
        self.tasks: dict[str, dict[int, tuple[str, int, str, float]]] = {}

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fields": self.fields,
            "group_size": self.group_size,
            "ack": self.ack,
            "open": self.open,
            "sealed": self.sealed,
            "rows": len(self.rows),
            "lsn": self.lsn,
            "tasks": {},
        }


class FakeStore:
    """State and routes; one lock, one condition for all waits."""

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
        self.tokens = itertools.count(1)

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
            return self.end_claim(token, verb, body)
        if parts[1] == "snapshots":
            return self.snapshot(parts[2] if len(parts) == 3 else "", json.loads(body or b"{}"))
        name, _, verb = parts[2].partition(":")
        if method == "PUT":
            return self.declare(name, json.loads(body))
        if name not in self.partitions:
            raise Refused("partition_unknown")
        partition = self.partitions[name]
        if len(parts) == 3:
            if method == "GET":
                return partition.describe()
            if method == "DELETE":
                del self.partitions[name]
            else:
                partition.sealed = True
            return {"lsn": next(self.lsns)}
        actions = {"rows": self.put, "rows:read": self.read, "rows:delete": self.delete, "claims": self.claim}
        argument = body if parts[3] == "rows" else json.loads(body)
        return actions[parts[3]](partition, query, argument)

    def declare(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        created = name not in self.partitions
        partition = self.partitions.setdefault(name, FakePartition(name, settings))
        for field, layout in settings.get("fields", {}).items():
            if partition.fields.setdefault(field, layout) != layout:
                raise Refused("partition_conflict", field=field)
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
        names = [field.name for field in batch.schema if field.name != "index_id"]
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
        if "claim" in query:
            self.end_claim(query["claim"], "ack", b"")
        lsn = partition.lsn = next(self.lsns)
        for name in names:
            cells = storage(batch.column(name))
            for at, row in enumerate(ids):
                partition.rows.setdefault(row, {})[name] = (cells.slice(at, 1), lsn)
        for row in ids:
            partition.rows.setdefault(row, {})
        return {"lsn": lsn, "rows": len(ids), "ack": query.get("ack", partition.ack)}

    def delete(self, partition: FakePartition, _: Any, request: dict[str, Any]) -> dict[str, Any]:
        deleted = [partition.rows.pop(row, None) for row in request["ids"]]
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
        unknown = [name for name in fields if name not in partition.fields]
        if unknown:
            raise Refused("field_unknown", field=unknown[0])
        wait_ms = request.get("wait_ms", 0)
        for last in self.wait(wait_ms):
            complete = {row for row, cells in partition.rows.items() if all(name in cells for name in fields)}
            ids, after, missing = self.select(partition, request, fields, complete)
            if not missing:
                return self.answer(partition, ids, fields, {} if after is None else {"tq-next": str(after)})
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

    def claim(self, partition: FakePartition, _: Any, request: dict[str, Any]) -> Any:
        fields, task = request["fields"], partition.tasks.setdefault(request["task"], {})
        rows_max = request["rows_max"]
        rows_min = request.get("rows_min", rows_max)
        group = partition.group_size if request.get("sampler") == "group" else 1
        for last in self.wait(request.get("wait_ms", 0)):
            now = time.monotonic()
            free, leased, incomplete = [], 0, 0
            for row, cells in partition.rows.items():
                state, attempt, _token, deadline = task.get(row, ("unclaimed", 0, "", 0.0))
                if state == "consumed":
                    continue
                if state == "leased" and deadline > now:
                    leased += 1
                elif all(name in cells for name in fields):
                    free.append((row, attempt + 1))
                else:
                    incomplete += 1
            if group > 1:
                whole = [row // group for row, _ in free]
                free = [entry for entry in free if whole.count(entry[0] // group) == group]
            taken = free[: rows_max - rows_max % group]
            if taken and (len(taken) >= rows_min or partition.sealed):
                return self.grant(partition, request, taken)
            if partition.sealed and not leased and not free and not incomplete:
                return 200, {"tq-outcome": "drained"}, b'{"outcome":"drained"}'
            if last:
                counts = {"outcome": "timed_out", "ready": len(free), "leased": leased, "incomplete": incomplete}
                return 200, {"tq-outcome": "timed_out"}, json.dumps(counts).encode()
        raise AssertionError

    def grant(self, partition: FakePartition, request: dict[str, Any], taken: list[tuple[int, int]]) -> Any:
        token = f"c{next(self.tokens)}"
        ids = [row for row, _ in taken]
        lease_ms = request["lease_ms"]
        state = "consumed" if request.get("auto_ack") else "leased"
        for row, attempt in taken:
            entry = (state, attempt, token, time.monotonic() + lease_ms / 1000)
            partition.tasks[request["task"]][row] = entry
        self.claims[token] = (partition, request["task"], ids)
        headers = {"tq-claim": token, "tq-lease-ms": str(lease_ms)}
        return self.answer(partition, ids, request["fields"], headers, [attempt for _, attempt in taken])

    def end_claim(self, token: str, verb: str, body: bytes) -> dict[str, Any]:
        if token not in self.claims:
            raise Refused("claim_unknown")
        partition, task, ids = self.claims[token]
        states = partition.tasks[task]
        if any(states[row][2] != token for row in ids):
            raise Refused("claim_stale")
        for row in ids:
            _, attempt, _, deadline = states[row]
            if verb == "renew":
                lease_ms = json.loads(body)["lease_ms"]
                states[row] = ("leased", attempt, token, time.monotonic() + lease_ms / 1000)
            else:
                states[row] = ("consumed" if verb == "ack" else "unclaimed", attempt, token, deadline)
        if verb == "renew":
            self.renewals.append(token)
            return {"lease_ms": lease_ms}
        if verb == "release":
            del self.claims[token]
        return {"lsn": next(self.lsns)}


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

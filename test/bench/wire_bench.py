"""The `wire` suite from Python: the SDK, and a minimal client, against a bare socket pair. See wire.ts, its caller.

    wire_bench.py URL PID [--quick] [--only TEXT]        PID: of the server, whose CPU time is read
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import transferq
import xxhash
from transferq import Dense, Layout, Partition, Ragged, Text
from transferq._encode import encode_body, encode_column, encode_ids
from wire_http import RawClient, request
from wire_measure import Side, checked, contest, report_latency, report_rate
from wire_pair import BarePair

PEER = "bare socket pair"
ROWS = 1024
Fields = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What every case needs."""

    client: transferq.Client
    pair: BarePair
    pid: int
    rounds: int
    calls: int
    rng: np.random.Generator

    @contextmanager
    def partition(self, layouts: dict[str, Layout], ack: str) -> Iterator[Partition]:
        made = self.client.partition("wire", fields=layouts, ack=ack)
        try:
            yield made
        finally:
            made.drop()

    def bare_put(self, size: int) -> Side:
        """Sends as many bytes as a put does, and waits for an answer of 100 bytes."""
        up = np.frombuffer(self.rng.bytes(1 << 20), np.uint8)
        body = np.resize(up, size).data
        return Side(lambda: self.pair.exchange(body, 100), self.pair.pid)

    def bare_get(self, size: int) -> Side:
        sums: set[int] = set()

        def check(got: Any) -> None:
            sums.add(xxhash.xxh3_64_intdigest(got))
            checked(len(sums) == 1, PEER)

        return Side(lambda: self.pair.exchange(memoryview(bytes(100)), size), self.pair.pid, check)

    def put(self, train: Partition, fields: Fields, ids: Any) -> Side:
        """Each put differs from the last, and its check reads it back."""
        first = np.asarray(next(iter(fields.values()))[0]).reshape(-1)
        stamps = iter(range(1, 1 << 30))

        def call() -> object:
            if first.dtype.kind == "f":
                first[0] = next(stamps)
            return train.put(fields, index_ids=ids)

        return Side(call, self.pid, lambda _: check_fields(train.get(ids), fields))

    def get(self, train: Partition, fields: Fields, ids: Any, names: Sequence[str] | None = None) -> Side:
        call = partial(train.get, ids, fields=names)
        return Side(call, self.pid, lambda batch: check_fields(batch, fields))

    def rates(self, case: str, size: int, ours: Side, peer: Side) -> None:
        report_rate(case, size, contest(ours, peer, rounds=self.rounds), PEER)

    def latency(self, case: str, ours: Side, peer: Side) -> None:
        report_latency(case, contest(ours, peer, rounds=self.rounds, calls=self.calls), PEER)


def check_fields(batch: Any, fields: Fields) -> None:
    for name, sent in fields.items():
        checked(digest(batch[name].values) == digest(sent), name)


def digest(values: Any) -> int:
    """A checksum over the bytes of an array, or of the rows of a list."""
    if isinstance(values, list):
        cells = [cell.encode() if isinstance(cell, str) else cell.tobytes() for cell in values]
        return xxhash.xxh3_64_intdigest(b"".join(cells))
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(values).data)


def floats(bench: Bench, names: int, rows: int, values: int) -> Fields:
    return {f"f{i}": bench.rng.random((rows, values), np.float32) for i in range(names)}


def dense(fields: Fields) -> dict[str, Layout]:
    return {name: Dense("float32", (values.shape[1],)) for name, values in fields.items()}


def size_of(fields: Fields) -> int:
    return sum(values.nbytes for values in fields.values())


# ---- Cases -------------------------------------------------------------------------------------------------------


def perf_small(bench: Bench) -> None:
    """288 MiB, through the SDK with checksums, and from a minimal client without them."""
    fields, ids = floats(bench, 9, ROWS, 8192), np.arange(ROWS)
    size = size_of(fields)
    columns = [(name, encode_column(values, dense(fields)[name], name)) for name, values in fields.items()]
    body = np.frombuffer(b"".join(encode_body(encode_ids(ids), columns).pieces), np.uint8).data
    raw = RawClient(bench.client.url)
    head = request("POST", "/v1/partitions/wire/rows", headers="content-type: application/vnd.apache.arrow.stream\r\n", body=body)
    read = request("POST", "/v1/partitions/wire/rows:read", body={"ids": ids.tolist()})

    def raw_put() -> object:
        raw.send(head, body)
        return raw.answer()

    def raw_get() -> memoryview:
        raw.send(read)
        return raw.answer()

    for ack in ("memory", "os"):
        with bench.partition(dense(fields), ack) as train:
            bench.rates(f"put perf-small, ack {ack}", size, bench.put(train, fields, ids), bench.bare_put(size))
            check = lambda _, train=train: check_fields(train.get(ids), fields)  # noqa: E731
            bench.rates(f"put perf-small, ack {ack}, raw", size, Side(raw_put, bench.pid, check), bench.bare_put(size))
    with bench.partition(dense(fields), "memory") as train:
        train.put(fields, index_ids=ids)
        bench.rates("get perf-small", size, bench.get(train, fields, ids), bench.bare_get(size))
        expected = digest(np.frombuffer(raw_get(), np.uint8))
        check = lambda got: checked(digest(np.frombuffer(got, np.uint8)) == expected, "raw get")  # noqa: E731
        bench.rates("get perf-small, raw", size, Side(raw_get, bench.pid, check), bench.bare_get(size))
    raw.close()


def field_counts(bench: Bench) -> None:
    """The same bytes in 1, 8 and 32 fields, each against 1 field."""
    size, ids = 256 << 20, np.arange(ROWS)
    one = floats(bench, 1, ROWS, size // ROWS // 4)
    for count in (8, 32):
        many = {f"f{i}": part.reshape(ROWS, -1) for i, part in enumerate(np.split(one["f0"].reshape(-1), count))}
        with bench.partition(dense(many), "memory") as train:
            alone = bench.client.partition("wire-alone", fields=dense(one), ack="memory")
            for verb, side in (("put", bench.put), ("get", bench.get)):
                sides = contest(side(train, many, ids), side(alone, one, ids), rounds=bench.rounds)
                report_rate(f"{verb} 256 MiB in {count} fields", size, sides, "in 1 field")
            alone.drop()


def small(bench: Bench) -> None:
    """Latencies."""
    one = {"x": bench.rng.random((1, 256), np.float32)}
    with bench.partition(dense(one), "os") as train:
        bench.get_and_put = None if False else None
    for ack in ("memory", "os"):
        fields = {"x": bench.rng.random((50, 256), np.float32)}
        with bench.partition(dense(fields), ack) as train:
            bench.latency(f"put 50 KB, ack {ack}", bench.put(train, fields, np.arange(50)), bench.bare_put(50 << 10))
            bench.latency(f"get 50 KB", bench.get(train, fields, np.arange(50)), bench.bare_get(50 << 10))

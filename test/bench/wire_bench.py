"""The suites `wire` and `queue` from Python: the SDK, and a minimal client, against a bare socket pair.

wire_bench.py URL PID [--suite NAME] [--quick] [--only TEXT]        PID: of the server, whose CPU time is read

Called by runner/python.ts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
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
from wire_wake import bench_wake_up

PEER = "bare socket pair"
# A put of 288 MiB is synced and its predecessor recycled within this time; without it the disk is what is measured.
RECYCLING_S = 2.5
ARROW = "content-type: application/vnd.apache.arrow.stream\r\n"

Fields = dict[str, Any]
Layouts = dict[str, Layout]


@dataclass(frozen=True)
class Bench:
    """What every case needs."""

    client: transferq.Client
    pair: BarePair
    pid: int
    rounds: int
    rng: np.random.Generator

    @contextmanager
    def partition(self, layouts: Layouts, ack: str, name: str = "wire") -> Iterator[Partition]:
        made = self.client.partition(name, fields=layouts, ack=ack)
        try:
            yield made
        finally:
            made.drop()

    def floats(self, names: int, rows: int, values: int) -> Fields:
        return {f"f{i}": self.rng.random((rows, values), np.float32) for i in range(names)}

    def put(self, train: Partition, fields: Fields, ids: Any) -> Side:
        """No put has the bytes of the one before; what it put is read back."""
        first = next(iter(fields.values()))[0]

        def call() -> object:
            if isinstance(first, np.ndarray):
                first[0] += 1
            return train.put(fields, index_ids=ids)

        return Side(call, self.pid, lambda _: check_fields(train.get(ids), fields))

    def get(self, train: Partition, fields: Fields, ids: Any) -> Side:
        call = partial(train.get, ids, fields=list(fields))
        return Side(call, self.pid, lambda batch: check_fields(batch, fields))

    def bare_put(self, size: int) -> Side:
        """As many bytes as a put sends, and an answer of 100 bytes."""
        body = np.resize(np.frombuffer(self.rng.bytes(1 << 20), np.uint8), size).data
        return Side(lambda: self.pair.exchange(body, 100), self.pair.pid)

    def bare_get(self, size: int) -> Side:
        """A request of 200 bytes, and as many bytes as a get brings."""
        ask = memoryview(bytes(200))
        return Side(lambda: self.pair.exchange(ask, size), self.pair.pid, always_same(PEER))

    def rates(self, case: str, size: int, ours: Side, peer: Side, *, ack: str = "memory") -> None:
        """Of level os, rounds are as far apart as the disk needs to recycle the files of former ones."""
        paced = {"warm_ups": 4, "pause_s": RECYCLING_S} if ack == "os" else {}
        report_rate(case, size, contest(ours, peer, rounds=self.rounds, **paced), PEER)

    def latencies(self, case: str, ours: Side, peer: Side) -> None:
        report_latency(case, contest(ours, peer, rounds=self.rounds, calls=200), PEER)


def dense(fields: Fields) -> Layouts:
    return {name: Dense("float32", (values.shape[1],)) for name, values in fields.items()}


def size_of(fields: Fields) -> int:
    return sum(
        cell.nbytes if isinstance(cell, np.ndarray) else len(cell) for values in fields.values() for cell in values
    )


def check_fields(batch: Any, fields: Fields) -> None:
    for name, sent in fields.items():
        checked(digest(batch[name].values) == digest(sent), name)


def digest(values: Any) -> int:
    """A checksum over an array, or over the cells of a list."""
    if isinstance(values, list):
        values = b"".join(cell.encode() if isinstance(cell, str) else cell.tobytes() for cell in values)
    return xxhash.xxh3_64_intdigest(values)


def always_same(what: str) -> Any:
    seen: set[int] = set()

    def check(got: Any) -> None:
        seen.add(digest(got))
        checked(len(seen) == 1, what)

    return check


# ---- Cases -------------------------------------------------------------------------------------------------------


def perf_small(bench: Bench) -> None:
    """288 MiB in 9 fields, with checksums on both sides (SDK)."""
    fields, ids = bench.floats(9, 1024, 8192), np.arange(1024)
    size = size_of(fields)
    for ack in ("memory", "os"):
        with bench.partition(dense(fields), ack) as train:
            bench.rates(
                f"put perf-small, ack {ack}", size, bench.put(train, fields, ids), bench.bare_put(size), ack=ack
            )
            if ack == "memory":
                bench.rates("get perf-small", size, bench.get(train, fields, ids), bench.bare_get(size))


def without_client(bench: Bench) -> None:
    """288 MiB, from a client that sends and receives and does nothing else: what the server costs alone."""
    fields, ids = bench.floats(9, 1024, 8192), np.arange(1024)
    size = size_of(fields)
    columns = [
        (name, encode_column(values, layout, name))
        for (name, values), layout in zip(fields.items(), dense(fields).values(), strict=True)
    ]
    body = np.frombuffer(b"".join(encode_body(encode_ids(ids), columns).pieces), np.uint8).data
    put_head = request("POST", "/v1/partitions/wire/rows", headers=ARROW, body=body)
    raw = RawClient(bench.client.url)

    def put() -> object:
        raw.send(put_head, body)
        return raw.answer()

    def get(ask: bytes) -> Any:
        raw.send(ask)
        return raw.answer()

    for ack in ("memory", "os"):
        with bench.partition(dense(fields), ack) as train:
            ours = Side(put, bench.pid, lambda _, train=train: check_fields(train.get(ids), fields))
            bench.rates(f"put perf-small, ack {ack}, bare client", size, ours, bench.bare_put(size), ack=ack)
            for name, headers in (("off", ""), ("on", "tq-want-tail: 1\r\n")):
                if ack == "os":
                    continue
                ask = request("POST", "/v1/partitions/wire/rows:read", headers=headers, body={"ids": ids.tolist()})
                ours = Side(partial(get, ask), bench.pid, always_same("get"))
                bench.rates(f"get perf-small, checksum {name}, bare client", size, ours, bench.bare_get(size))
    raw.close()


def field_counts(bench: Bench) -> None:
    """The same bytes in 8 and 32 fields, against 1 field."""
    size, ids = 256 << 20, np.arange(1024)
    one = bench.floats(1, 1024, size // 4096)
    for count in (8, 32):
        parts = np.split(one["f0"].reshape(-1), count)
        many = {f"f{i}": part.reshape(1024, -1).copy() for i, part in enumerate(parts)}
        with bench.partition(dense(many), "memory") as train, bench.partition(dense(one), "memory", "one") as alone:
            for verb, side in (("put", bench.put), ("get", bench.get)):
                sides = contest(side(train, many, ids), side(alone, one, ids), rounds=bench.rounds)
                report_rate(f"{verb} 256 MiB in {count} fields", size, sides, "in 1 field")


def latencies(bench: Bench) -> None:
    """Small puts and gets, one after the other."""
    for ack in ("memory", "os"):
        fields, ids = bench.floats(1, 50, 256), np.arange(50)
        with bench.partition(dense(fields), ack) as train:
            size = size_of(fields)
            bench.latencies(f"put 50 rows, 50 KB, ack {ack}", bench.put(train, fields, ids), bench.bare_put(size))
    fields, ids = bench.floats(1, 1, 256), np.arange(1)
    with bench.partition(dense(fields), "os") as train:
        train.put(fields, index_ids=ids)
        bench.latencies("get 1 row, 1 KiB", bench.get(train, fields, ids), bench.bare_get(1024))
    fields, ids = bench.floats(8, 64, 1024), np.arange(64)
    with bench.partition(dense(fields), "os") as train:
        size = size_of(fields)
        bench.latencies("put 64 rows x 8 fields x 4 KiB", bench.put(train, fields, ids), bench.bare_put(size))
        bench.latencies("get 64 rows x 8 fields x 4 KiB", bench.get(train, fields, ids), bench.bare_get(size))


def varying(bench: Bench) -> None:
    """Ragged rows of 1 to 8192 values, and text."""
    ids = np.arange(2048)
    lengths = bench.rng.integers(1, 8193, len(ids))
    ragged = [bench.rng.random(length, np.float32) for length in lengths]
    letters = bench.rng.integers(97, 123, (len(ids), 4096), np.uint8)
    text = [row[:length].tobytes().decode() for row, length in zip(letters, lengths, strict=True)]
    for name, layout, values in (("ragged", Ragged("float32"), ragged), ("text", Text(), text)):
        with bench.partition({name: layout}, "os") as train:
            fields = {name: values}
            size = size_of(fields)
            bench.rates(f"put 2048 rows, {name}", size, bench.put(train, fields, ids), bench.bare_put(size))
            bench.rates(f"get 2048 rows, {name}", size, bench.get(train, fields, ids), bench.bare_get(size))


def gather(bench: Bench) -> None:
    """512 random rows x 5 fields x 16 KiB out of 50 puts of 64 rows."""
    fields = bench.floats(5, 64 * 50, 4096)
    with bench.partition(dense(fields), "os") as train:
        for first in range(0, 64 * 50, 64):
            part = {name: values[first : first + 64] for name, values in fields.items()}
            train.put(part, index_ids=np.arange(first, first + 64))
        ids = bench.rng.permutation(64 * 50)[:512]
        wanted = {name: values[ids] for name, values in fields.items()}
        size = size_of(wanted)
        bench.rates("gather 512 rows of 50 puts", size, bench.get(train, wanted, ids), bench.bare_get(size))


def wake_up(bench: Bench) -> None:
    for ack in ("memory", "os"):
        for waiters in (1, 1000):
            with bench.partition({"x": Dense("float32", (256,))}, ack) as train:
                bench_wake_up(train, waiters=waiters, puts=100 * bench.rounds)


CASES = {
    "wire": (perf_small, without_client, field_counts, latencies, varying, gather),
    "queue": (wake_up,),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("pid", type=int)
    parser.add_argument("--suite", choices=CASES, default="wire")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args(arguments)
    pair = BarePair()
    with transferq.connect(given.url) as client:
        bench = Bench(client, pair, given.pid, 5 if given.quick else 15, np.random.default_rng(7))
        for case in CASES[given.suite]:
            if given.only in case.__name__:
                case(bench)
    pair.close()


if __name__ == "__main__":
    main()

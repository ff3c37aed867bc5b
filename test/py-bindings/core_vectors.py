"""Checks the Python core host against the frozen vectors; standard library only, for CPython and Pyodide alike.

Hash, body, routing and offset vectors go through the functions of `transferq._core`; bitmap, random and slice vectors
through the raw exports of the same instance, since Python has no use for them but shares the binary.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transferq import _core, _core_engine

PRIME32 = 2654435761
PAGE_SIZE = 8192
PAGE_BITS = 65536

# Raw exports that only these checks call.
SIGNATURES = {
    "bits_set": ("iii", "i"),
    "bits_clear": ("iii", "i"),
    "range_set": ("iii", "i"),
    "popcount": ("i", "i"),
    "scan_ready": ("iiiiiiii", "i"),
    "scan_groups": ("iiiiiiiii", "i"),
    "count_ready": ("iiiiii", "i"),
    "chances_of_ids": ("diii", ""),
    "gather": ("iiiiiii", "i"),
    "rebase_offsets": ("iiiiiii", "i"),
}


def sanity(length: int) -> bytes:
    state, out = PRIME32, bytearray()
    for _ in range(length):
        out.append(state >> 56)
        state = state * 11400714785074694797 & _core.U64_MASK
    return bytes(out)


TILE = bytes((i * PRIME32 & 0xFFFFFFFF) >> 24 for i in range(65521))


def pattern(length: int) -> bytes:
    return (TILE * (length // len(TILE) + 1))[:length]


class Scratch:
    """Places arguments of raw calls one behind the other in SCRATCH."""

    def __init__(self, engine: _core_engine.Engine) -> None:
        self.engine = engine
        self.free = -(-engine.scratch // PAGE_SIZE) * PAGE_SIZE

    def room(self, size: int) -> int:
        address = self.free
        self.free += -(-size // 16) * 16
        if self.free > self.engine.scratch + self.engine.scratch_size:
            raise MemoryError("SCRATCH is full")
        return address

    def place(self, data: bytes) -> int:
        address = self.room(len(data))
        self.engine.write(address, memoryview(data))
        return address

    def place_u32(self, numbers: list[int]) -> int:
        return self.place(array("I", numbers).tobytes())

    def read(self, kind: str, address: int, count: int) -> list[int]:
        return array(kind, self.engine.read(address, count * array(kind).itemsize)).tolist()

    def page(self, ranges: list[list[int]] | None) -> int:
        if ranges is None:
            return 0
        address = self.place(bytes(PAGE_SIZE))
        for start, count in ranges:
            self.engine.call("range_set", address, start, count)
        return address


def same(name: str, got: Any, expected: Any) -> int:
    if got != expected:
        raise AssertionError(f"{name}: got {got!r}, expected {expected!r}")
    return 1


def hex_of(number: int) -> str:
    return f"{number:016x}"


def check_hash(vectors: dict[str, Any]) -> int:
    core = _core.core()
    checked = 0
    for source, cases in ((sanity, vectors["published"]), (pattern, vectors["own"])):
        for case in cases:
            got = hex_of(core.xxh64(source(case["length"]), int(case["seed"], 16)))
            checked += same(f"xxh64 of {case['length']}", got, case["xxh64"])
    for case in vectors["bodies"]:
        hasher = _core.BodyHasher()
        hasher.update(pattern(case["length"]))
        got = hex_of(int.from_bytes(hasher.finish(), "little"))
        checked += same(f"body of {case['length']}", got, case["checksum"])
        blocks = [hex_of(block) for block in memoryview(hasher.blocks).cast("Q")] if hasher.blocks else []
        checked += same(f"blocks of {case['length']}", blocks, case["blocks"])
    for case in vectors["keys"]:
        checked += same(f"id of key {case['key']}", core.xxh64(case["key"].encode()) & (2**53 - 1), case["id"])
    return checked


def check_routing(vectors: dict[str, Any]) -> int:
    core = _core.core()
    checked = 0
    for case in vectors["ids"]:
        got = core.shards_of_ids(case["ids"], group_size=case["groupSize"], shards=case["shards"])
        checked += same(f"shards {case}", got.tolist(), case["expected"])
    for case in vectors["keys"]:
        checked += same(f"key {case}", core.shard_of_key(case["key"], shards=case["shards"]), case["expected"])
    for case in vectors["nodes"]:
        got_nodes = core.rendezvous(case["shards"], case["nodes"], count=case["count"])
        checked += same(f"nodes {case}", got_nodes, case["expected"])
    return checked


def check_offsets(vectors: dict[str, Any]) -> int:
    core = _core.core()
    checked = 0
    for name, kind in (("int32", "i"), ("int64", "q")):
        for case in vectors[name]:
            offsets = array(kind, [int(offset) for offset in case["offsets"]])
            checked += same(f"{name} {case}", core.check_offsets(offsets, limit=case["limit"]), case["bad"])
    return checked


def check_bitmaps(vectors: dict[str, Any], engine: _core_engine.Engine) -> int:
    checked = 0
    for case in vectors["scans"]:
        scratch = Scratch(engine)
        pages = [[scratch.page(ranges) for ranges in case[side]] for side in ("and", "not")]
        scan: list[int] = []
        for side in pages:
            scan += [scratch.place_u32(side), len(side)]
        scan += [case["from"], case["bits"]]
        out = scratch.room(PAGE_BITS * 4)
        found = engine.call("scan_ready", *scan, case["limit"], out)
        checked += same(f"ready {case}", scratch.read("I", out, found), case["ready"])
        found = engine.call("scan_groups", *scan, case["groupSize"], case["limit"], out)
        checked += same(f"groups {case}", scratch.read("I", out, found), case["groups"])
        checked += same(f"count {case}", engine.call("count_ready", *scan), case["count"])
    for case in vectors["changes"]:
        scratch = Scratch(engine)
        page = scratch.page([])
        added = engine.call("bits_set", page, scratch.place_u32(case["set"]), len(case["set"]))
        removed = engine.call("bits_clear", page, scratch.place_u32(case["clear"]), len(case["clear"]))
        got = (added, removed, engine.call("popcount", page))
        checked += same(f"changes {case}", got, (case["added"], case["removed"], len(case["left"])))
    return checked


def check_random(vectors: dict[str, Any], engine: _core_engine.Engine) -> int:
    checked = 0
    for case in vectors["published"] + vectors["own"]:
        ids = array("d", case["ids"])
        at = Scratch(engine).place(ids.tobytes())
        engine.call("chances_of_ids", float(case["seed"]), at, len(ids), at)
        chances = array("d", engine.read(at, len(ids) * ids.itemsize))
        for row, got, expected in zip(case["ids"], chances, case["chances"], strict=True):
            checked += same(f"chance of {row}, seed {case['seed']}", got, expected)
    return checked


def check_slices(vectors: dict[str, Any], engine: _core_engine.Engine) -> int:
    checked = 0
    for case in vectors["gathers"]:
        scratch = Scratch(engine)
        source = bytes.fromhex(case["source"])
        starts, lens = scratch.place_u32(case["starts"]), scratch.place_u32(case["lens"])
        out = scratch.room(64)
        size = engine.call("gather", scratch.place(source), len(source), starts, lens, len(case["lens"]), out, 64)
        got = None if size < 0 else engine.read(out, size).hex()
        checked += same(f"gather {case}", got, case["out"])
    for case in vectors["rebases"]:
        scratch = Scratch(engine)
        rows = case["rows"]
        offsets = scratch.place(array("i", case["offsets"]).tobytes())
        out = [scratch.room(4 * len(rows) + 4) for _ in range(3)]
        count = len(case["offsets"]) - 1
        total = engine.call("rebase_offsets", offsets, count, scratch.place_u32(rows), len(rows), *out)
        got_rows: Any = total
        if total >= 0:
            kinds = (("offsets", "i", len(rows) + 1), ("starts", "I", len(rows)), ("lens", "I", len(rows)))
            got_rows = {name: scratch.read(kind, at, n) for (name, kind, n), at in zip(kinds, out, strict=True)}
        checked += same(f"rebase {case}", got_rows, case["out"])
    return checked


def check_all(folder: Path, new_engine: Callable[[], _core_engine.Engine]) -> dict[str, int]:
    """How many comparisons each vector file took; raises AssertionError at the first difference."""
    vectors = {name: json.loads((folder / f"{name}.json").read_text()) for name in FILES}
    engine = new_engine()
    return {
        "hash": check_hash(vectors["hash"]),
        "routing": check_routing(vectors["routing"]),
        "offsets": check_offsets(vectors["offsets"]),
        "bitmaps": check_bitmaps(vectors["bitmaps"], engine),
        "random": check_random(vectors["random"], engine),
        "slices": check_slices(vectors["slices"], engine),
    }


FILES = ("hash", "routing", "offsets", "bitmaps", "random", "slices")


def raw_engine_maker() -> Callable[[], _core_engine.Engine]:
    """Makes engines that know the exports of these checks too."""
    _core_engine.SIGNATURES.update(SIGNATURES)
    return _core_engine.compile_core(_core.find_core_wasm().read_bytes())

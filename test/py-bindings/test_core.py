"""The Python core host: vectors on both ways to call wasmtime, oracles, threads, forks and what it refuses."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import core_vectors
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from transferq import _core, _core_engine
from transferq._core import BodyHasher, core
from transferq._core_engine import CoreError, Engine, compile_with_wasmtime

VECTORS = Path(__file__).parents[1] / "vectors"
BLOCK_SIZE = 1 << 20

u64 = st.integers(0, (1 << 64) - 1)
ids = st.integers(0, (1 << 53) - 1)


def le64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def hash_of(data: bytes) -> int:
    return xxhash.xxh64_intdigest(data)


def body_of(data: bytes) -> tuple[bytes, bytes]:
    blocks = b"".join(le64(hash_of(data[at : at + BLOCK_SIZE])) for at in range(0, len(data), BLOCK_SIZE))
    return blocks, le64(hash_of(blocks))


@pytest.fixture(params=["unchecked", "public"])
def new_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Engine]:
    """Makes engines that call in one of the two ways, and makes them the ones of `core()`."""
    monkeypatch.setattr(_core_engine, "SIGNATURES", {**_core_engine.SIGNATURES, **core_vectors.SIGNATURES})
    wasm = _core.find_core_wasm().read_bytes()
    make = compile_with_wasmtime(wasm, unchecked=request.param == "unchecked")
    monkeypatch.setattr(_core, "_new_engine", make)
    monkeypatch.setattr(_core, "_per_thread", _core._PerThread())
    return make


def test_vectors(new_engine: Callable[[], Engine]) -> None:
    counts = core_vectors.check_all(VECTORS, new_engine)
    assert min(counts.values()) > 10


def test_a_trap_is_an_error_and_the_instance_goes_on(new_engine: Callable[[], Engine]) -> None:
    engine = new_engine()
    for _ in range(3):
        with pytest.raises(CoreError, match="trapped"):
            engine.call("xxh64", 0x7FFF0000, 64, 0)
        with pytest.raises(CoreError, match="trapped"):
            engine.call("body_init", -8)
    assert core().xxh64(b"") == 0xEF46DB3751D8E999


def test_the_memory_can_not_grow(new_engine: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_core_engine.SIGNATURES, "page_alloc", ("", "i"))
    assert new_engine().call("page_alloc") == 0


def test_the_fast_call_fits_the_pinned_wasmtime() -> None:
    assert _core_engine._unchecked_call_fits()


def test_another_wasmtime_falls_back_to_the_public_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from wasmtime import _bindings

    monkeypatch.delattr(_bindings, "wasmtime_func_call_unchecked")
    assert not _core_engine._unchecked_call_fits()
    engine = compile_with_wasmtime(_core.find_core_wasm().read_bytes())()
    assert engine.call("xxh64", engine.scratch, 0, 0) & _core.U64_MASK == 0xEF46DB3751D8E999


def test_a_file_that_is_no_module() -> None:
    with pytest.raises(CoreError, match="does not load"):
        compile_with_wasmtime(b"\0asm not really")


def test_a_missing_file_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_core, "__file__", str(tmp_path / "a" / "b" / "_core.py"))
    with pytest.raises(CoreError, match="install the wheel"):
        _core.find_core_wasm()


@given(st.binary(max_size=400), u64)
def test_xxh64_equals_the_native_one(data: bytes, seed: int) -> None:
    assert core().xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed)


@pytest.mark.parametrize("size", [_core.WINDOW_SIZE - 1, _core.WINDOW_SIZE, _core.WINDOW_SIZE + 1, 1_000_003])
def test_xxh64_over_windows(size: int) -> None:
    data = core_vectors.pattern(size)
    assert core().xxh64(data, 7) == xxhash.xxh64_intdigest(data, 7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 700_000), max_size=6))
def test_a_body_in_pieces(sizes: list[int]) -> None:
    body = core_vectors.pattern(sum(sizes))
    hasher = BodyHasher()
    other = BodyHasher()
    at = 0
    for size in sizes:
        hasher.update(memoryview(body)[at : at + size])
        other.update(b"something else in between")
        at += size
    blocks, checksum = body_of(body)
    assert (hasher.finish(), hasher.blocks) == (checksum, blocks)
    assert hasher.finish() == checksum
    with pytest.raises(ValueError, match="finish"):
        hasher.update(b"")


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"abcdefgh" * 9),
        np.arange(600, dtype=np.float32).reshape(2, 3, 100),
        np.zeros((0, 5), np.int16),
        np.zeros((), np.float64),
        array("d", [1.5, 2.5]),
        memoryview(b"abcdefgh")[2:5],
        b"",
    ],
    ids=lambda data: type(data).__name__,
)
def test_any_contiguous_buffer(data: bytes) -> None:
    expected = bytes(memoryview(data).tobytes())
    assert core().xxh64(data) == hash_of(expected)
    hasher = BodyHasher()
    hasher.update(data)
    assert hasher.finish() == body_of(expected)[1]


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        core().xxh64(np.arange(10)[::2])


@given(st.lists(ids, max_size=60), st.integers(1, 1 << 40), st.integers(1, (1 << 31) - 1))
def test_shards(some_ids: list[int], group_size: int, shards: int) -> None:
    expected = [hash_of(le64(number // group_size)) % shards for number in some_ids]
    for given_ids in (some_ids, tuple(some_ids), array("q", some_ids), np.array(some_ids, np.int64)):
        assert core().shards_of_ids(given_ids, group_size=group_size, shards=shards).tolist() == expected


def test_more_ids_than_one_call_takes() -> None:
    many = np.arange(0, 50_000 * 3, 3)
    shards = np.frombuffer(core().shards_of_ids(many, group_size=8, shards=97), np.uint32)
    assert shards.tolist() == [hash_of(le64(number // 8)) % 97 for number in many.tolist()]


def test_what_can_not_be_routed() -> None:
    for group_size, shards in ((0, 1), (-1, 1), (1, 0), (1, 1 << 31)):
        with pytest.raises(ValueError, match="positive"):
            core().shards_of_ids([1], group_size=group_size, shards=shards)
    with pytest.raises(ValueError, match="int64"):
        core().shards_of_ids(np.array([1.5]), group_size=1, shards=1)
    with pytest.raises(ValueError, match="int64"):
        core().shards_of_ids(np.array([1], np.int32), group_size=1, shards=1)
    with pytest.raises(ValueError, match="positive"):
        core().shard_of_key("a", shards=0)
    for nodes, count in ((["a"], 2), (["a"], 0), ([], 1), ([str(i) for i in range(1025)], 1)):
        with pytest.raises(ValueError, match="rank"):
            core().rendezvous([1], nodes, count=count)


names = st.lists(st.text(max_size=20), min_size=1, max_size=12)


@given(names, st.lists(st.integers(0, (1 << 32) - 1), max_size=10), st.integers(1, 12))
def test_nodes_of_shards(nodes: list[str], shards: list[int], wanted: int) -> None:
    count = min(wanted, len(nodes))
    hashes = [le64(hash_of(node.encode())) for node in nodes]

    def ranked(shard: int) -> list[int]:
        return sorted(range(len(nodes)), key=lambda node: (-hash_of(hashes[node] + le64(shard)), node))[:count]

    assert core().rendezvous(shards, nodes, count=count) == [ranked(shard) for shard in shards]


def test_more_shards_than_one_call_takes() -> None:
    nodes = [f"node-{i}" for i in range(5)]
    shards = list(range(20_000))
    ranks = core().rendezvous(shards, nodes, count=2)
    assert len(ranks) == 20_000
    for shard in (0, 8191, 8192, 19_999):
        assert [ranks[shard]] == core().rendezvous([shard], nodes, count=2)


@given(st.lists(st.integers(-3, 40), max_size=50), st.integers(0, 40), st.sampled_from(["i", "q"]))
def test_offsets(offsets: list[int], limit: int, kind: str) -> None:
    bad = (
        index for index, offset in enumerate(offsets) if offset < (offsets[index - 1] if index else 0) or offset > limit
    )
    assert core().check_offsets(array(kind, offsets), limit=limit) == next(bad, -1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_a_bad_offset_on_either_side_of_a_seam(dtype: type) -> None:
    offsets = np.arange(200_000, dtype=dtype)
    assert core().check_offsets(offsets, limit=199_999) == -1
    for at in (1, 32_766, 32_767, 32_768, 65_534, 65_535, 65_536, 199_999):
        offsets[at] -= 2
        assert core().check_offsets(offsets, limit=199_999) == at
        offsets[at] += 2
    with pytest.raises(ValueError, match="int32 or int64"):
        core().check_offsets(b"ab", limit=1)


def test_each_thread_has_its_own_instance() -> None:
    body = core_vectors.pattern(3_000_000)
    expected = body_of(body)[1]
    instances, failures = {core()}, []

    def work() -> None:
        instances.add(core())
        for _ in range(5):
            hasher = BodyHasher()
            for at in range(0, len(body), 100_000):
                hasher.update(body[at : at + 100_000])
            if hasher.finish() != expected:
                failures.append(threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(instances) == 5


def test_a_hasher_moves_between_threads() -> None:
    hasher = BodyHasher()
    hasher.update(b"first ")
    thread = threading.Thread(target=hasher.update, args=(b"second",))
    thread.start()
    thread.join()
    assert hasher.finish() == body_of(b"first second")[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_instances_of_its_own() -> None:
    before = core()
    hasher = BodyHasher()
    hasher.update(b"parent ")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        hasher.update(b"child")
        os.write(write_end, pickle.dumps((core() is not before, hasher.finish(), core().xxh64(b"abc"))))
        os._exit(0)
    os.waitpid(child, 0)
    fresh, checksum, abc = pickle.loads(os.read(read_end, 1000))
    os.close(read_end)
    os.close(write_end)
    assert fresh
    assert checksum == body_of(b"parent child")[1]
    assert abc == hash_of(b"abc")
    assert core() is before


def test_importing_loads_the_standard_library_only() -> None:
    folder = Path(_core.__file__).parent
    program = f"""
import sys, types, threading
package = types.ModuleType("transferq")
package.__path__ = [{str(folder)!r}]
sys.modules["transferq"] = package
before = set(sys.modules)
import transferq._core
foreign = {{"numpy", "pyarrow", "wasmtime", "torch"}} & (set(sys.modules) - before)
print(sorted(foreign), threading.active_count())
"""
    answer = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[] 1"

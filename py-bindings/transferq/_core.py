"""The functions of core.wasm for Python: hash, body checksum, routing, offset checks.

    caller's buffer  | window | window | ...       each is copied into core.wasm and hashed while it is in the cache
    core.wasm        | state | results | window |  one instance per thread

The same binary runs in the server, the TypeScript SDK and the browser, so all agree on every hash and every shard.
Only the standard library is imported here; wasmtime comes with the first call (under Pyodide it is not needed).

Invariants: no thread shares an instance, and a forked child starts with none of its parent's. Nothing in the memory of
core.wasm outlives the call that wrote it, so a hasher may move between threads.
"""

from __future__ import annotations

import atexit
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from transferq._core_engine import CoreError, Engine, compile_core

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HASH_SIZE: Final = 8
U64_MASK: Final = (1 << 64) - 1

# Areas of SCRATCH in core.wasm, from its start.
RESULTS_AT: Final = 256
WINDOW_AT: Final = 4096
# Large enough to make the cost of a call small, small enough to stay in the second-level cache.
WINDOW_SIZE: Final = 256 * 1024

BODY_STATE_SIZE: Final = 144
IDS_PER_CALL: Final = 16 * 1024
NODES_MAX: Final = 1024
RANKS_PER_CALL: Final = 16 * 1024


class Core:
    """One instance of core.wasm. Get the one of the calling thread from `core()`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._call = engine.call
        self._state = engine.scratch
        self._results = engine.scratch + RESULTS_AT
        self._window = engine.scratch + WINDOW_AT

    def xxh64(self, buffer: ReadableBuffer, seed: int = 0) -> int:
        """The xxh64 of all bytes of a C-contiguous buffer, as an unsigned number."""
        data = as_bytes(buffer)
        if data.nbytes <= WINDOW_SIZE:
            self._engine.write(self._window, data)
            return self._call("xxh64", self._window, data.nbytes, as_signed(seed)) & U64_MASK
        self._call("xxh64_init", self._state, as_signed(seed))
        for window in windows(data):
            self._engine.write(self._window, window)
            self._call("xxh64_update", self._state, self._window, window.nbytes)
        return self._call("xxh64_digest", self._state) & U64_MASK

    def shards_of_ids(self, ids: ReadableBuffer | Iterable[int], *, group_size: int, shards: int) -> array[int]:
        """The shard of each id as uint32.

        Args:
            ids: int64 numbers, as a buffer (NumPy, array) or any iterable; each >= 0.
            group_size: rows of one group share a shard.
            shards: number of shards.
        """
        if not (group_size > 0 and 0 < shards < 1 << 31):
            raise ValueError(f"group_size {group_size} and shards {shards} must be positive")
        data = as_int64_bytes(ids)
        out = array("I")
        results = self._window + IDS_PER_CALL * 8
        for start in range(0, data.nbytes, IDS_PER_CALL * 8):
            piece = data[start : start + IDS_PER_CALL * 8]
            count = piece.nbytes // 8
            self._engine.write(self._window, piece)
            self._call("shards_of_ids", self._window, count, group_size, shards, results)
            out.frombytes(self._engine.read(results, count * 4))
        return out

    def shard_of_key(self, key: str, *, shards: int) -> int:
        """The shard of a string key, by its UTF-8 bytes."""
        if not 0 < shards < 1 << 31:
            raise ValueError(f"shards {shards} must be positive")
        return self.xxh64(key.encode()) % shards

    def rendezvous(self, shards: Sequence[int], nodes: Sequence[str], *, count: int) -> list[list[int]]:
        """For each shard the indexes of its ``count`` best nodes, best first. Nodes are ranked by their names."""
        if len(nodes) > NODES_MAX or not 0 < count <= len(nodes):
            raise ValueError(f"cannot rank {count} of {len(nodes)} nodes (at most {NODES_MAX})")
        hashes = array("Q", (self.xxh64(node.encode()) for node in nodes))
        inputs = self._window + NODES_MAX * 8
        results = inputs + RANKS_PER_CALL * 4
        per_call = RANKS_PER_CALL // count
        ranks = array("I")
        self._engine.write(self._window, as_bytes(hashes))
        for start in range(0, len(shards), per_call):
            piece = array("I", shards[start : start + per_call])
            self._engine.write(inputs, as_bytes(piece))
            self._call("rendezvous", inputs, len(piece), self._window, len(nodes), count, results)
            ranks.frombytes(self._engine.read(results, len(piece) * count * 4))
        return [list(ranks[row : row + count]) for row in range(0, len(ranks), count)]

    def check_offsets(self, offsets: ReadableBuffer, *, limit: int) -> int:
        """The index of the first offset that is negative, below its predecessor or above ``limit``; -1 if all are good.

        Args:
            offsets: a buffer of int32 or int64.
            limit: the highest offset allowed, in elements.
        """
        view = memoryview(offsets)
        width = view.itemsize
        if width not in (4, 8):
            raise ValueError(f"offsets are int32 or int64, not {width} bytes each")
        highest: float = min(limit, (1 << 31) - 1) if width == 4 else float(limit)
        name = "check_offsets_32" if width == 4 else "check_offsets_64"
        data = as_bytes(view)
        per_call = WINDOW_SIZE // width
        # Pieces share one offset, so that the pair at the seam is checked too.
        for start in range(0, data.nbytes // width, per_call - 1):
            piece = data[start * width : (start + per_call) * width]
            self._engine.write(self._window, piece)
            bad = self._call(name, self._window, piece.nbytes // width, highest)
            if bad >= 0:
                return start + bad
        return -1


class BodyHasher:
    """The checksum of one body, fed in pieces of any size as they are sent or received.

    Each block of 1 MiB has its xxh64; the checksum is the xxh64 of those hashes, 8 bytes little-endian each.

    Example:
        >>> hasher = BodyHasher()
        >>> hasher.update(b"some bytes")
        >>> checksum = hasher.finish()
    """

    def __init__(self) -> None:
        instance = core()
        instance._call("body_init", instance._state)
        self._saved = instance._engine.read(instance._state, BODY_STATE_SIZE)
        self._blocks = bytearray()
        self._checksum: bytes | None = None

    def update(self, buffer: ReadableBuffer) -> None:
        """Feeds the bytes of a C-contiguous buffer; the buffer may be reused afterwards."""
        if self._checksum is not None:
            raise ValueError("update after finish")
        instance = core()
        engine, call = instance._engine, instance._call
        state, results, window_at = instance._state, instance._results, instance._window
        engine.write(state, memoryview(self._saved))
        for window in windows(as_bytes(buffer)):
            engine.write(window_at, window)
            closed = call("body_update", state, window_at, window.nbytes, results)
            if closed:
                self._blocks += engine.read(results, closed * HASH_SIZE)
        self._saved = engine.read(state, BODY_STATE_SIZE)

    def finish(self) -> bytes:
        """Ends the body and returns its checksum, 8 bytes little-endian; may be called again."""
        if self._checksum is None:
            instance = core()
            instance._engine.write(instance._state, memoryview(self._saved))
            closed = instance._call("body_finish", instance._state, instance._results)
            hashes = instance._engine.read(instance._results, (closed + 1) * HASH_SIZE)
            self._blocks += hashes[: closed * HASH_SIZE]
            self._checksum = hashes[closed * HASH_SIZE :]
        return self._checksum

    @property
    def blocks(self) -> bytes:
        """The hashes of the blocks closed so far (all after `finish`), 8 bytes little-endian each."""
        return bytes(self._blocks)


def as_bytes(buffer: ReadableBuffer) -> memoryview:
    """The bytes of a C-contiguous buffer of any shape, as a view."""
    view = memoryview(buffer)
    # memoryview refuses to cast shapes that hold a zero.
    return view.cast("B") if view.nbytes > 0 else memoryview(b"")


def as_int64_bytes(ids: ReadableBuffer | Iterable[int]) -> memoryview:
    try:
        view = memoryview(ids)  # type: ignore[arg-type]
    except TypeError:
        return as_bytes(array("q", ids))  # type: ignore[arg-type]
    if view.itemsize != HASH_SIZE or view.format not in ("q", "l", "Q", "L"):
        raise ValueError(f"ids are int64, not {view.format}")
    return as_bytes(view)


def as_signed(number: int) -> int:
    """The i64 with the bits of a u64."""
    return number - (1 << 64) if number >> 63 else number


def windows(data: memoryview) -> Iterable[memoryview]:
    """The pieces of data that cross into core.wasm one by one."""
    if data.nbytes <= WINDOW_SIZE:
        return (data,)
    return (data[start : start + WINDOW_SIZE] for start in range(0, data.nbytes, WINDOW_SIZE))


class _PerThread(threading.local):
    instance: Core | None = None


_per_thread = _PerThread()
_compile_lock = threading.Lock()
_new_engine: Callable[[], Engine] | None = None


def core() -> Core:
    """The instance of core.wasm that belongs to the calling thread, made at its first call."""
    instance = _per_thread.instance
    if instance is None:
        instance = _per_thread.instance = Core(_compiled()())
    return instance


def _compiled() -> Callable[[], Engine]:
    global _new_engine
    with _compile_lock:
        if _new_engine is None:
            _new_engine = compile_core(find_core_wasm().read_bytes())
            atexit.register(_release)
        return _new_engine


def _release() -> None:
    """At exit: wasmtime frees its objects with functions that are gone when the interpreter clears its modules."""
    global _per_thread, _new_engine
    _per_thread = _PerThread()
    _new_engine = None


def find_core_wasm() -> Path:
    """core.wasm of the installed package, else the one built in the repository."""
    packaged = Path(__file__).with_name("core.wasm")
    built = Path(__file__).parents[2] / "core" / "core.wasm"
    for path in (packaged, built):
        if path.is_file():
            return path
    raise CoreError(f"core.wasm is missing at {packaged}: install the wheel, or run `node core/build.mjs`")


def _reset_after_fork() -> None:
    """Instances belong to threads that are gone, and the lock may be held by one; the compiled module is immutable."""
    global _per_thread, _compile_lock
    _per_thread = _PerThread()
    _compile_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)

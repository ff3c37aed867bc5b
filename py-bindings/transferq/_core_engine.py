"""Runs core.wasm: under CPython by wasmtime, under Pyodide by the WebAssembly of the JavaScript host.

    engine    call(name, *numbers) -> number      write(address, bytes)      read(address, size) -> bytes

Numbers are as WebAssembly holds them: i32 and i64 signed, f64. The memory never grows, so views of it stay valid.

Under CPython a call goes through `wasmtime_func_call_unchecked` of the C library that the wasmtime package loads: 2 us
instead of the 45 us in which its public call converts each value. That is private to the package, so its version is
pinned, the public call takes over where the private one looks different, and the tests run both.

Invariant: an engine belongs to one thread of one process.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

# Parameters, then result, of each export that Python calls: i = i32, q = i64, d = f64, none = no result.
SIGNATURES: Final[dict[str, tuple[str, str]]] = {
    "xxh64": ("iiq", "q"),
    "xxh64_init": ("iq", ""),
    "xxh64_update": ("iii", ""),
    "xxh64_digest": ("i", "q"),
    "body_init": ("i", ""),
    "body_update": ("iiii", "i"),
    "body_finish": ("ii", "i"),
    "shards_of_ids": ("iiqii", "i"),
    "shard_of_bytes": ("iii", "i"),
    "rendezvous": ("iiiiii", "i"),
    "check_offsets_32": ("iii", "i"),
    "check_offsets_64": ("iid", "i"),
}


class CoreError(RuntimeError):
    """core.wasm is missing, does not load, or trapped; a bug or a broken installation, never bad input."""


class Engine(Protocol):
    """One instance of core.wasm."""

    scratch: int
    scratch_size: int

    def call(self, name: str, *args: float) -> int: ...

    def write(self, address: int, data: memoryview) -> None: ...

    def read(self, address: int, size: int) -> bytes: ...


def compile_core(wasm: bytes) -> Callable[[], Engine]:
    """Compiles once per process; the answer makes a fresh engine for the thread that calls it."""
    if sys.platform == "emscripten":
        return _compile_with_host(wasm)
    return compile_with_wasmtime(wasm)


def compile_with_wasmtime(wasm: bytes, *, unchecked: bool = True) -> Callable[[], Engine]:
    """core.wasm for CPython; `unchecked=False` keeps to the public calls of the wasmtime package."""
    import wasmtime

    config = wasmtime.Config()
    # A pool of compiler threads would be dead in a forked child, and such a small module needs none.
    config.parallel_compilation = False
    engine = wasmtime.Engine(config)
    try:
        module = wasmtime.Module(engine, wasm)
    except wasmtime.WasmtimeError as error:
        raise CoreError(f"core.wasm does not load: {error}") from error
    return lambda: WasmtimeEngine(engine, module, unchecked=unchecked)


class WasmtimeEngine:
    """core.wasm under CPython."""

    def __init__(self, engine: Any, module: Any, *, unchecked: bool) -> None:
        import wasmtime

        self._store = wasmtime.Store(engine)
        exports: Any = wasmtime.Instance(self._store, module, []).exports(self._store)
        memory = exports["memory"]
        size = memory.data_len(self._store)
        # The views below would die when the memory grew, so it may not.
        self._store.set_limits(memory_size=size)
        self.scratch: int = exports["SCRATCH"].value(self._store)
        self.scratch_size: int = exports["SCRATCH_SIZE"].value(self._store)
        self._bytes = memoryview(memory.get_buffer_ptr(self._store)).cast("B")
        make = _unchecked_call if unchecked and _unchecked_call_fits() else _public_call
        self._calls = {name: make(self._store, exports[name], *signature) for name, signature in SIGNATURES.items()}

    def call(self, name: str, *args: float) -> int:
        return self._calls[name](*args)

    def write(self, address: int, data: memoryview) -> None:
        self._bytes[address : address + data.nbytes] = data

    def read(self, address: int, size: int) -> bytes:
        return self._bytes[address : address + size].tobytes()


def _public_call(store: Any, function: Any, parameters: str, result: str) -> Callable[..., int]:
    import wasmtime

    def call(*args: float) -> int:
        try:
            value: int | None = function(store, *args)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise CoreError(f"core.wasm trapped: {error}") from error
        return 0 if value is None else value

    return call


def _unchecked_call_fits() -> bool:
    """Whether the C library of the wasmtime package still has the call that `_unchecked_call` makes."""
    try:
        from wasmtime import _bindings
    except ImportError:
        return False
    return (
        hasattr(_bindings, "wasmtime_func_call_unchecked")
        and hasattr(_bindings, "wasm_trap_t")
        and ctypes.sizeof(getattr(_bindings, "wasmtime_val_raw_t", ctypes.c_char)) == RAW_VALUE_SIZE
    )


# A raw value of the C library is 16 bytes, the number at its start, little-endian.
RAW_VALUE_SIZE: Final = 16
RAW_FIELD: Final = {"i": "q8x", "q": "q8x", "d": "d8x"}


def _unchecked_call(store: Any, function: Any, parameters: str, result: str) -> Callable[..., int]:
    import wasmtime
    from wasmtime import _bindings

    values = max(1, len(parameters), len(result))
    raw = (_bindings.wasmtime_val_raw_t * values)()
    trap: Any = ctypes.POINTER(_bindings.wasm_trap_t)()
    fixed = (store._context(), ctypes.byref(function._func), raw, values, ctypes.byref(trap))
    invoke: Any = _bindings.wasmtime_func_call_unchecked
    pack = struct.Struct("<" + "".join(RAW_FIELD[parameter] for parameter in parameters)).pack_into
    unpack = struct.Struct("<" + (result or "i")).unpack_from

    def call(*args: float) -> int:
        pack(raw, 0, *args)
        error = invoke(*fixed)
        if error:
            raise CoreError(f"core.wasm was not called: {wasmtime.WasmtimeError._from_ptr(error)}")
        if trap:
            raise CoreError(f"core.wasm trapped: {_taken(trap)}")
        value: int = unpack(raw)[0]
        return value

    return call


def _taken(trap: Any) -> Any:
    """The trap as an object that frees it; the slot that held it is empty for the next call."""
    import wasmtime

    owned = ctypes.cast(trap, type(trap))
    ctypes.memset(ctypes.byref(trap), 0, ctypes.sizeof(trap))
    return wasmtime.Trap._from_ptr(owned)


def _compile_with_host(wasm: bytes) -> Callable[[], Engine]:
    import js
    from pyodide.ffi import to_js

    module = js.WebAssembly.Module.new(to_js(wasm))
    return lambda: HostEngine(module)


class HostEngine:
    """core.wasm under Pyodide, in the same JavaScript engine that runs Pyodide itself."""

    def __init__(self, module: Any) -> None:
        import js
        from pyodide.ffi import JsException

        self._exports = js.WebAssembly.Instance.new(module).exports
        self._bytes = js.Uint8Array.new(self._exports.memory.buffer)
        # JavaScript takes an i64 as a BigInt only.
        self._convert: dict[str, Callable[[Any], Any]] = {
            "i": int,
            "q": lambda number: js.BigInt(str(number)),
            "d": float,
        }
        self._trap = JsException
        self.scratch: int = self._exports.SCRATCH.value
        self.scratch_size: int = self._exports.SCRATCH_SIZE.value

    def call(self, name: str, *args: float) -> int:
        numbers = [self._convert[kind](arg) for kind, arg in zip(SIGNATURES[name][0], args, strict=True)]
        try:
            value = getattr(self._exports, name)(*numbers)
        except self._trap as error:
            raise CoreError(f"core.wasm trapped: {error}") from error
        return 0 if value is None else int(value)

    def write(self, address: int, data: memoryview) -> None:
        self._bytes.subarray(address, address + data.nbytes).assign(data)

    def read(self, address: int, size: int) -> bytes:
        copied: bytes = self._bytes.subarray(address, address + size).to_bytes()
        return copied

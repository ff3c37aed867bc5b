"""Recycled memory that answers are received into: fresh memory costs more than receiving into it.

    idle storage --lend--> array over it --views of NumPy, torch, pyarrow--> last view dies --> idle storage

Invariants: storage is lent again only when no view of it lives any more; idle storage never exceeds the limit; the
memory of an array starts at a multiple of 64.
"""

from __future__ import annotations

import threading
import weakref
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALIGNMENT: Final = 64
POOLED_SIZE_MIN: Final = 64 << 10
# Storage has one of these sizes per doubling, so that answers of similar sizes share it: at most a quarter is unused.
STEPS_PER_DOUBLING: Final = 4


class _Loan(weakref.ref["NDArray[np.uint8]"]):
    """Knows the storage of an array, and calls back when the array and all its views are gone."""

    __slots__ = ("storage",)
    storage: memoryview


class BufferPool:
    """Lends arrays of bytes; keeps at most ``idle_bytes_max`` of storage that nobody uses."""

    def __init__(self, idle_bytes_max: int) -> None:
        self.idle_bytes_max = idle_bytes_max
        self.reset()

    def reset(self) -> None:
        """Forgets all storage, lent or idle: after a fork, and at close."""
        # Reentrant, since the garbage collector may return storage while this thread holds the lock.
        self._lock = threading.RLock()
        self._idle: dict[int, list[memoryview]] = {}
        self._loans: dict[int, _Loan] = {}
        self.idle_bytes = 0
        self.recycled_count = 0

    def lend(self, size: int) -> NDArray[np.uint8]:
        """An array of ``size`` bytes whose storage comes back by itself when its last view is gone."""
        if size < POOLED_SIZE_MIN:
            return np.frombuffer(_storage(size), np.uint8)
        storage = self._take(size_class(size))
        # Views of this array keep it alive: NumPy looks no further for their base than an array over foreign memory.
        array = np.frombuffer(storage, np.uint8, size)
        loan = _Loan(array, self._take_back)
        loan.storage = storage
        with self._lock:
            self._loans[id(loan)] = loan
        return array

    def _take(self, size: int) -> memoryview:
        with self._lock:
            idle = self._idle.get(size)
            if idle:
                self.idle_bytes -= size
                self.recycled_count += 1
                return idle.pop()
        return _storage(size)

    def _take_back(self, loan: _Loan) -> None:
        storage = loan.storage
        size = len(storage)
        with self._lock:
            if self._loans.pop(id(loan), None) is None or size > self.idle_bytes_max:
                return
            # The size used last goes to the end; room is made where nothing was asked for the longest.
            idle = self._idle.pop(size, [])
            while self.idle_bytes + size > self.idle_bytes_max and self._idle:
                oldest = next(iter(self._idle))
                self.idle_bytes -= oldest * len(self._idle.pop(oldest))
            if self.idle_bytes + size <= self.idle_bytes_max:
                idle.append(storage)
                self.idle_bytes += size
            self._idle[size] = idle


def size_class(size: int) -> int:
    """The smallest storage size that holds ``size`` bytes."""
    step = max((1 << (size - 1).bit_length()) // (2 * STEPS_PER_DOUBLING), 1)
    return -(-size // step) * step


def _storage(size: int) -> memoryview:
    memory = np.empty(size + ALIGNMENT, np.uint8)
    skip = -int(memory.__array_interface__["data"][0]) % ALIGNMENT
    return memory.data[skip : skip + size]

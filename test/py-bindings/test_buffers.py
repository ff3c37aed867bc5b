"""The memory of answers: recycled when, and only when, no view of it lives any more."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transferq
from transferq import Client, Dense, Ragged
from transferq._buffers import ALIGNMENT, POOLED_SIZE_MIN, STEPS_PER_DOUBLING, BufferPool, size_class

SIZE = 1 << 20


@pytest.mark.parametrize("size", [0, 1, 100, POOLED_SIZE_MIN - 1, POOLED_SIZE_MIN, SIZE, SIZE + 1, 3_000_001])
def test_memory_has_the_size_asked_and_is_aligned(size: int) -> None:
    array = BufferPool(1 << 30).lend(size)
    assert array.nbytes == size
    assert array.flags.writeable
    assert array.ctypes.data % ALIGNMENT == 0


def test_sizes_waste_at_most_a_quarter() -> None:
    for size in [*range(1, 5000), SIZE - 1, SIZE, SIZE + 1, 10**9]:
        step = size_class(size)
        assert size <= step <= size + size // STEPS_PER_DOUBLING + 1
        assert size_class(step) == step


def test_storage_comes_back_when_the_last_view_is_gone() -> None:
    pool = BufferPool(1 << 30)
    array = pool.lend(SIZE)
    address = array.ctypes.data
    views: list[Any] = [
        array[10:20],
        np.ndarray((4,), np.float32, array[64:80])[1:],
        torch.from_numpy(array[100:200])[5:],
        torch.from_numpy(array[:4].view(np.uint16)).view(torch.bfloat16),
        pa.Array.from_buffers(pa.uint8(), 10, [None, pa.py_buffer(array).slice(8)]),
        memoryview(array)[5:],
    ]
    del array
    while views:
        gc.collect()
        assert pool.lend(SIZE).ctypes.data != address
        views.pop()
    assert pool.idle_bytes >= SIZE
    assert address in {pool.lend(SIZE).ctypes.data, *(kept.ctypes.data for kept in [pool.lend(SIZE), pool.lend(SIZE)])}


def test_idle_memory_is_bounded_and_old_sizes_make_room() -> None:
    pool = BufferPool(4 * SIZE)
    arrays = [pool.lend(SIZE) for _ in range(6)]
    arrays.clear()
    assert pool.idle_bytes == 4 * SIZE
    kept = pool.lend(2 * SIZE)
    del kept
    assert pool.idle_bytes <= 4 * SIZE
    before = pool.recycled_count
    kept = pool.lend(2 * SIZE)
    assert pool.recycled_count == before + 1
    del kept
    huge = pool.lend(5 * SIZE)
    del huge
    assert pool.idle_bytes <= 4 * SIZE


def test_many_threads_never_share_memory() -> None:
    pool = BufferPool(1 << 30)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            array = pool.lend(POOLED_SIZE_MIN + number)
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert pool.recycled_count > 0


def test_answers_are_received_into_recycled_memory_and_views_stay_right(tq: Client) -> None:
    cells = {"d": Dense("float32", (64, 64)), "r": Ragged("int64")}
    partition = tq.partition("p", fields=cells)
    rng = np.random.default_rng(0)
    dense, ragged = rng.random((32, 64, 64), np.float32), [np.arange(100 + at) for at in range(32)]
    partition.put({"d": dense, "r": ragged}, index_ids=np.arange(32))
    batch = partition.get(range(32))
    tensor, jagged, arrow = batch["d"].torch()[3], batch["r"].torch(), batch["r"].arrow()
    del batch
    for _ in range(3):
        # Would overwrite the memory under the views if it were recycled while they live.
        assert partition.get(range(31, -1, -1))["d"].numpy().shape == (32, 64, 64)
    assert torch.equal(tensor, torch.from_numpy(dense[3]))
    assert [row.tolist() for row in jagged.unbind()] == [row.tolist() for row in ragged]
    assert arrow.to_pylist() == [row.tolist() for row in ragged]
    assert tq.transport.buffers.recycled_count >= 2


def test_closing_a_client_leaves_its_batches_alone(fake_url: str) -> None:
    with transferq.connect(fake_url) as tq:
        partition = tq.partition("p", fields={"d": Dense("int64", (20_000,))})
        partition.put({"d": np.arange(20_000).reshape(1, -1)}, index_ids=[1])
        batch = partition.get([1])
    assert batch["d"].numpy()[0].tolist() == list(range(20_000))

"""A partition of twelve rows on the real server, as a sync handle, and what the tests of asyncio ask about it."""

from __future__ import annotations

import gc
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from aio_support import ROWS
from transferq import Client, Partition, Ragged, Scalar
from transferq.testing import Server


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    """What is there before the tests is not looked through by each of the many collections that they ask for."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def rows(real: Client, request: pytest.FixtureRequest) -> Iterator[Partition]:
    """Twelve rows in groups of four; field ``late`` is put by nobody."""
    name = f"aio-{abs(hash(request.node.nodeid)):x}"
    partition = real.partition(name, fields={"x": Scalar("int64"), "late": Ragged("int64")}, group_size=4)
    partition.put({"x": list(range(ROWS))}, index_ids=range(ROWS))
    yield partition
    partition.drop()


@pytest.fixture
def waiters(server: Server) -> Callable[[], int]:
    """How many calls wait at the server."""

    def ask() -> int:
        with urllib.request.urlopen(f"{server.url}/metrics") as answer:
            text = answer.read().decode()
        return next(int(line.split()[-1]) for line in text.splitlines() if line.startswith("tq_waiters "))

    return ask

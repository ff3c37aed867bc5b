"""Fixtures: a client on the fake server for tests of the client alone, one on several of them, and one on the real
server for what needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import transferq
from fake_server import FakeStore, serve
from transferq._core import core
from transferq.testing import Server, start_server


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def fake_url(store: FakeStore) -> Iterator[str]:
    with serve(store) as url:
        yield url


@pytest.fixture
def tq(fake_url: str) -> Iterator[transferq.Client]:
    with transferq.connect(fake_url, timeout_s=10.0) as client:
        yield client


@pytest.fixture
def cluster() -> Iterator[tuple[transferq.Client, list[FakeStore]]]:
    """Three nodes, each of which refuses the rows of the others, and a client of the first."""
    names = ["n1", "n2", "n3"]
    stores = [FakeStore() for _ in names]
    ranks = core().rendezvous(range(64), names, count=1)

    def owned_by(node: int) -> Any:
        def owns(row: int, group_size: int) -> bool:
            shard = core().shards_of_ids([row], group_size=group_size, shards=64)[0]
            return ranks[shard][0] == node

        return owns

    with ExitStack() as stack:
        urls = [stack.enter_context(serve(store)) for store in stores]
        for node, store in enumerate(stores):
            store.nodes = [{"id": name, "url": url} for name, url in zip(names, urls, strict=True)]
            store.owns = owned_by(node)
        yield stack.enter_context(transferq.connect(urls[0], timeout_s=10)), stores


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The real server, one for all tests of the run; tests keep apart by the names of their partitions."""
    with start_server() as running:
        yield running


@pytest.fixture
def real(server: Server) -> Iterator[transferq.Client]:
    with transferq.connect(server.url) as client:
        yield client

"""Fixtures: a client on the fake server for tests of the client alone, and one on the real server for what needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import transferq
from fake_server import FakeStore, serve
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


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The real server, one for all tests of the run; tests keep apart by the names of their partitions."""
    with start_server() as running:
        yield running


@pytest.fixture
def real(server: Server) -> Iterator[transferq.Client]:
    with transferq.connect(server.url) as client:
        yield client

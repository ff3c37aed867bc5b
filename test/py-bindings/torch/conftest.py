"""Partitions for the tests of the loader, and one thread of PyTorch, as its workers have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transferq import Client, Partition, Scalar

torch.set_num_threads(1)


@pytest.fixture
def numbered(real: Client, request: pytest.FixtureRequest) -> Callable[..., Partition]:
    """Makes a sealed partition of that many rows, in groups of four; row i has the number i."""

    def make(rows: int, *, sealed: bool = True) -> Partition:
        name = request.node.name.replace("[", ".").replace("]", "")[-100:]
        partition = real.partition(name, fields={"x": Scalar("int64")}, group_size=4)
        partition.put({"x": list(range(rows))}, index_ids=range(rows))
        if sealed:
            partition.seal()
        return partition

    return make

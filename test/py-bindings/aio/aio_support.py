"""What the tests of asyncio share."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import transferq
from transferq import Partition

PATIENCE_S = 20.0
# Longer than any test: rows that come back in time were released, and not held until the end of their lease.
LEASE_S = 3600.0
ROWS = 12


def eventually(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


def assert_free(rows: Partition, task: str = "t", count: int = ROWS) -> transferq.Batch:
    """All rows of the task are there to be claimed, long before a lease is over."""
    gc.collect()
    batch = rows.claim(task=task, fields=["x"], batch_size=count, wait_s=PATIENCE_S)
    assert isinstance(batch, transferq.Batch), batch
    assert len(batch) == count
    batch.release()
    return batch

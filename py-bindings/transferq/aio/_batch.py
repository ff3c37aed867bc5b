"""Batches: the columns of `transferq.Batch`, with ack and release as coroutines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import transferq
from transferq._batch import ABANDON_WITHIN_S
from transferq._columns import Column
from transferq.aio._calls import Call
from transferq.aio._docs import twin
from transferq.aio._threads import Threads


@twin(transferq.Batch)
class Batch:
    """As `transferq.Batch`; `ack` and `release` are coroutines, since they talk to the server.

    Attributes:
        sync: the same rows under the same claim, for code that is not asyncio's; its ``ack`` and ``release`` block.
    """

    def __init__(self, threads: Threads, sync: transferq.Batch) -> None:
        self.sync = sync
        self._threads = threads
        # The ack or release that was begun last; it goes on when its caller is cancelled.
        self._ending: Call[None] | None = None

    @property
    def fields(self) -> list[str]:
        """Names of the fields, in the order asked."""
        return self.sync.fields

    @property
    def lsn(self) -> int:
        """Highest LSN among the cells returned."""
        return self.sync.lsn

    @property
    def claim(self) -> str | None:
        """Token of the claim that the rows are held under; None for rows that were read."""
        return self.sync.claim

    @property
    def partial(self) -> bool:
        """Whether a claim gave fewer rows than it asked for, as ``partial`` or ``linger_s`` allowed."""
        return self.sync.partial

    @property
    def batch_number(self) -> int | None:
        """Number of the shared batch that the rows are of; None for other rows."""
        return self.sync.batch_number

    @property
    def row_keys(self) -> list[str] | None:
        """The key of each row, for rows that were read by key; else None."""
        return self.sync.row_keys

    def __getitem__(self, name: str) -> Column:
        return self.sync[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sync)

    def keys(self) -> list[str]:
        """Names of the fields, so that ``dict(batch)`` works."""
        return self.sync.keys()

    def __contains__(self, name: object) -> bool:
        return name in self.sync

    def __len__(self) -> int:
        return len(self.sync)

    def __repr__(self) -> str:
        return repr(self.sync)

    @property
    def index_ids(self) -> NDArray[np.int64]:
        """int64 ``[rows]``, the ids of the rows."""
        return self.sync.index_ids

    @property
    def attempts(self) -> NDArray[np.int32]:
        """int32 ``[rows]``: how often each row was claimed for the task, this time included (1 = the first time)."""
        return self.sync.attempts

    @property
    def tags(self) -> list[dict[str, Any]]:
        """The tags of each row, numbers included, for rows that came by key, or with ``"tq_tags"`` among the fields."""
        return self.sync.tags

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return self.sync.nbytes

    def arrow(self) -> Any:
        """A ``pyarrow.RecordBatch`` of ``index_id`` and the fields, over the same memory."""
        return self.sync.arrow()

    @twin(transferq.Batch.fetch_blobs)
    async def fetch_blobs(self) -> None:
        """As `transferq.Batch.fetch_blobs`. Afterwards ``list()`` of a column of blobs does not block."""
        await self._threads.run(self.sync.fetch_blobs)

    # ---- Claims --------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether the claim is neither acked, released nor known to be lost."""
        return self.sync.held

    @twin(transferq.Batch.ack)
    async def ack(self) -> None:
        """As `transferq.Batch.ack`. Cancelled, it goes on by itself: the work is done, nobody needs to do it again."""
        await self._end(self.sync.ack)

    @twin(transferq.Batch.release)
    async def release(self) -> None:
        """As `transferq.Batch.release`. Cancelled, it goes on by itself."""
        await self._end(self.sync.release)

    async def _end(self, end: Callable[[], None]) -> None:
        self._ending = self._threads.start(end, lane="ends", leaving="finish")
        await self._threads.outcome_of(self._ending)

    def _abandon(self) -> None:
        """Releases the rows where they are still held. Blocks: for threads of the client."""
        if self._ending is not None:
            # An ack whose caller was cancelled goes on, and comes first.
            ended = threading.Event()
            self._threads.when_done(self._ending, ended.set)
            ended.wait(ABANDON_WITHIN_S)
        self.sync.abandon()


def abandon(batch: Batch) -> Callable[[], None]:
    """What releases a batch where it is still held; for threads of its client."""
    return batch._abandon

"""A partition for asyncio: the coroutines of `transferq.Partition`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import transferq
from transferq._layouts import Layout
from transferq._partition import HOLD_MAX_S, SCAN_ROWS_MAX
from transferq._protocol import ID_END
from transferq._put import Put
from transferq.aio._batch import Batch
from transferq.aio._docs import twin
from transferq.aio._snapshots import Snapshot, sync_lsn
from transferq.aio._steps import Batches, Pages
from transferq.errors import Drained, TimedOut

if TYPE_CHECKING:
    from transferq.aio._client import Client


@twin(transferq.Partition)
class Partition:
    """As `transferq.Partition`, with coroutines; made by `Client.partition`. For any number of tasks and event loops.

    Attributes:
        sync: the same partition, for code that is not asyncio's.
    """

    def __init__(self, client: Client, sync: transferq.Partition) -> None:
        self.client = client
        self.sync = sync
        self.name = sync.name
        self._threads = client.threads

    def __repr__(self) -> str:
        return repr(self.sync)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Partition, (self.client, self.sync))

    @property
    def fields(self) -> dict[str, Layout]:
        """Declared fields and their layouts, as last heard from the server."""
        return self.sync.fields

    @property
    def group_size(self) -> int:
        """Rows of one prompt; siblings have ids with the same ``id // group_size``."""
        return self.sync.group_size

    @property
    def ack(self) -> str:
        """How far a put is when it is acknowledged: ``"memory"``, ``"os"`` or ``"disk"``."""
        return self.sync.ack

    @twin(transferq.Partition.refresh)
    async def refresh(self) -> Partition:
        """As `transferq.Partition.refresh`."""
        await self._threads.run(self.sync.refresh)
        return self

    # ---- Writing -------------------------------------------------------------------------------------------------

    @twin(transferq.Partition.put)
    async def put(
        self,
        data: Any,
        *,
        index_ids: Any = None,
        if_absent: bool = False,
        ack: str | None = None,
        claim: Batch | str | None = None,
    ) -> Put:
        """As `transferq.Partition.put`. Values are read and encoded while the coroutine waits: do not change them.

        Cancelled, nothing more of it is sent, and the arrays are the caller's again. Each part is then put whole or not
        at all, and nobody says which. To put the same again is safe: the cells are overwritten with the same values.
        With ``if_absent`` the second put may find the rows of the first (RowsExist), with ``claim`` the claim may be
        acked by it (ClaimStale).
        """
        data = data.sync if isinstance(data, Batch) else data
        acked = claim.sync if isinstance(claim, Batch) else claim
        return await self._threads.run(
            lambda: self.sync.put(data, index_ids=index_ids, if_absent=if_absent, ack=ack, claim=acked)
        )

    @twin(transferq.Partition.delete)
    async def delete(self, ids: Any) -> int:
        """As `transferq.Partition.delete`. Cancelled, rows may be deleted or not; to delete them again is safe."""
        return await self._threads.run(lambda: self.sync.delete(ids))

    # ---- Reading -------------------------------------------------------------------------------------------------

    @twin(transferq.Partition.get)
    async def get(
        self,
        ids: Any,
        *,
        fields: Sequence[str] | None = None,
        wait_s: float = 0.0,
        lsn: int | Snapshot | None = None,
    ) -> Batch:
        """As `transferq.Partition.get`."""
        found = await self._threads.run_waiting(
            lambda left_s: self.sync.get(ids, fields=fields, wait_s=left_s or 0.0, lsn=sync_lsn(lsn)), wait_s
        )
        return Batch(self._threads, found)

    @twin(transferq.Partition.scan)
    def scan(
        self,
        start: int = 0,
        end: int = ID_END,
        *,
        fields: Sequence[str] | None = None,
        rows_max: int = SCAN_ROWS_MAX,
        lsn: int | Snapshot | None = None,
    ) -> Pages:
        """As `transferq.Partition.scan`, for ``async for``. A step that is cancelled is done by the next one."""
        return Pages(self._threads, self.sync.scan(start, end, fields=fields, rows_max=rows_max, lsn=sync_lsn(lsn)))

    @twin(transferq.Partition.newest)
    async def newest(self, *, fields: Sequence[str] | None = None, after_lsn: int = 0, wait_s: float = 0.0) -> Batch:
        """As `transferq.Partition.newest`."""
        found = await self._threads.run_waiting(
            lambda left_s: self.sync.newest(fields=fields, after_lsn=after_lsn, wait_s=left_s or 0.0), wait_s
        )
        return Batch(self._threads, found)

    # ---- Consuming -----------------------------------------------------------------------------------------------

    @twin(transferq.Partition.claim)
    async def claim(
        self,
        *,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int | None = None,
        sampler: str = "fifo",
        wait_s: float | None = 0.0,
        lease_s: float = 30.0,
        hold_max_s: float = HOLD_MAX_S,
        auto_ack: bool = False,
    ) -> Batch | TimedOut | Drained:
        """As `transferq.Partition.claim`. Renewal needs no event loop: rows stay leased while a step blocks it.

        Cancelled, it returns at once, the server stops waiting for it, and rows that it was granted meanwhile are
        released (attempts count on), on a thread of the client. Those of ``auto_ack`` are consumed.
        """

        def claim(left_s: float | None) -> transferq.Batch | TimedOut | Drained:
            return self.sync.claim(
                task=task,
                fields=fields,
                batch_size=batch_size,
                rows_min=rows_min,
                sampler=sampler,
                wait_s=left_s,
                lease_s=lease_s,
                hold_max_s=hold_max_s,
                auto_ack=auto_ack,
            )

        # Rows that the same program has just let go of are there again, as they are in a sync one.
        outcome = await self._threads.run_waiting(
            claim, wait_s, leaving="settle", undo=_abandon, after=self._threads.left()
        )
        return Batch(self._threads, outcome) if isinstance(outcome, transferq.Batch) else outcome

    @twin(transferq.Partition.consume)
    def consume(
        self,
        *,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int | None = None,
        sampler: str = "fifo",
        wait_s: float | None = None,
        lease_s: float = 30.0,
        hold_max_s: float = HOLD_MAX_S,
        auto_ack: bool = False,
    ) -> Batches:
        """As `transferq.Partition.consume`, for ``async for``; see `Batches` for what happens when a loop is left.

        A step that was cancelled, or raised an error, may be asked for again.
        """
        return Batches(
            self._threads,
            lambda: self.claim(
                task=task,
                fields=fields,
                batch_size=batch_size,
                rows_min=rows_min,
                sampler=sampler,
                wait_s=wait_s,
                lease_s=lease_s,
                hold_max_s=hold_max_s,
                auto_ack=auto_ack,
            ),
        )

    # ---- The whole partition -------------------------------------------------------------------------------------

    @twin(transferq.Partition.seal)
    async def seal(self) -> int:
        """As `transferq.Partition.seal`. Cancelled, it may be done or not; to seal again is safe."""
        return await self._threads.run(self.sync.seal)

    @twin(transferq.Partition.drop)
    async def drop(self) -> int:
        """As `transferq.Partition.drop`. Cancelled, it may be done or not."""
        return await self._threads.run(self.sync.drop)

    @twin(transferq.Partition.stats)
    async def stats(self) -> dict[str, Any]:
        """As `transferq.Partition.stats`."""
        return await self._threads.run(self.sync.stats)


def _abandon(outcome: transferq.Batch | TimedOut | Drained) -> None:
    if isinstance(outcome, transferq.Batch):
        outcome.abandon()

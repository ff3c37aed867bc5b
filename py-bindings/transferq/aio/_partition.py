"""A partition for asyncio: the coroutines of `transferq.Partition`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import transferq
from transferq._kv import RAISE
from transferq._layouts import Layout
from transferq._partition import SCAN_ROWS_MAX
from transferq._protocol import ID_END
from transferq._put import Put
from transferq._tags import Listing, Tags
from transferq._tasks import Leases
from transferq._watch import Watcher
from transferq.aio import _consuming
from transferq.aio._batch import Batch
from transferq.aio._docs import twin
from transferq.aio._snapshots import Snapshot, sync_lsn
from transferq.aio._steps import Changes, Pages

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
        tags: Tags | Sequence[Tags | None] | None = None,
        if_absent: bool = False,
        ack: str | None = None,
        claim: Batch | str | None = None,
        wait_s: float | None = 0.0,
    ) -> Put:
        """As `transferq.Partition.put`. Values are read and encoded while the coroutine waits: do not change them.

        Cancelled, nothing more of it is sent, and the arrays are the caller's again. Each part is then put whole or not
        at all, and nobody says which. To put the same again is safe: the cells are overwritten with the same values.
        With ``if_absent`` the second put may find the rows of the first (RowsExist), with ``claim`` the claim may be
        acked by it (ClaimStale).
        """
        data = data.sync if isinstance(data, Batch) else data
        acked = claim.sync if isinstance(claim, Batch) else claim

        def put(left_s: float | None) -> Put:
            return self.sync.put(
                data, index_ids=index_ids, tags=tags, if_absent=if_absent, ack=ack, claim=acked, wait_s=left_s
            )

        return await self._threads.run_waiting(put, wait_s)

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

    claim = _consuming.claim
    consume = _consuming.consume

    # ---- Tags, and what changed ----------------------------------------------------------------------------------

    @twin(transferq.Partition.tag)
    async def tag(self, ids: Any, tags: Tags | Sequence[Tags]) -> int:
        """As `transferq.Partition.tag`. Cancelled, it may be done or not; to merge the same again is safe."""
        return await self._threads.run(lambda: self.sync.tag(ids, tags))

    @twin(transferq.Partition.list)
    async def list(
        self,
        ids: Any = None,
        *,
        where: str | None = None,
        task: str | None = None,
        fields: Sequence[str] | None = None,
        rows_max: int | None = None,
    ) -> Listing:
        """As `transferq.Partition.list`."""
        return await self._threads.run(
            lambda: self.sync.list(ids, where=where, task=task, fields=fields, rows_max=rows_max)
        )

    @twin(transferq.Partition.watch)
    def watch(self, *, after_lsn: int | None = None, wait_s: float | None = None) -> Changes:
        """As `transferq.Partition.watch`, for ``async for``; see `Changes` for when it begins.

        A step that is cancelled loses no change.
        """
        return Changes(self._threads, Watcher(self.sync, after_lsn, wait_s))

    # ---- Rows by keys --------------------------------------------------------------------------------------------

    @twin(transferq.Partition.kv_put)
    async def kv_put(
        self,
        key: str,
        values: Mapping[str, Any],
        *,
        tags: Tags | None = None,
        if_absent: bool = False,
        ack: str | None = None,
        wait_s: float | None = 0.0,
    ) -> Put:
        """As `transferq.Partition.kv_put`. Cancelled, it may be done or not, as `put`."""
        return await self._threads.run_waiting(
            lambda left_s: self.sync.kv_put(key, values, tags=tags, if_absent=if_absent, ack=ack, wait_s=left_s),
            wait_s,
        )

    @twin(transferq.Partition.kv_batch_put)
    async def kv_batch_put(
        self,
        keys: Sequence[str],
        data: Any,
        *,
        tags: Tags | Sequence[Tags | None] | None = None,
        if_absent: bool = False,
        ack: str | None = None,
        wait_s: float | None = 0.0,
    ) -> Put:
        """As `transferq.Partition.kv_batch_put`. Cancelled, it may be done or not, as `put`."""
        return await self._threads.run_waiting(
            lambda left_s: self.sync.kv_batch_put(keys, data, tags=tags, if_absent=if_absent, ack=ack, wait_s=left_s),
            wait_s,
        )

    @twin(transferq.Partition.kv_get)
    async def kv_get(self, key: str, *, fields: Sequence[str] | None = None, wait_s: float = 0.0) -> dict[str, Any]:
        """As `transferq.Partition.kv_get`."""
        return await self._threads.run_waiting(
            lambda left_s: self.sync.kv_get(key, fields=fields, wait_s=left_s or 0.0), wait_s
        )

    @twin(transferq.Partition.kv_batch_get)
    async def kv_batch_get(
        self,
        keys: Sequence[str],
        *,
        fields: Sequence[str] | None = None,
        missing: str = RAISE,
        wait_s: float = 0.0,
    ) -> Batch:
        """As `transferq.Partition.kv_batch_get`."""
        found = await self._threads.run_waiting(
            lambda left_s: self.sync.kv_batch_get(keys, fields=fields, missing=missing, wait_s=left_s or 0.0), wait_s
        )
        return Batch(self._threads, found)

    @twin(transferq.Partition.kv_list)
    async def kv_list(self, *, where: str | None = None) -> dict[str, dict[str, Any]]:
        """As `transferq.Partition.kv_list`."""
        return await self._threads.run(lambda: self.sync.kv_list(where=where))

    @twin(transferq.Partition.kv_clear)
    async def kv_clear(self, keys: Sequence[str] | None = None) -> int:
        """As `transferq.Partition.kv_clear`. Cancelled, rows may be deleted or not; to clear them again is safe."""
        return await self._threads.run(lambda: self.sync.kv_clear(keys))

    # ---- Tasks ---------------------------------------------------------------------------------------------------

    @twin(transferq.Partition.leases)
    async def leases(self) -> Leases:
        """As `transferq.Partition.leases`."""
        return await self._threads.run(self.sync.leases)

    @twin(transferq.Partition.dead_letters)
    async def dead_letters(self, task: str, *, rows_max: int | None = None) -> dict[int, int]:
        """As `transferq.Partition.dead_letters`."""
        return await self._threads.run(lambda: self.sync.dead_letters(task, rows_max=rows_max))

    @twin(transferq.Partition.requeue)
    async def requeue(self, task: str, ids: Any = None) -> int:
        """As `transferq.Partition.requeue`. Cancelled, it may be done or not; to requeue them again is safe."""
        return await self._threads.run(lambda: self.sync.requeue(task, ids))

    @twin(transferq.Partition.reset_consumption)
    async def reset_consumption(self, task: str) -> int:
        """As `transferq.Partition.reset_consumption`. Cancelled, it may be done or not."""
        return await self._threads.run(lambda: self.sync.reset_consumption(task))

    @twin(transferq.Partition.advance)
    async def advance(self, version: int) -> int:
        """As `transferq.Partition.advance`. Cancelled, it may be done or not; to publish the same again is safe."""
        return await self._threads.run(lambda: self.sync.advance(version))

    @twin(transferq.Partition.why_held)
    async def why_held(self, index_id: int) -> dict[str, Any]:
        """As `transferq.Partition.why_held`."""
        return await self._threads.run(lambda: self.sync.why_held(index_id))

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

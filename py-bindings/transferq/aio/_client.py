"""The client for asyncio: the coroutines of `transferq.Client`, made by threads of its own over a sync client.

Invariants: nothing of a client belongs to an event loop; making one opens no socket and starts no thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import transferq
from transferq._blob_calls import CACHE_BYTES_MAX
from transferq._checkpoint_files import Checkpoint
from transferq._client import IDLE_BUFFER_BYTES_MAX, POOL_SIZE, SNAPSHOT_LEASE_S, TIMEOUT_S
from transferq._layouts import Layout
from transferq._policies import Nothing, Pace, Retention, Task
from transferq._transport import RetryPolicy
from transferq.aio._docs import twin
from transferq.aio._partition import Partition
from transferq.aio._snapshots import Snapshot, SnapshotOpening
from transferq.aio._threads import Threads


@twin(transferq.Client)
class Client:
    """As `transferq.Client`, with coroutines; made by `connect`, or over a sync client: ``aio.Client(tq)``.

    It belongs to no event loop: several may use it, at once or one after the other, and threads too. Sockets, encoding
    and renewals are the business of its threads: at most 256 for calls that wait (claims, watches, and what has a
    ``wait_s``), 32 for others, and 8 for acks and releases, each there only while there is work. Calls beyond that
    queue, in the order of their coming; of those that wait, one whose ``wait_s`` ends in the queue looks once and has
    its outcome. ``timeout_s`` counts from when a thread takes the call.

    A call that is cancelled returns at once; its connection is closed, so that the server does no more for it.

    Attributes:
        sync: the same client, for code that is not asyncio's.
    """

    def __init__(self, sync: transferq.Client) -> None:
        self.sync = sync
        self.threads = Threads()

    def __repr__(self) -> str:
        return repr(self.sync)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Client, (self.sync,))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        return self.sync.url

    @twin(transferq.Client.close)
    async def close(self) -> None:
        """As `transferq.Client.close`, and ends its threads. Cancelled, it goes on by itself.

        Calls under way end with ClientClosed; before that, batches that loops have let go of are released.
        """
        if not self.threads.closing:
            await self.threads.run(self._close, lane="close", leaving="finish")

    def _close(self) -> None:
        self.threads.close()
        self.sync.close()

    # ---- Partitions ----------------------------------------------------------------------------------------------

    @twin(transferq.Client.partition)
    async def partition(
        self,
        name: str,
        fields: Mapping[str, Layout] | None = None,
        *,
        group_size: int | None = None,
        ack: str | None = None,
        open: bool | None = None,  # noqa: A002 - the word of the wire
        tasks: Mapping[str, Task] | Iterable[str] | None = None,
        release: str | None = None,
        numbers: Iterable[str] | None = None,
        rows_max: int | Nothing | None = None,
        bytes_max: int | Nothing | None = None,
        pace: Pace | Nothing | None = None,
        retention: Retention | Nothing | None = None,
    ) -> Partition:
        """As `transferq.Client.partition`."""
        found = await self.threads.run(
            lambda: self.sync.partition(
                name,
                fields,
                group_size=group_size,
                ack=ack,
                open=open,
                tasks=tasks,
                release=release,
                numbers=numbers,
                rows_max=rows_max,
                bytes_max=bytes_max,
                pace=pace,
                retention=retention,
            )
        )
        return Partition(self, found)

    @twin(transferq.Client.partitions)
    async def partitions(self) -> list[dict[str, Any]]:
        """As `transferq.Client.partitions`."""
        return await self.threads.run(self.sync.partitions)

    # ---- Snapshots -----------------------------------------------------------------------------------------------

    @twin(transferq.Client.snapshot)
    def snapshot(self, lease_s: float = SNAPSHOT_LEASE_S) -> SnapshotOpening:
        """As `transferq.Client.snapshot`: ``async with tq.snapshot() as snapshot``, or ``await tq.snapshot()``.

        Cancelled, what was opened is closed.
        """
        return SnapshotOpening(lambda: self._open_snapshot(lease_s))

    async def _open_snapshot(self, lease_s: float) -> Snapshot:
        # Not cut: what the server opened for a connection that broke would be held until its lease is over.
        opened = await self.threads.run(
            lambda: self.sync.snapshot(lease_s), leaving="finish", undo=transferq.Snapshot.close
        )
        return Snapshot(self, opened)

    # ---- Checkpoints ---------------------------------------------------------------------------------------------

    @twin(transferq.Client.save_checkpoint)
    async def save_checkpoint(
        self, directory: str | os.PathLike[str], metadata: Any = None, partitions: Iterable[str] | None = None
    ) -> Checkpoint:
        """As `transferq.Client.save_checkpoint`. Cancelled, the directory has the old checkpoint or the new one."""
        return await self.threads.run(lambda: self.sync.save_checkpoint(directory, metadata, partitions))

    @twin(transferq.Client.load_checkpoint)
    async def load_checkpoint(
        self,
        directory: str | os.PathLike[str],
        partitions: Iterable[str] | None = None,
        *,
        replace: bool = False,
    ) -> Checkpoint:
        """As `transferq.Client.load_checkpoint`. Cancelled, all is loaded or nothing."""
        return await self.threads.run(lambda: self.sync.load_checkpoint(directory, partitions, replace=replace))

    # ---- Single cells --------------------------------------------------------------------------------------------

    @twin(transferq.Client.write_matrix)
    async def write_matrix(self, index_id: int, field: str, matrix: Any, *, partition: str | Partition) -> int:
        """As `transferq.Client.write_matrix`. Cancelled, it may be done or not, as `Partition.put`."""
        where = partition.sync if isinstance(partition, Partition) else partition
        return await self.threads.run(lambda: self.sync.write_matrix(index_id, field, matrix, partition=where))

    @twin(transferq.Client.read_matrix)
    async def read_matrix(self, index_id: int, field: str, *, partition: str | Partition, wait_s: float = 0.0) -> Any:
        """As `transferq.Client.read_matrix`."""
        where = partition.sync if isinstance(partition, Partition) else partition
        return await self.threads.run_waiting(
            lambda left_s: self.sync.read_matrix(index_id, field, partition=where, wait_s=left_s or 0.0), wait_s
        )

    # ---- The server ----------------------------------------------------------------------------------------------

    @twin(transferq.Client.limits)
    async def limits(self) -> dict[str, int]:
        """As `transferq.Client.limits`."""
        return await self.threads.run(self.sync.limits)


@twin(transferq.connect)
def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    pool_size: int = POOL_SIZE,
    retry: RetryPolicy | None = None,
    idle_buffer_bytes_max: int = IDLE_BUFFER_BYTES_MAX,
    blob_cache_bytes_max: int = CACHE_BYTES_MAX,
) -> Client:
    """As `transferq.connect`, for ``async with``; it needs no event loop yet."""
    return Client(
        transferq.connect(
            url,
            token,
            timeout_s=timeout_s,
            pool_size=pool_size,
            retry=retry,
            idle_buffer_bytes_max=idle_buffer_bytes_max,
            blob_cache_bytes_max=blob_cache_bytes_max,
        )
    )

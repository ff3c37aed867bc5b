"""Snapshots for asyncio: the coroutines of `transferq.Snapshot`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import transferq
from transferq.aio._docs import twin
from transferq.errors import TransferQueueError

if TYPE_CHECKING:
    from transferq.aio._client import Client


@twin(transferq.Snapshot)
class Snapshot:
    """As `transferq.Snapshot`, with coroutines; made by `Client.snapshot`.

    Attributes:
        sync: the same snapshot, for code that is not asyncio's.
    """

    def __init__(self, client: Client, sync: transferq.Snapshot) -> None:
        self.sync = sync
        self._client = client
        self._threads = client.threads

    def __repr__(self) -> str:
        return repr(self.sync)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Snapshot, (self._client, self.sync))

    async def __aenter__(self) -> Snapshot:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
        with contextlib.suppress(TransferQueueError):
            await self.close()

    @property
    def lease_s(self) -> float:
        """How long it is held without a renewal (seconds)."""
        return self.sync.lease_s

    @property
    def lsn(self) -> int:
        """LSN of the last change that it sees. With several nodes, whose LSNs differ, the highest; reads then take the
        snapshot itself: ``lsn=snapshot``."""
        return self.sync.lsn

    @twin(transferq.Snapshot.renew)
    async def renew(self, lease_s: float | None = None) -> None:
        """As `transferq.Snapshot.renew`."""
        await self._threads.run(lambda: self.sync.renew(lease_s))

    @twin(transferq.Snapshot.close)
    async def close(self) -> None:
        """As `transferq.Snapshot.close`. Cancelled, it goes on by itself."""
        await self._threads.run(self.sync.close, lane="ends", leaving="finish")


class SnapshotOpening:
    """What `Client.snapshot` returns: ``await`` it, or use it as a context, which closes the snapshot at its end."""

    def __init__(self, open_snapshot: Callable[[], Coroutine[Any, Any, Snapshot]]) -> None:
        self._open = open_snapshot
        self._snapshot: Snapshot | None = None

    def __await__(self) -> Generator[Any, None, Snapshot]:
        return self._open().__await__()

    async def __aenter__(self) -> Snapshot:
        self._snapshot = await self._open()
        return self._snapshot

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._snapshot is not None:
            await self._snapshot.__aexit__(kind, error, traceback)


def sync_lsn(lsn: int | Snapshot | None) -> int | transferq.Snapshot | None:
    """What the sync client takes for it."""
    return lsn.sync if isinstance(lsn, Snapshot) else lsn

"""`Partition.claim` and `Partition.consume` for asyncio."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import transferq
from transferq import _claims
from transferq._claims import ClaimRequest, Claims, Draw, Hold, Size
from transferq._consuming import HOLD_MAX_S, LEASE_S
from transferq._policies import Group, SharedBatch, Tokens, Window
from transferq._read import field_names
from transferq.aio._batch import Batch
from transferq.aio._docs import twin
from transferq.aio._steps import Batches
from transferq.errors import Drained, TimedOut

if TYPE_CHECKING:
    from transferq.aio._partition import Partition


@twin(transferq.Partition.claim)
async def claim(
    self: Partition,
    *,
    task: str,
    fields: Sequence[str],
    batch_size: int | None = None,
    rows_min: int | None = None,
    ids: Any = None,
    sampler: str = "fifo",
    by: str | None = None,
    seed: int | None = None,
    where: str | None = None,
    tokens: Tokens | None = None,
    window: Window | None = None,
    group: Group | None = None,
    batch: SharedBatch | None = None,
    partial: bool = False,
    linger_s: float | None = None,
    wait_s: float | None = 0.0,
    lease_s: float = LEASE_S,
    hold_max_s: float = HOLD_MAX_S,
    auto_ack: bool = False,
) -> Batch | TimedOut | Drained:
    """As `transferq.Partition.claim`. Renewal needs no event loop: rows stay leased while a step blocks it.

    Cancelled, it returns at once, the server stops waiting for it, and rows that it was granted meanwhile are released
    (attempts count on), on a thread of the client. Those of ``auto_ack`` are consumed.
    """
    threads = self.client.threads
    request = ClaimRequest(
        task=task,
        fields=field_names(fields) or [],
        draw=Draw(sampler=sampler, by=by, seed=seed, where=where, tokens=tokens, window=window, group=group),
        size=Size(rows_max=batch_size, rows_min=rows_min, ids=ids, partial=partial, linger_s=linger_s),
        hold=Hold(lease_s=lease_s, hold_max_s=hold_max_s, auto_ack=auto_ack),
        batch=batch,
    )
    take = functools.partial(_claims.claim, self.sync, request)
    # Rows that the same program has just let go of are there again, as they are in a sync one.
    outcome = await threads.run_waiting(take, wait_s, leaving="settle", undo=_abandon, after=threads.left())
    return Batch(threads, outcome) if isinstance(outcome, transferq.Batch) else outcome


@twin(transferq.Partition.consume)
def consume(
    self: Partition,
    *,
    task: str,
    fields: Sequence[str],
    batch_size: int,
    rows_min: int | None = None,
    sampler: str = "fifo",
    by: str | None = None,
    seed: int | None = None,
    where: str | None = None,
    tokens: Tokens | None = None,
    window: Window | None = None,
    group: Group | None = None,
    batch: SharedBatch | None = None,
    partial: bool = False,
    linger_s: float | None = None,
    wait_s: float | None = None,
    lease_s: float = LEASE_S,
    hold_max_s: float = HOLD_MAX_S,
    auto_ack: bool = False,
) -> Batches:
    """As `transferq.Partition.consume`, for ``async for``; see `Batches` for what happens when a loop is left.

    A step that was cancelled, or raised an error, may be asked for again.
    """
    threads = self.client.threads
    request = ClaimRequest(
        task=task,
        fields=field_names(fields) or [],
        draw=Draw(sampler=sampler, by=by, seed=seed, where=where, tokens=tokens, window=window, group=group),
        size=Size(rows_max=batch_size, rows_min=rows_min, ids=None, partial=partial, linger_s=linger_s),
        hold=Hold(lease_s=lease_s, hold_max_s=hold_max_s, auto_ack=auto_ack),
        batch=batch,
    )
    claims = Claims(self.sync, request)

    async def take() -> Batch | None:
        batch = await threads.run_waiting(claims.next, wait_s, leaving="settle", undo=_abandon, after=threads.left())
        if batch is None:
            return None
        claims.handed_over()
        return Batch(threads, batch)

    return Batches(threads, take)


def _abandon(outcome: transferq.Batch | TimedOut | Drained | None) -> None:
    if isinstance(outcome, transferq.Batch):
        outcome.abandon()

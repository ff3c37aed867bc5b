"""`Partition.claim` and `Partition.consume`: the words of a claim, as its users say them.

which rows   fields, where, window, ids
in what order, and how many   sampler with by and seed; batch_size, rows_min, tokens, partial, linger_s
for whom     task, batch
for how long   wait_s, lease_s, hold_max_s, auto_ack
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from transferq import _claims
from transferq._batch import Batch
from transferq._claims import ClaimRequest, Claims, Draw, Hold, Size
from transferq._policies import Group, SharedBatch, Tokens, Window
from transferq._read import field_names
from transferq.errors import Drained, TimedOut

if TYPE_CHECKING:
    from transferq._partition import Partition

LEASE_S: Final = 30.0
HOLD_MAX_S: Final = 600.0


def claim(
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
    """Takes rows that have all the fields, and that the task has not consumed, under a lease.

    Args:
        task: name of the consumer group; each task gets each row once, whatever other tasks do.
        fields: the fields that a row must have, and that come with it; with ``"tq_tags"`` its tags come too.
        batch_size: rows to take, at most.
        rows_min: rows to take, at least; default ``batch_size``. The last batch of a sealed partition may be smaller.
        ids: int64 ``[n]``: in place of ``batch_size``, those of exactly these rows that are ready; see `list`.
        sampler: ``"fifo"``; ``"group"`` for whole groups; ``"priority"``, highest number first; ``"weighted"``, by
            chance in proportion to a number; or the name of a module of the server.
        by: the declared number of ``"priority"`` (default ``"priority"``) or ``"weighted"`` (default ``"weight"``).
        seed: of ``"weighted"``; default 0.
        where: a filter over tags and numbers: ``'status == "finished" and reward > 0.5'``.
        tokens: as many rows as have so many tokens; see `Tokens`.
        window: rows of versions that are fresh enough; see `Window`.
        group: other groups than those of ``group_size``, or groups with failed rows; see `Group`.
        batch: draws together with other processes, and waits for one minute at most; see `SharedBatch`.
        partial: when the wait is over, take what is ready, if anything is; see `Batch.partial`.
        linger_s: after waiting for so long, one row is enough (seconds).
        wait_s: how long to wait for them (seconds); None waits without an end.
        lease_s: how long the rows are kept from other consumers without a sign of life (seconds).
        hold_max_s: how long the lease is renewed at most (seconds), as it is while the batch is referenced.
        auto_ack: consume the rows as they are granted: at most once, no lease.

    Returns:
        Batch: rows; end them with ``ack()`` or ``release()``. Several batches may be held at a time.
        TimedOut: too few rows were ready; it says how many were ready, leased to others, or incomplete.
        Drained: the partition is sealed, and the task has consumed all rows.

    Raises FilterInvalid, BatchUnknown, or FixRequest where a row has more ``tokens`` than a batch may have.

    >>> batch = train.claim(task="look", fields=["response"], batch_size=2)
    >>> batch.index_ids.tolist(), batch.attempts.tolist()
    ([8, 9], [1, 1])
    >>> batch.release()
    """
    request = ClaimRequest(
        task=task,
        fields=field_names(fields) or [],
        draw=Draw(sampler=sampler, by=by, seed=seed, where=where, tokens=tokens, window=window, group=group),
        size=Size(rows_max=batch_size, rows_min=rows_min, ids=ids, partial=partial, linger_s=linger_s),
        hold=Hold(lease_s=lease_s, hold_max_s=hold_max_s, auto_ack=auto_ack),
        batch=batch,
    )
    return _claims.claim(self, request, wait_s)


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
) -> Generator[Batch, None, None]:
    """Claims batch after batch, until the partition is sealed and drained. Arguments as for `claim`.

    The lease of the batch at hand renews itself. Ask for the next one only after ``batch.ack()``: a batch that is
    neither acked nor released by then is released, as it is when the loop is left by ``break`` or an exception.
    ``wait_s`` bounds the wait for each batch; when it is over TimedOut is raised (default: wait without an end).
    With ``batch`` the numbers count on from its own; those that stay empty are passed over, as by all who share them.

    >>> train.seal() > 0
    True
    >>> for batch in train.consume(task="step", fields=["response"], batch_size=1):
    ...     print(batch["response"].list())
    ...     batch.ack()
    [[1, 2, 3]]
    [[4]]
    """
    request = ClaimRequest(
        task=task,
        fields=field_names(fields) or [],
        draw=Draw(sampler=sampler, by=by, seed=seed, where=where, tokens=tokens, window=window, group=group),
        size=Size(rows_max=batch_size, rows_min=rows_min, ids=None, partial=partial, linger_s=linger_s),
        hold=Hold(lease_s=lease_s, hold_max_s=hold_max_s, auto_ack=auto_ack),
        batch=batch,
    )
    return _claims.consume(Claims(self, request), wait_s)

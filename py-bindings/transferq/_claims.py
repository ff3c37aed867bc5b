"""Claims: rows taken for a task under a lease, and the loop that consumes a partition batch by batch.

    claim --> rows, under a lease that renews itself --> ack: consumed | release, lease over: back for any consumer
          --> TimedOut | Drained

Invariants: a batch of `consume` is acked by its user or released by the loop, also when the loop is left by an
exception; what a claim ended with is never mistaken: rows, TimedOut and Drained are three types; rows that a cancelled
claim was granted are released.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferq._batch import ABANDON_WITHIN_S, Batch
from transferq._cancel import CallCancelled, uncancelled
from transferq._encode import encode_ids
from transferq._http import Answer, Origin
from transferq._policies import Group, SharedBatch, Tokens, Window, to_json
from transferq._protocol import HEADERS, INDEX_COLUMN
from transferq._read import Wait, ask_once, part_of, wait_slice_s
from transferq._renewals import Lease
from transferq._shards import Shards
from transferq._transport import Request
from transferq.errors import AnswerInvalid, Drained, FixRequest, TimedOut, TransferQueueError

if TYPE_CHECKING:
    from transferq._partition import Partition

# A token comes from outside and goes into a path.
TOKEN_IN_PATH: Final = re.compile(r"[A-Za-z0-9_.~-]+")


@dataclass(frozen=True)
class Draw:
    """Which of the ready rows, and in what order."""

    sampler: str
    by: str | None
    seed: int | None
    where: str | None
    tokens: Tokens | None
    window: Window | None
    group: Group | None


@dataclass(frozen=True)
class Size:
    """How many rows; or exactly which, and then a sampler has nothing to choose."""

    rows_max: int | None
    rows_min: int | None
    ids: Any
    partial: bool
    linger_s: float | None

    def __post_init__(self) -> None:
        if (self.rows_max is None) == (self.ids is None):
            raise FixRequest("A claim takes batch_size rows, or those of ids.", code="json_invalid")


@dataclass(frozen=True)
class Hold:
    """For how long the rows are kept from others."""

    lease_s: float
    hold_max_s: float
    auto_ack: bool


@dataclass(frozen=True)
class ClaimRequest:
    """What to claim; the same words as on the wire, with times in seconds."""

    task: str
    fields: list[str]
    draw: Draw
    size: Size
    hold: Hold
    batch: SharedBatch | None

    def to_json(self, *, waited_s: float = 0.0, last: bool = True) -> dict[str, Any]:
        """The body of a request: the one that comes after so much of the wait, and perhaps the last one of it."""
        draw, size, hold = self.draw, self.size, self.hold
        given: dict[str, Any] = {
            "task": self.task,
            "fields": self.fields,
            "rows_max": size.rows_max,
            "rows_min": size.rows_min,
            "ids": None if size.ids is None else encode_ids(size.ids).tolist(),
            "sampler": draw.sampler if size.ids is None else None,
            "by": draw.by,
            "seed": draw.seed,
            "where": draw.where,
            "tokens": draw.tokens and to_json(draw.tokens),
            "window": draw.window and to_json(draw.window),
            "group": draw.group and to_json(draw.group),
            "batch": self.batch and to_json(self.batch),
            # The end of one request is the end of the wait only when no other one follows.
            "partial": (size.partial and last) or None,
            "linger_ms": None if size.linger_s is None else max(0, round((size.linger_s - waited_s) * 1000)),
            "lease_ms": round(hold.lease_s * 1000),
            "auto_ack": hold.auto_ack or None,
        }
        return {name: value for name, value in given.items() if value is not None}


def claim(partition: Partition, request: ClaimRequest, wait_s: float | None) -> Batch | TimedOut | Drained:
    """One claim. On several nodes each is asked in turn, another one first each time."""
    wait = Wait(wait_s)
    return partition.client.shards.retrying_moves(lambda: _claim(partition, request, wait))


def _claim(partition: Partition, request: ClaimRequest, wait: Wait) -> Batch | TimedOut | Drained:
    origins = partition.client.shards.current.origins
    if request.batch is not None:
        # All who share the batch must ask the same node; the numbers go round, so that each has its turn.
        return _claim_at(partition, request, origins[request.batch.number % len(origins)], wait)
    if request.size.ids is not None:
        return _claim_at(partition, request, _node_of(partition, encode_ids(request.size.ids)), wait)
    if len(origins) == 1:
        return _claim_at(partition, request, origins[0], wait)
    first = partition.client.next_turn() % len(origins)
    turns = [*origins[first:], *origins[:first]]
    while True:
        outcomes: list[TimedOut | Drained] = []
        final = True
        for origin in turns:
            part = wait.part(wait_slice_s(len(turns)))
            final = final and part.final
            outcome = _claim_at(partition, request, origin, part)
            if isinstance(outcome, Batch):
                return outcome
            outcomes.append(outcome)
        waiting = [outcome for outcome in outcomes if isinstance(outcome, TimedOut)]
        if not waiting:
            return outcomes[0]
        if final:
            return _sum(waiting)


def _node_of(partition: Partition, ids: NDArray[np.int64]) -> Origin:
    """The node that holds all of these rows: a claim is of one node."""
    (origin, _), *others = partition.client.shards.current.split(ids, partition.group_size)
    if others:
        raise FixRequest("The ids of one claim must be on one node; claim those of each node.", code="json_invalid")
    return origin


def _sum(outcomes: Sequence[TimedOut]) -> TimedOut:
    names = {name for outcome in outcomes for name in outcome.details}
    return TimedOut(details={name: sum(int(outcome.details.get(name, 0)) for outcome in outcomes) for name in names})


def _claim_at(partition: Partition, request: ClaimRequest, origin: Origin, wait: Wait) -> Batch | TimedOut | Drained:
    """One claim at one node."""
    try:
        outcome = _ask(partition, request, origin, wait)
    except CallCancelled as cut:
        # What was consumed as it was granted cannot be given back.
        if cut.request_id and not request.hold.auto_ack:
            with uncancelled(), contextlib.suppress(TransferQueueError):
                _release_unseen(partition, request, origin, cut.request_id)
        raise
    return _granted(partition, request, origin, outcome)


def _ask(partition: Partition, request: ClaimRequest, origin: Origin, wait: Wait) -> Answer | TimedOut | Drained:
    wait_s_max = partition.client.limits()["wait_ms_max"] / 1000
    while True:
        last = wait.left_s() <= wait_s_max
        body = request.to_json(waited_s=wait.waited_s(), last=last and wait.final)
        outcome = ask_once(partition, origin, "claims", body, wait)
        # The time-out of a shared batch is what became of it, for all who ask.
        if not isinstance(outcome, TimedOut) or request.batch is not None or last:
            return outcome


def _release_unseen(partition: Partition, request: ClaimRequest, origin: Origin, request_id: str) -> None:
    """Releases what the request was granted after all. The same request again tells the token; it waits for nothing."""
    transport = partition.client.transport
    body = json.dumps({**request.to_json(), "wait_ms": 0}).encode()
    again = Request("POST", f"{partition.target}/claims", body, reads=True, request_id=request_id)
    token = transport.call(origin, again, timeout_s=ABANDON_WITHIN_S).headers.get(HEADERS["claim"], "")
    if TOKEN_IN_PATH.fullmatch(token):
        transport.call(origin, Request("POST", f"/v1/claims/{token}:release"), timeout_s=ABANDON_WITHIN_S)


def _granted(
    partition: Partition, request: ClaimRequest, origin: Origin, outcome: Answer | TimedOut | Drained
) -> Batch | TimedOut | Drained:
    if not isinstance(outcome, Answer):
        return outcome
    token = outcome.headers.get(HEADERS["claim"], "")
    part = part_of(partition, origin, outcome)
    if not TOKEN_IN_PATH.fullmatch(token) or len(part) == 0:
        raise AnswerInvalid("The answer to a claim has no token or no rows.", status=outcome.status)
    lease = Lease(
        token=token,
        row=int(part.column(INDEX_COLUMN).values[0]),
        group_size=partition.group_size,
        lease_s=request.hold.lease_s,
        hold_max_s=request.hold.hold_max_s,
        state="acked" if request.hold.auto_ack else "held",
    )
    if not request.hold.auto_ack:
        partition.client.renewer.watch(lease)
    return Batch(
        [part],
        lease=lease,
        end_claim=partition.client.end_claim,
        partial=HEADERS["partial"] in outcome.headers,
        batch_number=None if request.batch is None else request.batch.number,
    )


def end_claim(shards: Shards, lease: Lease, verb: str, timeout_s: float | None) -> None:
    """Acks or releases."""
    request = Request("POST", f"/v1/claims/{lease.token}:{verb}")
    shards.call_owner(lease.row, lease.group_size, request, timeout_s=timeout_s)


def renew(shards: Shards, lease: Lease) -> None:
    """Lets the lease end ``lease_s`` from now. Takes no longer than the lease: it would come too late."""
    body = json.dumps({"lease_ms": round(lease.lease_s * 1000)}).encode()
    request = Request("POST", f"/v1/claims/{lease.token}:renew", body)
    shards.call_owner(lease.row, lease.group_size, request, timeout_s=lease.lease_s)


class Claims:
    """One claim after the other, of the same words; the numbers of shared batches count on.

    A number that stays empty is passed over: it is so for all who share the batches. One with a batch is asked for
    until the batch is handed over. Each number asks one node.
    """

    def __init__(self, partition: Partition, request: ClaimRequest) -> None:
        self._partition = partition
        self._request = request

    def next(self, wait_s: float | None) -> Batch | None:
        """The next batch, which is to be `handed_over`; None when the partition is drained. Raises TimedOut."""
        wait = Wait(wait_s)
        drained = 0
        while True:
            outcome = claim(self._partition, self._request, None if wait_s is None else wait.left_s())
            if isinstance(outcome, Batch):
                return outcome
            self._count_on()
            is_shared = self._request.batch is not None
            if isinstance(outcome, TimedOut):
                if not is_shared or wait.left_s() <= 0:
                    raise outcome
                # Rows may have come back to the nodes before it.
                drained = 0
                continue
            drained += 1
            if not is_shared or drained == self._nodes():
                return None

    def handed_over(self) -> None:
        """The batch is the user's: the next one is asked for from now on."""
        self._count_on()

    def _count_on(self) -> None:
        if self._request.batch is not None:
            self._request = dataclasses.replace(self._request, batch=self._request.batch.next())

    def _nodes(self) -> int:
        return len(self._partition.client.shards.current.origins)


def consume(claims: Claims, wait_s: float | None) -> Generator[Batch, None, None]:
    """Batch after batch; one that is neither acked nor released when the loop goes on, or is left, is released."""
    while (batch := claims.next(wait_s)) is not None:
        claims.handed_over()
        try:
            yield batch
        finally:
            # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
            with contextlib.suppress(TransferQueueError):
                batch.abandon()
        del batch

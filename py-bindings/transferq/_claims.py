"""Claims: rows taken for a task under a lease, and the loop that consumes a partition batch by batch.

    claim --> rows, under a lease that renews itself --> ack: consumed | release, lease over: back for any consumer
          --> TimedOut | Drained

Invariants: a batch of `consume` is acked by its user or released by the loop, also when the loop is left by an
exception; what a claim ended with is never mistaken: rows, TimedOut and Drained are three types; rows that a cancelled
claim was granted are released.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from transferq._batch import ABANDON_WITHIN_S, Batch, Part
from transferq._cancel import CallCancelled, uncancelled
from transferq._http import Answer, Origin
from transferq._protocol import HEADERS, INDEX_COLUMN
from transferq._read import Wait, ask, wait_slice_s
from transferq._renewals import Lease
from transferq._shards import Shards
from transferq._transport import Request
from transferq.errors import AnswerInvalid, Drained, TimedOut, TransferQueueError

if TYPE_CHECKING:
    from transferq._partition import Partition

# A token comes from outside and goes into a path.
TOKEN_IN_PATH: Final = re.compile(r"[A-Za-z0-9_.~-]+")


@dataclass(frozen=True)
class ClaimRequest:
    """What to claim; the same words as on the wire."""

    task: str
    fields: list[str]
    rows_max: int
    rows_min: int | None
    sampler: str
    lease_s: float
    hold_max_s: float
    auto_ack: bool

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "task": self.task,
            "fields": self.fields,
            "rows_max": self.rows_max,
            "sampler": self.sampler,
            "lease_ms": round(self.lease_s * 1000),
        }
        if self.rows_min is not None:
            body["rows_min"] = self.rows_min
        if self.auto_ack:
            body["auto_ack"] = True
        return body


def claim(partition: Partition, request: ClaimRequest, wait_s: float | None) -> Batch | TimedOut | Drained:
    """One claim. On several nodes each is asked in turn, another one first each time."""
    wait = Wait(wait_s)
    return partition.client.shards.retrying_moves(lambda: _claim(partition, request, wait))


def _claim(partition: Partition, request: ClaimRequest, wait: Wait) -> Batch | TimedOut | Drained:
    origins = partition.client.shards.current.origins
    if len(origins) == 1:
        return _claim_at(partition, request, origins[0], wait)
    first = partition.client.next_turn() % len(origins)
    turns = [*origins[first:], *origins[:first]]
    while True:
        slice_s = min(wait_slice_s(len(turns)), wait.left_s())
        outcomes: list[TimedOut | Drained] = []
        for origin in turns:
            outcome = _claim_at(partition, request, origin, Wait(slice_s))
            if isinstance(outcome, Batch):
                return outcome
            outcomes.append(outcome)
        waiting = [outcome for outcome in outcomes if isinstance(outcome, TimedOut)]
        if not waiting:
            return outcomes[0]
        if wait.left_s() <= 0:
            return _sum(waiting)


def _sum(outcomes: Sequence[TimedOut]) -> TimedOut:
    names = {name for outcome in outcomes for name in outcome.details}
    return TimedOut(details={name: sum(int(outcome.details.get(name, 0)) for outcome in outcomes) for name in names})


def _claim_at(partition: Partition, request: ClaimRequest, origin: Origin, wait: Wait) -> Batch | TimedOut | Drained:
    """One claim at one node."""
    try:
        outcome = ask(partition, origin, "claims", request.to_json(), wait)
    except CallCancelled as cut:
        # What was consumed as it was granted cannot be given back.
        if cut.request_id and not request.auto_ack:
            with uncancelled(), contextlib.suppress(TransferQueueError):
                _release_unseen(partition, request, origin, cut.request_id)
        raise
    return _granted(partition, request, outcome)


def _release_unseen(partition: Partition, request: ClaimRequest, origin: Origin, request_id: str) -> None:
    """Releases what the request was granted after all. The same request again tells the token; it waits for nothing."""
    transport = partition.client.transport
    body = json.dumps({**request.to_json(), "wait_ms": 0}).encode()
    again = Request("POST", f"{partition.target}/claims", body, reads=True, request_id=request_id)
    token = transport.call(origin, again, timeout_s=ABANDON_WITHIN_S).headers.get(HEADERS["claim"], "")
    if TOKEN_IN_PATH.fullmatch(token):
        transport.call(origin, Request("POST", f"/v1/claims/{token}:release"), timeout_s=ABANDON_WITHIN_S)


def _granted(
    partition: Partition, request: ClaimRequest, outcome: Answer | TimedOut | Drained
) -> Batch | TimedOut | Drained:
    if not isinstance(outcome, Answer):
        return outcome
    token = outcome.headers.get(HEADERS["claim"], "")
    part = Part(outcome)
    if not TOKEN_IN_PATH.fullmatch(token) or len(part) == 0:
        raise AnswerInvalid("The answer to a claim has no token or no rows.", status=outcome.status)
    lease = Lease(
        token=token,
        row=int(part.column(INDEX_COLUMN).values[0]),
        group_size=partition.group_size,
        lease_s=request.lease_s,
        hold_max_s=request.hold_max_s,
        state="acked" if request.auto_ack else "held",
    )
    if not request.auto_ack:
        partition.client.renewer.watch(lease)
    return Batch([part], lease=lease, end_claim=partition.client.end_claim)


def end_claim(shards: Shards, lease: Lease, verb: str, timeout_s: float | None) -> None:
    """Acks or releases."""
    request = Request("POST", f"/v1/claims/{lease.token}:{verb}")
    shards.call_owner(lease.row, lease.group_size, request, timeout_s=timeout_s)


def renew(shards: Shards, lease: Lease) -> None:
    """Lets the lease end ``lease_s`` from now. Takes no longer than the lease: it would come too late."""
    body = json.dumps({"lease_ms": round(lease.lease_s * 1000)}).encode()
    request = Request("POST", f"/v1/claims/{lease.token}:renew", body)
    shards.call_owner(lease.row, lease.group_size, request, timeout_s=lease.lease_s)


def consume(partition: Partition, request: ClaimRequest, wait_s: float | None) -> Generator[Batch, None, None]:
    """Claims batch after batch until the partition is sealed and drained."""
    while True:
        outcome = claim(partition, request, wait_s)
        if isinstance(outcome, Drained):
            return
        if isinstance(outcome, TimedOut):
            raise outcome
        try:
            yield outcome
        finally:
            # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
            with contextlib.suppress(TransferQueueError):
                outcome.abandon()
        del outcome

"""Claims: rows taken for a task under a lease, and the loop that consumes a partition batch by batch.

    claim --> rows, under a lease that renews itself --> ack: consumed | release, lease over: back for any consumer
          --> TimedOut | Drained

Invariants: a batch of `consume` is acked by its user or released by the loop, also when the loop is left by an
exception; what a claim ended with is never mistaken: rows, TimedOut and Drained are three types.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transferq._batch import Batch, Part
from transferq._http import Answer, Origin
from transferq._protocol import HEADERS
from transferq._read import Wait, ask, wait_slice_s
from transferq._renewals import Lease
from transferq._transport import Request, Transport
from transferq.errors import AnswerInvalid, Drained, TimedOut, TransferQueueError

if TYPE_CHECKING:
    from transferq._partition import Partition


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
    body = request.to_json()
    wait = Wait(wait_s)
    origins = partition.client.shards.current.origins
    if len(origins) == 1:
        return _granted(partition, request, origins[0], ask(partition, origins[0], "claims", body, wait))
    first = partition.client.next_turn() % len(origins)
    turns = [*origins[first:], *origins[:first]]
    while True:
        slice_s = min(wait_slice_s(len(turns)), wait.left_s())
        outcomes: list[TimedOut | Drained] = []
        for origin in turns:
            outcome = _granted(partition, request, origin, ask(partition, origin, "claims", body, Wait(slice_s)))
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


def _granted(
    partition: Partition, request: ClaimRequest, origin: Origin, outcome: Answer | TimedOut | Drained
) -> Batch | TimedOut | Drained:
    if not isinstance(outcome, Answer):
        return outcome
    token = outcome.headers.get(HEADERS["claim"])
    if token is None:
        raise AnswerInvalid("The answer to a claim has no token.", status=outcome.status)
    client = partition.client
    lease = Lease(token, origin, request.lease_s, request.hold_max_s, "acked" if request.auto_ack else "held")
    if not request.auto_ack:
        client.renewer.watch(lease)
    return Batch([Part(outcome)], lease=lease, end_claim=client.end_claim)


def end_claim(transport: Transport, lease: Lease, verb: str) -> None:
    """Acks or releases."""
    transport.call(lease.origin, Request("POST", f"/v1/claims/{lease.token}:{verb}"))


def renew(transport: Transport, lease: Lease) -> None:
    """Lets the lease end ``lease_s`` from now. Takes no longer than the lease: it would come too late."""
    body = json.dumps({"lease_ms": round(lease.lease_s * 1000)}).encode()
    request = Request("POST", f"/v1/claims/{lease.token}:renew", body)
    transport.call(lease.origin, request, timeout_s=min(lease.lease_s, transport.timeout_s))


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
            if outcome.held:
                # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
                with contextlib.suppress(TransferQueueError):
                    outcome.release()
        del outcome

"""The claims that a trainer was given and that have not ended: renewed, acked, and told in checkpoints.

    given --> held --ack--> consumed
                    --release--> back for any consumer
                    --lease over, rows granted again--> stale: trained here, so skipped when they come again

A state, as `state_dict` of a loader gives it (JSON):

    {"version": 1, "partition", "task", "steps", "claims": [{"claim", "ids"}, ...], "trained": [id, ...],
     "batch_number": number of the next shared batch, if batches are shared}

Invariants: the rows of a state's claims, and its trained rows, are in the history of the checkpoint that holds the
state, so whoever goes on from there neither trains them nor leaves them unconsumed; a row is in at most one held claim.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from transferq._claims import renew
from transferq._renewals import RENEWALS_PER_LEASE, Lease
from transferq.errors import ClaimStale, ClaimUnknown, FixRequest
from transferq.torch._batches import TensorBatch
from transferq.torch._dataset import StreamingDataset
from transferq.torch._link import Link

STATE_VERSION: Final = 1
LOG: Final = logging.getLogger("transferq.torch")


@dataclass(frozen=True)
class Settled:
    """What became of the claims of a state.

    Attributes:
        acked: how many claims were acked.
        stale_ids: ids of rows whose claims could not be acked, since their leases ended and rows were granted again.
            The loader acks and leaves out those that it gets again; another consumer of the task trains them again.
    """

    acked: int
    stale_ids: tuple[int, ...]


@dataclass(eq=False)
class Held:
    """A claim that the trainer holds."""

    ledger: Ledger
    lease: Lease
    ids: list[int]
    # Rows that were trained before, and are left out of the batch.
    skipped: set[int] = field(default_factory=set)
    # Whether the trainer got all of its rows; a step may be under way.
    given: bool = False

    def ack(self) -> None:
        if self._is("acked"):
            return
        if not self.ledger.end(self, "ack"):
            raise self.lease.error or ClaimStale()

    def release(self) -> None:
        if not self._is("released"):
            self.ledger.release(self)

    def _is(self, state: str) -> bool:
        ended = self.lease.state in ("acked", "released")
        if ended and self.lease.state != state:
            raise FixRequest(f"The claim was {self.lease.state}; it cannot be {state} too.", code="claim_unknown")
        return ended


class Ledger:
    """One per loader; its claims are renewed by the partition's client as long as it is referenced."""

    def __init__(self, dataset: StreamingDataset) -> None:
        self._dataset = dataset
        self._client = dataset.partition.client
        # Checkpoints may be saved and committed by another thread than the one that trains.
        self._lock = threading.RLock()
        self._commits = threading.Lock()
        self._held: dict[str, Held] = {}
        # Rows that were trained, but could not be acked.
        self._trained: set[int] = set()
        self.steps = 0
        # Of the next shared batch; None where batches are not shared.
        self.batch_number = None if dataset.batch is None else dataset.batch.number

    # ---- Rows ----------------------------------------------------------------------------------------------------

    def take(self, batch: TensorBatch, link: Link, *, again: bool) -> TensorBatch | None:
        """The batch as the trainer gets it, from now on under this process' renewal; None when no row is left of it.

        Rows whose lease ended while they lay in a queue may have come by a later claim already, so they are dropped.

        Args:
            again: give rows again that the trainer had before; else they are left out.
        """
        origin = batch.origin
        ids: list[int] = batch.index_ids.tolist()
        held = Held(self, self._lease(origin.claim, ids, origin.claimed_at), ids)
        if not self._lives(held.lease):
            link.receive(origin.worker, origin.number)
            LOG.warning("The lease of %s ended before it was handed over; its rows come again.", batch)
            return None
        with self._lock:
            self._client.renewer.watch(held.lease)
            self._held[origin.claim] = held
            link.receive(origin.worker, origin.number)
            # Rows that the trainer had before were granted before.
            if not again and int(batch.attempts.max()) > 1:
                held.skipped = self._skip(held)
        batch._held = held
        if not held.skipped:
            return batch
        LOG.warning("%d rows of %s came again and are left out: they were trained.", len(held.skipped), batch)
        rest = [row for row, index_id in enumerate(held.ids) if index_id not in held.skipped]
        if rest:
            return batch.select(rest)
        self.settle([held])
        return None

    @property
    def nodes_max(self) -> int:
        """How many nodes shared batches may come from: one that is asked for rows has a shard."""
        return 1 if self._dataset.batch is None else len(self._client.shards.current.owners)

    def _lives(self, lease: Lease) -> bool:
        """Whether the lease lives; it does so for at least as long as until the first renewal by this process."""
        if time.monotonic() < lease.granted_at + lease.lease_s / RENEWALS_PER_LEASE:
            return True
        try:
            renew(self._client.shards, lease)
        except (ClaimStale, ClaimUnknown):
            return False
        return True

    def give(self, batch: TensorBatch) -> None:
        """Notes that the trainer has all rows of the batch."""
        held = batch._claim_of_trainer()
        with self._lock:
            held.given = True
            self.steps += 1
            if batch.batch_number is not None:
                self.batch_number = batch.batch_number + 1

    @property
    def held_rows(self) -> int:
        """Rows that are leased by the trainer."""
        with self._lock:
            return sum(len(held.ids) for held in self._held.values() if held.lease.state == "held")

    def _skip(self, new: Held) -> set[int]:
        """The rows of a new claim that the trainer had before, and need no longer be remembered beside it."""
        ids = set(new.ids)
        for held in list(self._held.values()):
            if held is not new and not ids.isdisjoint(held.ids):
                # What is granted again belongs to no earlier claim any more.
                self._note_stale(held)
        skipped = ids & self._trained
        self._trained -= skipped
        return skipped

    # ---- Ends ----------------------------------------------------------------------------------------------------

    def end(self, held: Held, verb: str) -> bool:
        """Acks or releases; False when the claim is stale. A lease that is over may still be acked in time."""
        try:
            self._client.end_claim(held.lease, verb, None)
        except (ClaimStale, ClaimUnknown) as error:
            held.lease.error, held.lease.state = error, "lost"
        else:
            held.lease.state = "acked" if verb == "ack" else "released"
        with self._lock:
            self._held.pop(held.lease.token, None)
        return held.lease.state != "lost"

    def release(self, held: Held) -> None:
        """Gives the rows back; those that were trained before stay remembered as such."""
        with self._lock:
            self._trained |= held.skipped
        self.end(held, "release")

    def settle(self, claims: Iterable[Held]) -> Settled:
        """Acks claims of rows that are trained, and remembers the rows of those that are stale."""
        acked = 0
        stale: list[int] = []
        for held in claims:
            if self.end(held, "ack"):
                acked += 1
                continue
            self._note_stale(held)
            stale += held.ids
        return Settled(acked, tuple(stale))

    def ack_given(self) -> None:
        """Acks all batches whose steps are over."""
        with self._lock:
            given = [held for held in self._held.values() if held.given]
        self.settle(given)

    def _note_stale(self, held: Held) -> None:
        with self._lock:
            self._held.pop(held.lease.token, None)
            self._trained |= set(held.ids)
        LOG.warning("The claim of %d trained rows is stale; they are left out when they come again.", len(held.ids))

    # ---- Checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        with self._lock:
            given = [held for held in self._held.values() if held.given]
            others = [held for held in self._held.values() if not held.given]
            trained = self._trained.union(*(held.skipped for held in others))
            return {
                "version": STATE_VERSION,
                "partition": self._dataset.partition.name,
                "task": self._dataset.task,
                "steps": self.steps,
                "claims": [{"claim": held.lease.token, "ids": list(held.ids)} for held in given],
                "trained": sorted(trained),
                **({} if self.batch_number is None else {"batch_number": self.batch_number}),
            }

    def commit(self, state: Mapping[str, Any]) -> Settled:
        """Acks the claims of the state that are still held."""
        tokens = [entry["claim"] for entry in self._checked(state)["claims"]]
        # States that are committed at a time name the same claims; each is acked for one of them.
        with self._commits:
            with self._lock:
                held = [self._held[token] for token in tokens if token in self._held]
            return self.settle(held)

    def load(self, state: Mapping[str, Any]) -> Settled:
        """Goes on from the state: acks its claims, and gives back what the trainer got after it."""
        entries = self._checked(state)["claims"]
        tokens = {entry["claim"] for entry in entries}
        with self._lock:
            later = [held for token, held in self._held.items() if token not in tokens]
        for held in later:
            self.release(held)
        settled = self.settle([self._of_state(entry) for entry in entries])
        with self._lock:
            self.steps = int(state["steps"])
            self._trained |= set(state["trained"])
            if self.batch_number is not None:
                self.batch_number = int(state.get("batch_number", self.batch_number))
        return settled

    def _of_state(self, entry: Mapping[str, Any]) -> Held:
        ids = list(map(int, entry["ids"]))
        return self._held.get(entry["claim"]) or Held(self, self._lease(entry["claim"], ids, time.monotonic()), ids)

    def _lease(self, token: str, ids: list[int], granted_at: float) -> Lease:
        dataset = self._dataset
        return Lease(
            token=token,
            row=ids[0],
            group_size=dataset.partition.group_size,
            lease_s=dataset.lease_s,
            hold_max_s=dataset.hold_max_s,
            granted_at=granted_at,
        )

    def _checked(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        if state.get("version") != STATE_VERSION:
            raise FixRequest(f"A state of version {state.get('version')!r} is not understood.", code="json_invalid")
        of, here = (state["partition"], state["task"]), (self._dataset.partition.name, self._dataset.task)
        if of != here:
            raise FixRequest(f"The state is that of {of}, not of {here}.", code="json_invalid")
        return state

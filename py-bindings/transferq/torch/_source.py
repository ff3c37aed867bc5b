"""What runs in a worker of a loader (or in the loader's own process): claims batches and keeps them until handed over.

    claim --> unreceived, renewed here --> received by the trainer: renewed there
                                       --> the loader stopped, or is dead: released

Invariants: a claim is released here only while the loader has not received it; the worker ends within PARENT_CHECK_S of
its loader's process, in whatever way that ends, and its renewals with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch.utils.data import IterableDataset, get_worker_info

from transferq._batch import Batch
from transferq._protocol import TAGS_COLUMN
from transferq._renewals import Lease
from transferq.errors import Drained, TimedOut, TransferQueueError
from transferq.torch._batches import Origin, TensorBatch
from transferq.torch._cells import cells_from, cells_of, share_offsets, shared_buffer
from transferq.torch._dataset import StreamingDataset
from transferq.torch._link import NOBODY, Link

# A claim that waits longer at the server would not notice that the loader stopped (seconds).
WAIT_S: Final = 0.5
PARENT_CHECK_S: Final = 1.0
# How long the release of claims may take in all when a worker ends (seconds); their leases end by themselves anyway.
RELEASE_WITHIN_S: Final = 2.0
HANDOVER_CHECK_S: Final = 0.01
# Each time-out of a shared batch uses up a number, so these are longer waits (seconds).
SHARED_WAIT_S: Final = 4.0
TURN_CHECK_S: Final = 0.002


@dataclass(frozen=True)
class Late:
    """The trainer's wait that began at ``since`` (monotonic ns) took longer than ``wait_s``."""

    since: int
    error: TimedOut


@dataclass(frozen=True)
class Passed:
    """The shared batch of this number stays empty, for this part of it."""

    number: int


Item: TypeAlias = "TensorBatch | Late | Passed | TransferQueueError"


class Source(IterableDataset[Item]):
    """The dataset as torch's loader sees it."""

    def __init__(self, dataset: StreamingDataset, link: Link) -> None:
        super().__init__()
        self._dataset = dataset
        self._link = link

    def __iter__(self) -> Iterator[Item]:
        info = get_worker_info()
        if info is None:
            return Reader(self._dataset, self._link, 0, shares_memory=False).items()
        reader = Reader(self._dataset, self._link, info.id, shares_memory=True)
        # Ctrl-C goes to all processes of a terminal; it is the loader that ends its workers, or goes on with them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with_parent, args=(reader.unreceived,), daemon=True).start()
        return reader.items()


class Unreceived:
    """The claims of this worker that the loader has not received; their leases are renewed while they are here."""

    def __init__(self, dataset: StreamingDataset, link: Link, worker: int) -> None:
        self._client = dataset.partition.client
        self._link = link
        self._worker = worker
        # The thread that watches the loader's process releases what the worker's own thread claimed.
        self._lock = threading.Lock()
        self._leases: deque[tuple[int, Lease]] = deque()
        self._count = 0

    def add(self, lease: Lease) -> int:
        """Keeps it; returns its number, counted from 0."""
        with self._lock:
            self._leases.append((self._count, lease))
            self._count += 1
            return self._count - 1

    def __len__(self) -> int:
        """How many are left, once those that were received are forgotten."""
        with self._lock:
            received = self._link.received(self._worker)
            while self._leases and self._leases[0][0] < received:
                self._leases.popleft()
            return len(self._leases)

    def release(self, *, last_only: bool = False) -> None:
        """Releases what was not received, or only what was added last."""
        ends_at = time.monotonic() + RELEASE_WITHIN_S
        while len(self) > 0:
            with self._lock:
                _, lease = self._leases.pop()
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return
            with contextlib.suppress(TransferQueueError):
                self._client.end_claim(lease, "release", left_s)
            lease.state = "released"
            if last_only:
                return


class Reader:
    """Claims batch after batch until nothing more comes or the loader stops. The wait for a batch is several claims.

    Of shared batches the workers claim the numbers in turn: claims are in order, and what follows them is not. Each
    number is of one node, so nothing more comes when every node had nothing more; then all workers end together.
    """

    def __init__(self, dataset: StreamingDataset, link: Link, worker: int, *, shares_memory: bool) -> None:
        self._dataset = dataset
        self._link = link
        self._worker = worker
        self._shares_memory = shares_memory
        self._stall = Stall(dataset, link)
        self.unreceived = Unreceived(dataset, link, worker)

    def items(self) -> Iterator[Item]:
        """Batches; Late, after which more come; at the end perhaps one error."""
        try:
            yield from self._items()
            self._hand_over()
        finally:
            self.unreceived.release()

    def _items(self) -> Iterator[Item]:
        rows_min: int | None = None
        began_at = time.monotonic()
        while self._may_claim():
            number = None if self._dataset.batch is None else self._link.turn
            since = self._link.waiting_since
            wait_s, is_last = self._next_wait(since)
            claimed_at = time.monotonic()
            waited_s = claimed_at - began_at
            try:
                outcome = self._dataset.claim(
                    wait_s=wait_s, waited_s=waited_s, is_last=is_last, rows_min=rows_min, number=number
                )
            except TransferQueueError as error:
                yield error
                return
            ends = isinstance(outcome, Drained)
            if isinstance(outcome, TimedOut) and self._stall.seen(outcome):
                ends = outcome.ready == 0
                rows_min = rows_min if ends else 1
            if number is None and ends:
                return
            if number is not None and not self._pass_turn(number, outcome, ends=ends):
                return
            if isinstance(outcome, Batch):
                self._stall.over()
                yield self._made(outcome, claimed_at)
                # Its memory is that of the next answer.
                del outcome
                rows_min, began_at = None, time.monotonic()
                continue
            if number is not None:
                yield Passed(number)
            if isinstance(outcome, TimedOut) and is_last:
                yield Late(since, outcome)

    def _may_claim(self) -> bool:
        """Waits until it may; False when the loader stops, or no shared batch comes any more."""
        while not self._link.stopping:
            if self._dataset.batch is None or self._link.has_turn(self._worker):
                return True
            if self._link.turn == NOBODY:
                return False
            time.sleep(TURN_CHECK_S)
        return False

    def _next_wait(self, since: int) -> tuple[float, bool]:
        """How long the next claim waits (seconds), and whether the wait of the trainer that began then ends with it."""
        longest = WAIT_S if self._dataset.batch is None else SHARED_WAIT_S
        if self._dataset.wait_s is None:
            return longest, False
        if since == 0:
            return min(longest, self._dataset.wait_s), False
        left_s = max(0.0, self._dataset.wait_s - (time.monotonic_ns() - since) / 1e9)
        return min(longest, left_s), left_s <= longest

    def _pass_turn(self, number: int, outcome: Batch | TimedOut | Drained, *, ends: bool) -> bool:
        """Passes the turn on; False when no node has anything more, and then it is nobody's."""
        nodes = len(self._dataset.partition.client.shards.current.origins)
        if ends or isinstance(outcome, Batch) or _is_told_counts(outcome):
            self._link.note_node(number % nodes, idle=ends)
        if self._link.idle_nodes < nodes:
            self._link.pass_turn()
            return True
        self._link.end_turns()
        return False

    def _made(self, batch: Batch, claimed_at: float) -> TensorBatch:
        lease = batch.lease
        if lease is None or batch.claim is None:
            raise TypeError("The dataset's claim returned rows without a lease.")
        number = self.unreceived.add(lease)
        try:
            made = self._tensors(batch, Origin(batch.claim, claimed_at, self._worker, number, batch.batch_number))
            return made.packed(shared_buffer) if self._shares_memory else made
        except BaseException:
            # The user's transform: its error comes to the trainer after the batches before it, which stay leased.
            self.unreceived.release(last_only=True)
            self._hand_over()
            raise

    def _tensors(self, batch: Batch, origin: Origin) -> TensorBatch:
        columns = share_offsets({name: cells_of(batch[name]) for name in batch})
        if TAGS_COLUMN in self._dataset.fields:
            columns[TAGS_COLUMN] = batch.tags
        made = TensorBatch(
            columns,
            torch.from_numpy(batch.index_ids),
            torch.from_numpy(batch.attempts),
            group_size=self._dataset.partition.group_size,
            partial=len(batch) < self._dataset.part_size,
            origin=origin,
        )
        transform = self._dataset.transform
        if transform is None:
            return made
        fields = transform({name: made[name] for name in made})
        return made.with_fields({name: cells_from(value, name) for name, value in fields.items()})

    def _hand_over(self) -> None:
        """Waits until the loader has received all, or stops: until then the leases are renewed here."""
        while len(self.unreceived) > 0 and not self._link.stopping:
            time.sleep(HANDOVER_CHECK_S)


class Stall:
    """Tells when a wait cannot end by itself: the partition is sealed, and all rows that are left are leased, the
    trainer that waits holds some of them, and nobody gives any back for a lease's length.

    The trainer cannot ack while it waits. So it gets the last rows that are ready as a smaller batch, and then the end.
    """

    def __init__(self, dataset: StreamingDataset, link: Link) -> None:
        self._dataset = dataset
        self._link = link
        self._sealed = False
        self._since: float | None = None

    def over(self) -> None:
        self._since = None

    def seen(self, counts: TimedOut) -> bool:
        """Whether the wait that ended with these counts was a stall."""
        if not _is_told_counts(counts):
            return False
        # The other parts of shared batches are as large, and those who train on them hold as many.
        held_rows = self._link.held_rows * (1 if self._dataset.batch is None else self._dataset.batch.parts)
        if held_rows == 0 or counts.incomplete > 0 or counts.leased == 0 or not self._is_sealed():
            self.over()
            return False
        if counts.leased <= held_rows:
            return True
        # Others hold rows. Those that died lose them within a lease.
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since > self._dataset.lease_s + PARENT_CHECK_S

    def _is_sealed(self) -> bool:
        if not self._sealed:
            with contextlib.suppress(TransferQueueError):
                self._sealed = bool(self._dataset.partition.stats()["sealed"])
        return self._sealed


def _is_told_counts(outcome: TimedOut | Drained) -> bool:
    """Not where it was asked for a shared batch that others found empty before: that says nothing about now."""
    return "leased" in outcome.details


def _end_with_parent(unreceived: Unreceived) -> None:
    """Ends this process when the loader's is gone, also when it was killed: nobody else would end its leases."""
    parent = multiprocessing.parent_process()
    sentinels = [] if parent is None else [parent.sentinel]
    parent_id = os.getppid()
    # Other children of the loader's process may keep the sentinel's pipe open after its end.
    while os.getppid() == parent_id and not multiprocessing.connection.wait(sentinels, PARENT_CHECK_S):
        pass
    unreceived.release()
    os._exit(1)

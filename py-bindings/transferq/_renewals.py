"""Keeps leases alive while their batches are held: one daemon thread per client, there only while it has work.

    granted --> renewed each third of its lease --> acked, released, dropped, stale, held for hold_max_s --> left alone

Invariants: a batch that nobody references any more is not renewed, so its rows go to another consumer when the lease
ends; no lease is renewed beyond `hold_max_s` after its grant; the thread ends when it had nothing to do for LINGER_S.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from transferq.errors import TransferQueueError

# A renewal that fails for now is tried again within the lease: this many times per lease in all.
RENEWALS_PER_LEASE: Final = 3
# The next batch of a consumer usually comes before this, and then needs no new thread.
LINGER_S: Final = 5.0


@dataclass(eq=False, kw_only=True)
class Renewed:
    """Something that the server keeps for as long as it is renewed. ``state`` is held, acked, released or lost."""

    token: str
    lease_s: float
    hold_max_s: float
    state: str = "held"
    # Why the lease was lost.
    error: TransferQueueError | None = None
    granted_at: float = field(default_factory=time.monotonic)
    pid: int = field(default_factory=os.getpid)

    @property
    def renewable(self) -> bool:
        return self.state == "held" and time.monotonic() < self.granted_at + self.hold_max_s


@dataclass(eq=False, kw_only=True)
class Lease(Renewed):
    """A claim as its holder sees it."""

    # One of its rows, and the group size of its partition: which node to talk to.
    row: int
    group_size: int


Held = TypeVar("Held", bound=Renewed)


class Renewer(Generic[Held]):
    """Renews the leases that it watches, by the function given."""

    def __init__(self, renew: Callable[[Held], None]) -> None:
        self._renew = renew
        self.reset()

    def reset(self) -> None:
        """Forgets all leases: they belong to the parent of a forked child, or to a client that was closed."""
        self._changed = threading.Condition()
        # A heap of (when, which came first, lease); leases that ended stay in it until their turn comes.
        self._due: list[tuple[float, int, weakref.ref[Held]]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def watch(self, lease: Held) -> None:
        with self._changed:
            if self._closed:
                return
            is_next = self._push(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="transferq-renewals", daemon=True)
                self._thread.start()
            elif is_next:
                # Waking the thread costs more than a claim, and is needed only to make it wait less.
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(LINGER_S)

    def _push(self, lease: Held) -> bool:
        """Notes when the lease is to be renewed; returns whether it is the next one."""
        when = time.monotonic() + lease.lease_s / RENEWALS_PER_LEASE
        is_next = not self._due or when < self._due[0][0]
        heapq.heappush(self._due, (when, next(self._count), weakref.ref(lease)))
        return is_next

    def _run(self) -> None:
        while True:
            lease = self._next()
            if lease is None:
                return
            self._renew_one(lease)
            if lease.renewable:
                with self._changed:
                    self._push(lease)
            # A reference here would keep a dropped batch's lease alive until the next one is due.
            del lease

    def _next(self) -> Held | None:
        """The next lease to renew, when it is due; None when the thread should end."""
        with self._changed:
            while not self._closed:
                if not self._due:
                    if self._changed.wait(LINGER_S) or self._due:
                        continue
                    break
                pause_s = self._due[0][0] - time.monotonic()
                if pause_s > 0:
                    self._changed.wait(pause_s)
                    continue
                lease = heapq.heappop(self._due)[2]()
                if lease is not None and lease.renewable:
                    return lease
            self._thread = None
            return None

    def _renew_one(self, lease: Held) -> None:
        try:
            self._renew(lease)
        except TransferQueueError as error:
            # Other kinds may work at the next try, which comes within the lease.
            if error.kind in ("give_up", "fix_request") and lease.state == "held":
                lease.error = error
                lease.state = "lost"

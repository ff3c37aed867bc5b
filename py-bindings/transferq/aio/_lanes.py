"""The threads that make a client's calls, in lanes.

    lane    threads at most   calls
    waits   WAITS_MAX         that may wait for others: claims, and reads with wait_s
    acts    ACTS_MAX          all others
    ends    ENDS_MAX          acks and releases: claims, and puts that find the memory full, may wait for these
    close   1

Calls queue per lane, so that none stands behind one that waits for it. A thread is started when a call finds none idle,
and ends when it had nothing to do for LINGER_S. Threads are daemons: a process that exits waits only for what callers
who left still have to give back, and for ABANDON_WITHIN_S at most.

Invariants: no thread before the first call; a forked child has no thread, call or lock of its parent; a finalizer
(`soon`) may run anywhere, also where its own thread holds the lock: the lock is reentrant, and each step under it
leaves the queues whole.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final

from transferq._batch import ABANDON_WITHIN_S
from transferq._cancel import CallCancelled
from transferq.aio._calls import Call, Leaving, Result
from transferq.errors import ClientClosed, TransferQueueError

WAITS_MAX: Final = 256
ACTS_MAX: Final = 32
ENDS_MAX: Final = 8
LINGER_S: Final = 5.0


class _Lane:
    """A queue and its threads; ``idle`` of them will look at the queue without being told."""

    def __init__(self, name: str, threads_max: int, ready: threading.Condition) -> None:
        self.name = name
        self.threads_max = threads_max
        self.ready = ready
        self.queue: OrderedDict[Call[Any], None] = OrderedDict()
        self.threads = 0
        self.idle = 0


class Lanes:
    """The lanes of one client. To be used from any thread."""

    def __init__(self) -> None:
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Forgets threads and calls: they belong to the parent of a forked child."""
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        # Closing, it takes no calls but what finalizers give back; closed, it takes none.
        self._closing = False
        self._closed = False
        self._running: set[Call[Any]] = set()
        # Those that nobody waits for any more and that have something to give back.
        self._left: set[Call[Any]] = set()
        sizes = {"waits": WAITS_MAX, "acts": ACTS_MAX, "ends": ENDS_MAX, "close": 1}
        self._lanes = {name: _Lane(name, size, threading.Condition(self._lock)) for name, size in sizes.items()}

    @property
    def count(self) -> int:
        """How many threads there are."""
        return sum(lane.threads for lane in self._lanes.values())

    @property
    def closing(self) -> bool:
        return self._closing

    # ---- For callers ---------------------------------------------------------------------------------------------

    def start(
        self,
        work: Callable[[], Result],
        *,
        lane: str = "acts",
        leaving: Leaving = "cut",
        undo: Callable[[Result], object] | None = None,
    ) -> Call[Result]:
        """Queues work; raises ClientClosed when the client is closed."""
        call = Call(work, lane=lane, leaving=leaving, undo=undo)
        with self._lock:
            if self._closing:
                raise ClientClosed()
            needy = self._queue(call)
        self._start_thread(needy, call)
        return call

    def leave(self, call: Call[Any]) -> None:
        """Whoever waited for the call is gone: it ends as its `Leaving` says, and its result is given back."""
        with self._lock:
            if call.left:
                return
            call.left = True
            done = call.done
            if not done and call.leaving != "finish" and self.is_queued(call):
                del self._lanes[call.lane].queue[call]
                return
            if not done and call.outlives_its_caller:
                self._left.add(call)
        if done and call.undo is not None and call.error is None:
            self.soon(functools.partial(call.undo, call.result))
        if not done and call.leaving != "finish":
            call.cancellation.cancel()

    def soon(self, work: Callable[[], object]) -> None:
        """Has something done that nobody waits for. For finalizers: it never blocks and never raises."""
        call = Call(functools.partial(_do_unheard, work), lane="ends", leaving="finish", undo=None)
        call.left = True
        with self._lock:
            if self._closed:
                return
            needy = self._queue(call)
            self._left.add(call)
        # A process that is about to end starts no thread any more.
        with contextlib.suppress(RuntimeError):
            self._start_thread(needy, call)

    def hurry(self, call: Call[Any]) -> None:
        """Takes a call out of the queue of those that wait, if it is still there, to have one look."""
        with self._lock:
            if not self.is_queued(call):
                return
            del self._lanes[call.lane].queue[call]
            call.lane = "acts"
            needy = self._queue(call)
        self._start_thread(needy, call)

    def is_queued(self, call: Call[Any]) -> bool:
        with self._lock:
            return call in self._lanes[call.lane].queue

    def when_done(self, call: Call[Any], wake: Callable[[], None]) -> None:
        with self._lock:
            if not call.done:
                call.wakes.append(wake)
                return
        wake()

    def left(self) -> Collection[Call[Any]]:
        """The calls of now that nobody waits for any more, and that have something to give back."""
        with self._lock:
            return frozenset(self._left)

    def settle(self, calls: Collection[Call[Any]], within_s: float = ABANDON_WITHIN_S) -> None:
        """Waits until these calls have given back what they have to."""
        if calls:
            with self._lock:
                self._ended.wait_for(lambda: self._left.isdisjoint(calls), within_s)

    def close(self) -> None:
        """Ends all calls, waits a moment for what they give back, and ends the threads. From a thread of lane close."""
        with self._lock:
            self._closing = True
            refused = [call for lane in self._lanes.values() for call in lane.queue if call.leaving != "finish"]
            for call in refused:
                del self._lanes[call.lane].queue[call]
            others = {call for call in self._running if call.lane != "close"}
        self._refuse(refused)
        for call in others:
            if call.leaving != "finish":
                call.cancellation.cancel()
        with self._lock:
            ends = self._lanes["ends"]
            self._ended.wait_for(
                lambda: not (self._left or ends.queue) and self._running.isdisjoint(others), ABANDON_WITHIN_S
            )
            self._closed = True
            refused = [call for lane in self._lanes.values() for call in lane.queue]
            for lane in self._lanes.values():
                lane.queue.clear()
                lane.ready.notify_all()
        self._refuse(refused)

    def _refuse(self, calls: Collection[Call[Any]]) -> None:
        for call in calls:
            call.error = ClientClosed()
            self._end(call)

    # ---- Queues --------------------------------------------------------------------------------------------------

    def _queue(self, call: Call[Any]) -> _Lane | None:
        """Queues the call; returns the lane if it needs one more thread, which is counted already."""
        lane = self._lanes[call.lane]
        lane.queue[call] = None
        if len(lane.queue) <= lane.idle:
            lane.ready.notify()
        elif lane.threads < lane.threads_max:
            lane.threads += 1
            lane.idle += 1
            return lane
        return None

    def _start_thread(self, lane: _Lane | None, call: Call[Any]) -> None:
        # Without the lock: a thread that starts takes locks which a finalizer's thread may hold.
        if lane is None:
            return
        try:
            threading.Thread(target=self._serve, args=(lane,), name=f"transferq-{lane.name}", daemon=True).start()
        except RuntimeError:
            with self._lock:
                lane.threads -= 1
                lane.idle -= 1
                # The other threads of the lane have taken it, or will.
                if lane.threads > 0 or call not in lane.queue:
                    return
                del lane.queue[call]
                self._left.discard(call)
            raise

    # ---- On the threads ------------------------------------------------------------------------------------------

    def _serve(self, lane: _Lane) -> None:
        while (call := self._next(lane)) is not None:
            try:
                self._do(call)
            finally:
                with self._lock:
                    lane.idle += 1
            # A call holds its result, and a batch that is held is renewed.
            del call

    def _next(self, lane: _Lane) -> Call[Any] | None:
        with self._lock:
            lane.ready.wait_for(lambda: lane.queue or self._closed, LINGER_S)
            lane.idle -= 1
            if not lane.queue:
                lane.threads -= 1
                return None
            call, _ = lane.queue.popitem(last=False)
            self._running.add(call)
            return call

    def _do(self, call: Call[Any]) -> None:
        try:
            with call.cancellation:
                call.result = call.work()
        except CallCancelled:
            # Seen by nobody but those whose client was closed.
            call.error = ClientClosed()
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            call.error = error
        self._end(call)
        # The error leads to this frame.
        del call

    def _end(self, call: Call[Any]) -> None:
        with self._lock:
            call.done = True
            left = call.left
        # Nobody but this thread sees the result of a call that was left before it was done.
        if left and call.undo is not None and call.error is None:
            _do_unheard(functools.partial(call.undo, call.result))
        with self._lock:
            self._running.discard(call)
            self._left.discard(call)
            self._ended.notify_all()
            wakes, call.wakes = call.wakes, []
        for wake in wakes:
            wake()


def _do_unheard(work: Callable[[], object]) -> None:
    """Errors of the server end here: what was to be given back is given back by the end of its lease."""
    try:
        work()
    except TransferQueueError:
        return
    except Exception as error:  # noqa: BLE001 - a bug, told as that of any other thread
        thread = threading.current_thread()
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))


_all: weakref.WeakSet[Lanes] = weakref.WeakSet()


def _reset_all() -> None:
    for lanes in list(_all):
        lanes.reset()


def _settle_all() -> None:
    ends_at = time.monotonic() + ABANDON_WITHIN_S
    for lanes in list(_all):
        lanes.settle(lanes.left(), ends_at - time.monotonic())


atexit.register(_settle_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)

"""Cancellation of a call from another thread than those that make it.

    threads of the call  with cancellation: ... --> exchange or pause, each interruptible --> CallCancelled
    any other thread     cancellation.cancel() --> interrupts those at hand; none begins any more

Invariants: an interrupt never reaches a connection that the call has given back; after `cancel` has returned, nothing
more of the call is sent; a thread without a cancellation behaves as if this file did not exist.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType


class CallCancelled(Exception):
    """The call was cut from outside. Not one of the typed errors: nothing may handle it as if the server had said it.

    Attributes:
        request_id: id of the request that the server may have acted on; empty when it cannot have done anything.
    """

    def __init__(self, request_id: str = "") -> None:
        super().__init__(request_id)
        self.request_id = request_id


class Cancellation:
    """A switch that cuts what its call is blocked in, now and from now on; a context that makes it the thread's own,
    in each thread that works for the call.

    Attributes:
        half_closes: whether a connection that is cut is still listened to. The server closes it once it has dropped the
            request, or sends an answer that was on its way: either way the caller then knows.
    """

    def __init__(self, *, half_closes: bool = False) -> None:
        self.half_closes = half_closes
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._interrupts: set[Callable[[], None]] = set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """A second call does nothing."""
        # The lock is held during the interrupts, so that the call cannot give a connection to another one meanwhile.
        with self._lock:
            if self.cancelled:
                return
            self._cancelled.set()
            for interrupt in self._interrupts:
                interrupt()

    def wait(self, pause_s: float) -> None:
        """Returns after the pause, or at once when cancelled."""
        self._cancelled.wait(pause_s)

    @contextlib.contextmanager
    def interrupted_by(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `cancel` calls ``interrupt``; raises CallCancelled where it was called before."""
        with self._lock:
            if self.cancelled:
                raise CallCancelled()
            self._interrupts.add(interrupt)
        try:
            yield
        finally:
            with self._lock:
                self._interrupts.discard(interrupt)

    def __enter__(self) -> Cancellation:
        _of_thread.cancellation = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _of_thread.cancellation = None


class _OfThread(threading.local):
    cancellation: Cancellation | None = None


_of_thread = _OfThread()


def current_cancellation() -> Cancellation | None:
    """The cancellation of the call that this thread makes."""
    return _of_thread.cancellation


@contextlib.contextmanager
def uncancelled() -> Iterator[None]:
    """For what must be said after a call was cut: the block runs as if the thread had no cancellation."""
    cancellation, _of_thread.cancellation = _of_thread.cancellation, None
    try:
        yield
    finally:
        _of_thread.cancellation = cancellation

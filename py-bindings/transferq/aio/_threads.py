"""Where event loops meet the threads of a client: a coroutine waits for a call without holding up its loop.

    loop    start the call, wait on a future of the loop ----------------------- wake: take the result
    thread                     the call ------------------> call_soon_threadsafe --^

Invariants: nothing here belongs to a loop for longer than one wait; whoever is cancelled while waiting leaves the call,
and gets CancelledError at once, also when the result was on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from transferq.aio._calls import Call, Leaving, Result
from transferq.aio._lanes import Lanes

# What is left of a wait that is over: it still ends as a wait does, not as a look without one.
LEFT_S_MIN: Final = 1e-3


class Threads(Lanes):
    """The lanes of one client, for coroutines of any event loop."""

    async def run(
        self,
        work: Callable[[], Result],
        *,
        lane: str = "acts",
        leaving: Leaving = "cut",
        undo: Callable[[Result], object] | None = None,
    ) -> Result:
        """The result of the work, done on a thread."""
        return await self.outcome_of(self.start(work, lane=lane, leaving=leaving, undo=undo))

    async def run_waiting(
        self,
        work: Callable[[float | None], Result],
        wait_s: float | None,
        *,
        leaving: Leaving = "cut",
        undo: Callable[[Result], object] | None = None,
        after: Collection[Call[Any]] = (),
    ) -> Result:
        """The result of work that waits for others; it is told how much of ``wait_s`` is left when it begins.

        While WAITS_MAX calls wait, further ones queue; one whose ``wait_s`` ends in the queue has one look then. Before
        it begins, the calls ``after`` which it comes end, or ABANDON_WITHIN_S pass.
        """
        waits = wait_s is None or wait_s > 0
        ends_at = None if wait_s is None else time.monotonic() + wait_s

        def begin() -> Result:
            self.settle(after)
            left_s = wait_s if ends_at is None or not waits else max(ends_at - time.monotonic(), LEFT_S_MIN)
            return work(left_s)

        call = self.start(begin, lane="waits" if waits else "acts", leaving=leaving, undo=undo)
        if wait_s is None or not waits or not self.is_queued(call):
            return await self.outcome_of(call)
        timer = asyncio.get_running_loop().call_later(wait_s, self.hurry, call)
        try:
            return await self.outcome_of(call)
        finally:
            timer.cancel()

    async def outcome_of(self, call: Call[Result], *, leaves: bool = True) -> Result:
        """The result of a call. Whoever is cancelled meanwhile leaves it, unless it is asked for again later."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_set, woken)

        self.when_done(call, wake)
        try:
            await woken
        except GeneratorExit:
            # The garbage collector ends a coroutine whose loop has ended, wherever it happens to run.
            if leaves:
                self.soon(functools.partial(self.leave, call))
            raise
        except BaseException:
            if leaves:
                self.leave(call)
            raise
        return call.take()


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)

"""Asynchronous iterations over batches: `consume` and `scan`.

They are classes and no asynchronous generators, which nobody closes when a loop is left by ``break`` or an exception:
these let go of what they hold as soon as nothing refers to them any more.

Invariants: a batch of `Batches` is acked by its user or released by the loop, in whatever way the loop ends; a step
that is cancelled loses nothing: the next one goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import TypeVar

import transferq
from transferq.aio._batch import Batch, abandon
from transferq.aio._calls import Call
from transferq.aio._threads import Threads
from transferq.errors import Drained, TimedOut, TransferQueueError

Steps = TypeVar("Steps", bound="_Steps")


class _Steps(ABC, AsyncIterator[Batch]):
    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._stepping = False
        self._ended = False

    def __aiter__(self: Steps) -> Steps:
        return self

    async def __anext__(self) -> Batch:
        self._check_idle()
        if self._ended:
            raise StopAsyncIteration
        self._stepping = True
        try:
            batch = await self._step()
        finally:
            self._stepping = False
        if batch is None:
            self._ended = True
            raise StopAsyncIteration
        return batch

    async def __aenter__(self: Steps) -> Steps:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the iteration, and waits until what it held is let go. A second call does nothing."""
        self._check_idle()
        self._ended = True
        await self._let_go()

    def _check_idle(self) -> None:
        if self._stepping:
            raise RuntimeError("One task at a time iterates; give each task an iterator of its own.")

    @abstractmethod
    async def _step(self) -> Batch | None:
        """The next batch; None at the end."""

    @abstractmethod
    async def _let_go(self) -> None:
        """Gives back what is held for the iteration."""


class Batches(_Steps):
    """Claims batch after batch; made by `Partition.consume`. For one task at a time.

    The batch at hand is released when the next one is asked for, unless it was acked or released by then, and when
    the loop is left in whatever way: at once, on a thread of the client. A claim that follows on the same client comes
    after it. To wait for the release itself, use it as a context:
    ``async with train.consume(...) as batches``.
    """

    def __init__(self, threads: Threads, claim: Callable[[], Awaitable[Batch | TimedOut | Drained]]) -> None:
        super().__init__(threads)
        self._claim = claim
        self._hand: Batch | None = None

    async def _step(self) -> Batch | None:
        await self._let_go()
        outcome = await self._claim()
        if isinstance(outcome, Drained):
            return None
        if isinstance(outcome, TimedOut):
            raise outcome
        self._hand = outcome
        return outcome

    async def _let_go(self) -> None:
        hand, self._hand = self._hand, None
        if hand is not None and hand.held:
            # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
            with contextlib.suppress(TransferQueueError):
                await self._threads.run(abandon(hand), lane="ends", leaving="finish")

    def __del__(self) -> None:
        if self._hand is not None and self._hand.held:
            self._threads.soon(abandon(self._hand))


class Pages(_Steps):
    """The rows of a range of ids, page by page; made by `Partition.scan`. For one task at a time."""

    def __init__(self, threads: Threads, pages: Iterator[transferq.Batch]) -> None:
        super().__init__(threads)
        self._pages = pages
        # The page that was asked for: the step after one that was cancelled waits for it too.
        self._next: Call[transferq.Batch | None] | None = None

    async def _step(self) -> Batch | None:
        if self._next is None:
            self._next = self._threads.start(lambda: next(self._pages, None))
        try:
            page = await self._threads.outcome_of(self._next, leaves=False)
        except Exception:
            self._next = None
            raise
        self._next = None
        return None if page is None else Batch(self._threads, page)

    async def _let_go(self) -> None:
        if self._next is not None:
            self._threads.leave(self._next)

    def __del__(self) -> None:
        if self._next is not None:
            self._threads.soon(functools.partial(self._threads.leave, self._next))

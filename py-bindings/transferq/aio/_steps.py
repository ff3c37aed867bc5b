"""Asynchronous iterations: `consume` and `scan` over batches, `watch` over changes.

They are classes and no asynchronous generators, which nobody closes when a loop is left by ``break`` or an exception:
these let go of what they hold as soon as nothing refers to them any more.

Invariants: a batch of `Batches` is acked by its user or released by the loop, in whatever way the loop ends; a step
that is cancelled loses nothing: the next one goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import transferq
from transferq._watch import Change, Watcher
from transferq.aio._batch import Batch, abandon
from transferq.aio._calls import Call
from transferq.aio._threads import Threads
from transferq.errors import TransferQueueError

Item = TypeVar("Item")
Asked = TypeVar("Asked")
Steps = TypeVar("Steps", bound="_Steps[Any]")


class _Steps(ABC, AsyncIterator[Item]):
    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._stepping = False
        self._ended = False

    def __aiter__(self: Steps) -> Steps:
        return self

    async def __anext__(self) -> Item:
        self._check_idle()
        if self._ended:
            raise StopAsyncIteration
        self._stepping = True
        try:
            item = await self._step()
        finally:
            self._stepping = False
        if item is None:
            self._ended = True
            raise StopAsyncIteration
        return item

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
    async def _step(self) -> Item | None:
        """The next item; None at the end."""

    @abstractmethod
    async def _let_go(self) -> None:
        """Gives back what is held for the iteration."""


class Batches(_Steps[Batch]):
    """Claims batch after batch; made by `Partition.consume`. For one task at a time.

    The batch at hand is released when the next one is asked for, unless it was acked or released by then, and when
    the loop is left in whatever way: at once, on a thread of the client. A claim that follows on the same client comes
    after it. To wait for the release itself, use it as a context:
    ``async with train.consume(...) as batches``.
    """

    def __init__(self, threads: Threads, claim: Callable[[], Awaitable[Batch | None]]) -> None:
        super().__init__(threads)
        self._claim = claim
        self._hand: Batch | None = None

    async def _step(self) -> Batch | None:
        await self._let_go()
        self._hand = await self._claim()
        return self._hand

    async def _let_go(self) -> None:
        hand, self._hand = self._hand, None
        if hand is not None and hand.held:
            # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
            with contextlib.suppress(TransferQueueError):
                await self._threads.run(abandon(hand), lane="ends", leaving="finish")

    def __del__(self) -> None:
        if self._hand is not None and self._hand.held:
            self._threads.soon(abandon(self._hand))


class _Asked(_Steps[Item], Generic[Item, Asked]):
    """Steps that ask the server for several items at a time. What was asked for is not lost with the step."""

    def __init__(self, threads: Threads) -> None:
        super().__init__(threads)
        # The step after one that was cancelled waits for the same call.
        self._call: Call[Asked] | None = None

    async def _ask(self, work: Callable[[], Asked], *, lane: str) -> Asked:
        if self._call is None:
            self._call = self._threads.start(work, lane=lane)
        try:
            found = await self._threads.outcome_of(self._call, leaves=False)
        except Exception:
            self._call = None
            raise
        self._call = None
        return found

    async def _let_go(self) -> None:
        if self._call is not None:
            self._threads.leave(self._call)

    def __del__(self) -> None:
        if self._call is not None:
            self._threads.soon(functools.partial(self._threads.leave, self._call))


class Pages(_Asked[Batch, "transferq.Batch | None"]):
    """The rows of a range of ids, page by page; made by `Partition.scan`. For one task at a time."""

    def __init__(self, threads: Threads, pages: Iterator[transferq.Batch]) -> None:
        super().__init__(threads)
        self._pages = pages

    async def _step(self) -> Batch | None:
        page = await self._ask(lambda: next(self._pages, None), lane="acts")
        return None if page is None else Batch(self._threads, page)


class Changes(_Asked[Change, "list[Change]"]):
    """The changes of a partition; made by `Partition.watch`. For one task at a time.

    The watch begins with the first step, or before it where it is used as a context:
    ``async with train.watch() as changes``.
    """

    def __init__(self, threads: Threads, watcher: Watcher) -> None:
        super().__init__(threads)
        self._watcher = watcher
        self._changes: deque[Change] = deque()

    async def __aenter__(self) -> Changes:
        await self._threads.run(self._watcher.begin)
        return self

    async def _step(self) -> Change | None:
        if not self._changes:
            self._changes.extend(await self._ask(self._watcher.changes, lane="waits"))
        return self._changes.popleft() if self._changes else None

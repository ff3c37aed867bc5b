"""One call: work for a thread, and a caller who may leave before it is done.

    queued --> running --> done: result or error; whoever waits is woken
       |          |
       +----------+-- the caller leaves: what it does then is the call's `Leaving`

Invariants: fields change under the lock of `Threads` only; a call runs once at most; the result of a call whose caller
left goes to `undo`, and to nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar, cast

from transferq._cancel import Cancellation

Result = TypeVar("Result")

# What a call does when its caller leaves.
#   cut     ends at once: its connection is closed
#   settle  ends at once, and takes back what the server did for it
#   finish  goes on, heard by nobody: a few bytes that should be said
Leaving: TypeAlias = Literal["cut", "settle", "finish"]


class Call(Generic[Result]):
    """Work that runs on a thread of the client."""

    __slots__ = (
        "cancellation",
        "done",
        "error",
        "lane",
        "leaving",
        "left",
        "result",
        "undo",
        "wakes",
        "work",
    )

    def __init__(
        self, work: Callable[[], Result], *, lane: str, leaving: Leaving, undo: Callable[[Result], object] | None
    ) -> None:
        self.work = work
        self.lane = lane
        self.leaving = leaving
        # Gives back what the result holds on the server.
        self.undo = undo
        self.cancellation = Cancellation(half_closes=leaving == "settle")
        self.done = False
        self.left = False
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.wakes: list[Callable[[], None]] = []

    @property
    def outlives_its_caller(self) -> bool:
        """Whether there is something to wait for once the caller has left."""
        return self.leaving != "cut" or self.undo is not None

    def take(self) -> Result:
        """The result of a call that is done; raises its error. Once: an error leads to the frames that it went through,
        and neither would be freed by itself if these led to the error."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        result, self.result = self.result, None
        return cast("Result", result)

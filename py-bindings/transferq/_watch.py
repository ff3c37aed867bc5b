"""Watching a partition: its changes as they are committed, by one request at a time that waits at the server.

    begin --LSN of now--> request after it --changes--> request after the last of them --> ...

Invariants: no change is given twice; where some were not kept, a change ``"missed"`` stands in their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from transferq._http import Origin
from transferq._read import Wait, wait_slice_s
from transferq._transport import Request
from transferq.errors import AnswerInvalid, FixRequest

if TYPE_CHECKING:
    from transferq._partition import Partition

MISSED: Final = "missed"


@dataclass(frozen=True)
class Change:
    """One change of a partition.

    Attributes:
        lsn: its LSN.
        change: ``"put"``, ``"delete"``, ``"tag"``, ``"seal"``, ``"claim"``, ``"ack"``, ``"release"``, and others as
            the server has them; ``"missed"`` where changes went by that it did not keep: list the rows anew then.
        rows: how many rows it is about.
        ids: their ids; of many rows the first 256.
        fields: the fields that a put brought.
        task: the task of a claim, an ack or a release; else None.
    """

    lsn: int
    change: str
    rows: int = 0
    ids: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    task: str | None = None


class Watcher:
    """Where a watch stands: per node the LSN up to which it has seen the changes. The next to be asked comes first."""

    def __init__(self, partition: Partition, after_lsn: int | None, wait_s: float | None) -> None:
        self._partition = partition
        self._after_lsn = after_lsn
        self._wait_s = wait_s
        self._seen: dict[Origin, int] = {}

    def begin(self) -> None:
        """Notes what each node has now, where that is not noted yet."""
        origins = self._partition.client.shards.current.origins
        if self._after_lsn is not None and len(origins) > 1:
            raise FixRequest("Each node has LSNs of its own; watch from now on.", code="query_invalid")
        for origin in origins:
            if origin not in self._seen:
                after = self._after_lsn
                self._seen[origin] = self._ask(origin, None, Wait(0))[0] if after is None else after

    def changes(self) -> list[Change]:
        """The changes since the last call; none when nothing changed for as long as the watch waits."""
        self.begin()
        wait = Wait(self._wait_s)
        while True:
            for origin, seen in list(self._seen.items()):
                part = wait if len(self._seen) == 1 else wait.part(wait_slice_s(len(self._seen)))
                lsn, found = self._ask(origin, seen, part)
                # It goes to the end: one that always has changes does not keep the others waiting.
                del self._seen[origin]
                self._seen[origin] = lsn
                if found:
                    return found
            if wait.left_s() <= 0:
                return []

    def _ask(self, origin: Origin, after_lsn: int | None, wait: Wait) -> tuple[int, list[Change]]:
        """The LSN that was looked up to, and the changes between."""
        client = self._partition.client
        wait_ms = wait.next_ms(client.limits()["wait_ms_max"])
        query = {"wait_ms": wait_ms} if after_lsn is None else {"wait_ms": wait_ms, "after_lsn": after_lsn}
        request = Request("GET", f"{self._partition.target}:watch?{urlencode(query)}")
        answer = client.transport.call(origin, request, wait_s=wait_ms / 1000)
        lsn, body = answer.value("lsn", int), answer.json()
        try:
            found = [_change_of(entry) for entry in body["changes"]]
            missed = [Change(max(after_lsn or 0, 0), MISSED)] if body["missed"] else []
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerInvalid("The changes of the partition are not understood.", status=answer.status) from error
        return lsn, missed + found


def _change_of(entry: dict[str, Any]) -> Change:
    return Change(
        lsn=int(entry["lsn"]),
        change=str(entry["change"]),
        rows=int(entry.get("rows", 0)),
        ids=tuple(map(int, entry.get("ids") or ())),
        fields=tuple(entry.get("fields") or ()),
        task=entry.get("task"),
    )


def watch(self: Partition, *, after_lsn: int | None = None, wait_s: float | None = None) -> Iterator[Change]:
    """The changes of the partition, as they are committed, for as long as nothing is said to the contrary.

    Args:
        after_lsn: only changes after this one, as far as the server has kept them; default: those from now on.
        wait_s: the watch ends when nothing changed for so long (seconds); default: it does not end.

    Yields:
        Changes; see `Change`.

    >>> changes = train.watch(wait_s=5)
    >>> lsn = train.tag([8], {"status": "finished"})
    >>> change = next(changes)
    >>> change.change, change.ids, change.lsn == lsn
    ('tag', (8,), True)
    """
    watcher = Watcher(self, after_lsn, wait_s)
    watcher.begin()
    return _changes(watcher)


def _changes(watcher: Watcher) -> Iterator[Change]:
    while found := watcher.changes():
        yield from found

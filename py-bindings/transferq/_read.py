"""Reads: ids split by node and by the server's limits, waits split into requests, answers merged in the order asked.

    ids --per node--> pieces --answer too large: halves--> requests, each of at most wait_ms_max --> parts --> batch

Invariants: a read gives all rows asked for or raises; a wait ends as rows, TimedOut or Drained, never as anything else.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferq._batch import Batch, Part
from transferq._blob_calls import FetchedBlobs
from transferq._http import Answer, Origin
from transferq._protocol import HEADERS, OUTCOMES
from transferq._shards import Positions
from transferq._snapshots import Snapshot, lsn_for
from transferq._transport import Request
from transferq.errors import AnswerInvalid, AnswerTooLarge, Drained, FixRequest, RowsMissing, TimedOut

if TYPE_CHECKING:
    from transferq._partition import Partition

# Digits of the largest id, and a comma.
ID_JSON_SIZE_MAX: Final = 17
# Room in a JSON body for what is neither ids nor field names.
JSON_MARGIN: Final = 512


def field_names(fields: Sequence[str] | None) -> list[str] | None:
    """The names as a list; raises FixRequest for one bare name, which would be taken for a list of letters."""
    if isinstance(fields, str):
        raise FixRequest(f"fields must be a list of names: [{fields!r}], not {fields!r}.", code="json_invalid")
    return None if fields is None else list(fields)


class Wait:
    """What remains of a wait that may take several requests.

    Attributes:
        asked: whether there is a wait, and not only a look.
        final: whether its end is the end of the whole wait, of which it may be a part.
    """

    def __init__(self, wait_s: float | None) -> None:
        self.asked = wait_s is None or wait_s > 0
        self.final = True
        self._began_at = time.monotonic()
        self._ends_at = math.inf if wait_s is None else self._began_at + wait_s

    def part(self, part_s: float) -> Wait:
        """The next part of it, of this length at most."""
        left_s = self.left_s()
        part = Wait(min(part_s, left_s))
        part.asked = self.asked
        part.final = left_s <= part_s
        part._began_at = self._began_at
        return part

    def left_s(self) -> float:
        """Seconds left, 0 at the end; infinite for a wait without an end."""
        return max(0.0, self._ends_at - time.monotonic())

    def waited_s(self) -> float:
        """Seconds since the whole wait began."""
        return time.monotonic() - self._began_at

    def next_ms(self, wait_ms_max: int) -> int:
        """How long the next request may wait. One that is over when it is sent still ends as a wait does, not as a
        look without one."""
        return max(int(self.asked), math.ceil(min(self.left_s() * 1000, wait_ms_max)))


def ask(
    partition: Partition, origin: Origin, verb: str, body: dict[str, Any], wait: Wait
) -> Answer | TimedOut | Drained:
    """Asks until there are rows, the wait is over or the partition is drained; errors are raised."""
    while True:
        outcome = ask_once(partition, origin, verb, body, wait)
        if not isinstance(outcome, TimedOut) or wait.left_s() <= 0:
            return outcome


def ask_once(
    partition: Partition, origin: Origin, verb: str, body: dict[str, Any], wait: Wait
) -> Answer | TimedOut | Drained:
    """One request, which takes what is left of the wait, or as much of it as the server allows."""
    wait_ms = wait.next_ms(partition.client.limits()["wait_ms_max"])
    encoded = json.dumps({**body, "wait_ms": wait_ms}, separators=(",", ":")).encode()
    request = Request("POST", f"{partition.target}/{verb}", encoded, reads=True)
    answer = partition.client.transport.call(origin, request, wait_s=wait_ms / 1000)
    outcome = answer.headers.get(HEADERS["outcome"])
    if outcome == OUTCOMES["rows"]:
        return answer
    if outcome == OUTCOMES["drained"]:
        return Drained(details=_counts(answer))
    if outcome != OUTCOMES["timed_out"]:
        raise AnswerInvalid(f"The answer has the outcome {outcome!r}.", status=answer.status)
    return TimedOut(details=_counts(answer))


def _counts(answer: Answer) -> dict[str, Any]:
    counts = answer.json()
    if not isinstance(counts, dict):
        raise AnswerInvalid("The counts of the answer are not understood.", status=answer.status)
    return {name: value for name, value in counts.items() if name != "outcome"}


def _rows_or_raise(answer: Answer | TimedOut | Drained) -> Answer:
    if isinstance(answer, Answer):
        return answer
    raise answer


@dataclass(frozen=True)
class Wanted:
    """What to read of rows, and in which state; None is all fields, and the state of now."""

    fields: list[str] | None
    lsn: int | Snapshot | None

    def at(self, partition: Partition, origin: Origin) -> dict[str, Any]:
        """The part of a request to one node that says so."""
        body: dict[str, Any] = {} if self.fields is None else {"fields": self.fields}
        if self.lsn is not None:
            body["lsn"] = lsn_for(self.lsn, origin, len(partition.client.shards.current.origins))
        return body


def read_ids(partition: Partition, ids: NDArray[np.int64], wanted: Wanted, wait_s: float) -> Batch:
    """The rows of these ids, in this order."""
    wait = Wait(wait_s)
    limits = partition.client.limits()
    room = limits["json_body_bytes_max"] - len(json.dumps(wanted.fields)) - JSON_MARGIN
    rows_max = max(1, min(limits["read_rows_max"], room // ID_JSON_SIZE_MAX))

    def on_node(origin: Origin, positions: Positions) -> list[Part]:
        mine = ids if positions is None else ids[positions]
        starts = range(0, max(len(mine), 1), rows_max)
        return [part for start in starts for part in pieces(origin, mine[start : start + rows_max])]

    def pieces(origin: Origin, some: NDArray[np.int64]) -> Iterator[Part]:
        try:
            named = {"ids": some.tolist(), **wanted.at(partition, origin)}
            answer = _rows_or_raise(ask(partition, origin, "rows:read", named, wait))
        except AnswerTooLarge:
            if len(some) <= 1:
                raise
        else:
            yield _checked(part_of(partition, origin, answer), len(some))
            return
        middle = len(some) // 2
        yield from pieces(origin, some[:middle])
        yield from pieces(origin, some[middle:])

    results = partition.client.shards.on_nodes(ids, partition.group_size, on_node)
    parts = [part for _, some in results for part in some]
    placed = [positions for positions, _ in results if positions is not None]
    order = np.argsort(np.concatenate(placed), kind="stable") if placed else None
    return Batch(parts, order=order)


def part_of(partition: Partition, origin: Origin, answer: Answer) -> Part:
    """The rows of an answer, which know where the blobs are that they name."""
    return Part(answer, FetchedBlobs(partition.client, origin, partition.target))


def _checked(part: Part, rows: int) -> Part:
    if len(part) != rows:
        raise AnswerInvalid(f"The answer holds {len(part)} rows instead of {rows}.")
    return part


def read_pages(partition: Partition, start: int, end: int, wanted: Wanted, rows_max: int) -> Iterator[Batch]:
    """The rows of a range of ids, page by page; on several nodes one node after the other."""
    rows_max = min(rows_max, partition.client.limits()["read_rows_max"])
    for origin in partition.client.shards.current.origins:
        at: int | None = start
        rows = rows_max
        while at is not None and at < end:
            page = {"range": {"start": at, "end": end, "rows_max": rows}, **wanted.at(partition, origin)}
            try:
                answer = _rows_or_raise(ask(partition, origin, "rows:read", page, Wait(0)))
            except AnswerTooLarge:
                if rows == 1:
                    raise
                rows //= 2
                continue
            part = part_of(partition, origin, answer)
            if len(part):
                yield Batch([part])
            at = answer.number("next") if HEADERS["next"] in answer.headers else None


def read_newest(partition: Partition, fields: list[str] | None, after_lsn: int, wait_s: float) -> Batch:
    """The row with the highest LSN above ``after_lsn`` that has all the fields."""
    body: dict[str, Any] = {"newest": {"after_lsn": after_lsn}}
    if fields is not None:
        body["fields"] = fields
    origins = partition.client.shards.current.origins
    wait = Wait(wait_s)
    if len(origins) == 1:
        answer = _rows_or_raise(ask(partition, origins[0], "rows:read", body, wait))
        return Batch([part_of(partition, origins[0], answer)])
    while True:
        slice_s = min(wait_slice_s(len(origins)), wait.left_s())
        found = [part for origin in origins if (part := _newest_of(partition, origin, body, slice_s)) is not None]
        if found:
            return Batch([max(found, key=lambda part: part.lsn)])
        if wait.left_s() <= 0:
            raise TimedOut() if wait_s > 0 else RowsMissing()


def _newest_of(partition: Partition, origin: Origin, body: dict[str, Any], wait_s: float) -> Part | None:
    try:
        answer = ask(partition, origin, "rows:read", body, Wait(wait_s))
    except RowsMissing:
        return None
    return part_of(partition, origin, answer) if isinstance(answer, Answer) else None


def wait_slice_s(nodes: int) -> float:
    """How long one of several nodes is asked to wait before the next is asked."""
    return 1.0 / nodes

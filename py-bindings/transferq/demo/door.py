"""A worker's door to one partition: every call goes through it and leaves its two lines in the worker's history.

    claims()   parked waits for the rows of a task, one claim at a time, until the partition is sealed and drained
    finish()   put-with-ack: results in, tagged with their version, and claim acked as one event
    advance()  the version that the window and the pace of the partition go by
    newest()   the newest row, when it is newer than the last one that was seen here

Invariant: a call is noted before it is made, so a call without an answer line has an unknown outcome, never none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transferq import ClaimStale, ClaimUnknown, WaitForOthers
from transferq.demo.columns import Rows, as_put, evidence_of, rows_of
from transferq.demo.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transferq import Batch, Partition
    from transferq.demo.history import History
    from transferq.demo.settings import Settings

WAIT_S_MAX = 5.0


class StoreSilentError(Exception):
    """Nothing came for longer than the settings allow."""


@dataclass(frozen=True)
class Held:
    """A claim that this worker holds: its call number in the history, its batch, and the batch's columns."""

    call: int
    batch: Batch
    rows: Rows

    @property
    def ids(self) -> list[int]:
        ids: list[int] = self.batch.index_ids.tolist()
        return ids


class Door:
    """Calls to one partition, noted in a history."""

    def __init__(self, partition: Partition, history: History) -> None:
        self._partition = partition
        self._history = history
        self._newest_lsn = 0

    def claims(
        self, task: str, fields: Sequence[str], *, rows_max: int, rows_min: int, sampler: str, settings: Settings
    ) -> Iterator[Held]:
        """Claims of `task`, one at a time, until no more rows come. Each must be ended by `finish`."""
        batches = self._partition.consume(
            task=task,
            fields=fields,
            batch_size=rows_max,
            rows_min=rows_min,
            sampler=sampler,
            wait_s=settings.silence_s_max,
            lease_s=settings.lease_s,
        )
        while True:
            name = self._partition.name
            call = self._history.invoke("claim", partition=name, task=task, lease_s=settings.lease_s)
            batch = next(batches, None)
            if batch is None:
                self._history.answer(call, "drained")
                return
            held = Held(call, batch, rows_of(batch, fields))
            self._history.answer(call, "ok", attempts=batch.attempts.tolist(), **evidence_of(held.ids, held.rows))
            yield held

    def put(self, rows: Rows, ids: Sequence[int], *, wait_s: float = 0.0) -> None:
        """Put new rows; where the partition has a pace, after at most `wait_s`."""
        call = self._history.invoke("put", partition=self._partition.name, **evidence_of(ids, rows))
        self._partition.put(_values(rows), index_ids=ids, wait_s=wait_s)
        self._history.answer(call, "ok")

    def finish(self, held: Held, results: Rows, *, version: int | None = None) -> bool:
        """End a claim with its results, tagged with the version that made them; False when the lease was lost, then
        nothing was written."""
        versions = None if version is None else [version] * len(held.ids)
        evidence = evidence_of(held.ids, results, versions)
        call = self._history.invoke("put", partition=self._partition.name, acks=held.call, **evidence)
        tags = None if version is None else {VERSION: version}
        try:
            self._partition.put(_values(results), index_ids=held.ids, tags=tags, claim=held.batch)
        except (ClaimStale, ClaimUnknown):
            self._history.answer(call, "refused")
            return False
        self._history.answer(call, "ok")
        return True

    def newest(self, fields: Sequence[str], *, wait_s: float) -> Rows | None:
        """The newest row if it is newer than the last one returned here, after at most `wait_s`; else None."""
        call = self._history.invoke("read", partition=self._partition.name)
        try:
            batch = self._partition.newest(fields=fields, after_lsn=self._newest_lsn, wait_s=wait_s)
        except WaitForOthers:
            self._history.answer(call, "nothing")
            return None
        self._newest_lsn = batch.lsn
        rows = rows_of(batch, fields)
        self._history.answer(call, "ok", **evidence_of(batch.index_ids.tolist(), rows))
        return rows

    def newest_within(self, fields: Sequence[str], *, silence_s_max: float) -> Rows:
        """As `newest`, but it must come; raises StoreSilentError when it does not."""
        deadline = time.monotonic() + silence_s_max
        while (left_s := deadline - time.monotonic()) > 0:
            rows = self.newest(fields, wait_s=min(left_s, WAIT_S_MAX))
            if rows is not None:
                return rows
        raise StoreSilentError(f"no new row in partition {self._partition.name} for {silence_s_max:.0f} s")

    def row(self, row_id: int, fields: Sequence[str], *, silence_s_max: float) -> Rows:
        """One row by its id, waited for; raises StoreSilentError when it does not come."""
        call = self._history.invoke("read", partition=self._partition.name)
        try:
            batch = self._partition.get([row_id], fields=fields, wait_s=silence_s_max)
        except WaitForOthers as error:
            self._history.answer(call, "nothing")
            raise StoreSilentError(f"row {row_id} of {self._partition.name} did not come") from error
        rows = rows_of(batch, fields)
        self._history.answer(call, "ok", **evidence_of([row_id], rows))
        return rows

    def delete(self, ids: Sequence[int]) -> None:
        """Delete rows that nobody needs any more."""
        self._partition.delete(ids)

    def advance(self, version: int) -> None:
        """Say which version of the policy is trained now."""
        call = self._history.invoke("advance", partition=self._partition.name, version=version)
        self._partition.advance(version)
        self._history.answer(call, "ok")

    def seal(self) -> None:
        """Say that no more rows come."""
        self._partition.seal()


def _values(rows: Rows) -> dict[str, object]:
    return {field: as_put(column) for field, column in rows.items()}

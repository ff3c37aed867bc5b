"""A worker's door to one partition: every call goes through it and leaves its two lines in the worker's history.

    claims()   parked waits for the rows of a task, one claim at a time, until the partition is sealed and drained
    finish()   put-with-ack: results in and claim acked as one event; without results a plain ack
    newest()   the newest row, when it is newer than the last one that was seen here

Invariant: a call is noted before it is made, so a call without an answer line has an unknown outcome, never none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transferq import ClaimStale, ClaimUnknown, WaitForOthers
from transferq.demo.columns import Rows, as_put, byte_count, row_digests, rows_of

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
            self._history.answer(call, "ok", attempts=batch.attempts.tolist(), **_evidence(held.ids, held.rows))
            yield held

    def put(self, rows: Rows, ids: Sequence[int]) -> None:
        """Put new rows."""
        call = self._history.invoke("put", partition=self._partition.name, **_evidence(ids, rows))
        self._partition.put(_values(rows), index_ids=ids)
        self._history.answer(call, "ok")

    def finish(self, held: Held, results: Rows | None = None) -> bool:
        """End a claim, with its results if it has any; False when the lease was lost, then nothing was written."""
        name = self._partition.name
        if results is None:
            call = self._history.invoke("ack", partition=name, acks=held.call)
        else:
            call = self._history.invoke("put", partition=name, acks=held.call, **_evidence(held.ids, results))
        try:
            if results is None:
                held.batch.ack()
            else:
                self._partition.put(_values(results), index_ids=held.ids, claim=held.batch)
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
        self._history.answer(call, "ok", **_evidence(batch.index_ids.tolist(), rows))
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
        self._history.answer(call, "ok", **_evidence([row_id], rows))
        return rows

    def seal(self) -> None:
        """Say that no more rows come."""
        self._partition.seal()


def _values(rows: Rows) -> dict[str, object]:
    return {field: as_put(column) for field, column in rows.items()}


def _evidence(ids: Sequence[int], rows: Rows) -> dict[str, object]:
    """What a history says of rows that were written or read."""
    return {
        "ids": list(ids),
        "digests": {field: row_digests(column) for field, column in rows.items()},
        "bytes": sum(map(byte_count, rows.values())),
    }

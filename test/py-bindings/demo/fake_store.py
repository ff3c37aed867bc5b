"""A store in memory with the calls that the demo makes, for threads of one process; and with bugs, planted on demand.

    FakeStore --partition()--> FakePartition --put, get, newest, consume, seal--> Column, as the package's own

Leases expire by the real clock. A planted bug must be found by the demo's own check of its histories.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transferq import ClaimStale, Dense, Ragged, Scalar, TimedOut
from transferq._columns import Column

BUGS = ("lose_put", "grant_leased", "grant_acked", "flip_bit")


@dataclass
class TaskRow:
    """Where one row stands for one task."""

    attempt: int = 0
    lease_ends_at: float = 0.0
    consumed: bool = False
    spoiled: bool = False  # a planted bug has had this row


@dataclass
class FakeBatch:
    """Rows that were read or claimed."""

    partition: FakePartition
    index_ids: np.ndarray
    columns: dict[str, Column]
    lsn: int
    task: str = ""
    attempts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def ack(self) -> None:
        self.partition.ack(self)


class FakeStore:
    """Holds partitions by name; `bug` is one of BUGS or nothing."""

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        self.partitions: dict[str, FakePartition] = {}
        self._lock = threading.Lock()

    def partition(self, name: str, *, fields: Mapping[str, Any], group_size: int = 1) -> FakePartition:
        with self._lock:
            if name not in self.partitions:
                self.partitions[name] = FakePartition(name, fields, group_size, self.bug)
            return self.partitions[name]


class FakePartition:
    """Cells by row and field, and the state of each (task, row)."""

    def __init__(self, name: str, fields: Mapping[str, Any], group_size: int, bug: str) -> None:
        self.name = name
        self.fields = dict(fields)
        self.group_size = group_size
        self.sealed = False
        self._bug = bug
        self._rows: dict[int, dict[str, np.ndarray]] = {}
        self._tasks: dict[str, dict[int, TaskRow]] = {}
        self._lsn = 0
        self._newest_id = -1
        self._changed = threading.Condition()

    # ---- Rows ----------------------------------------------------------------------------------------------------

    def put(self, values: Mapping[str, Any], *, index_ids: Sequence[int], claim: FakeBatch | None = None) -> None:
        with self._changed:
            if claim is not None:
                self._ack(claim)
            if self._bug == "lose_put" and claim is None and len(self._rows) > 0:
                self._bug = ""
                return
            for position, row in enumerate(map(int, index_ids)):
                cells = {name: np.array(column[position]) for name, column in values.items()}
                self._rows.setdefault(row, {}).update(cells)
                self._newest_id = row
            self._lsn += 1
            self._changed.notify_all()

    def get(self, ids: Sequence[int], *, fields: Sequence[str], wait_s: float) -> FakeBatch:
        with self._changed:
            self._wait(lambda: all(self._has(row, fields) for row in ids), wait_s)
            return self._batch(list(ids), fields)

    def newest(self, *, fields: Sequence[str], after_lsn: int, wait_s: float) -> FakeBatch:
        with self._changed:
            self._wait(lambda: self._lsn > after_lsn, wait_s)
            return self._batch([self._newest_id], fields)

    def seal(self) -> None:
        with self._changed:
            self.sealed = True
            self._changed.notify_all()

    # ---- Claims --------------------------------------------------------------------------------------------------

    def consume(
        self,
        *,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int,
        sampler: str,
        wait_s: float,
        lease_s: float,
    ) -> Iterator[FakeBatch]:
        while True:
            with self._changed:
                deadline = time.monotonic() + wait_s
                while len(picked := self._pick(task, fields, batch_size, sampler)) < rows_min:
                    if self.sealed and self._is_drained(task):
                        return
                    if time.monotonic() > deadline:
                        raise TimedOut(f"{task} got no rows")
                    self._changed.wait(0.05)
                batch = self._grant(task, picked, fields, lease_s)
            yield batch

    def ack(self, batch: FakeBatch) -> None:
        with self._changed:
            self._ack(batch)
            self._changed.notify_all()

    def _pick(self, task: str, fields: Sequence[str], rows_max: int, sampler: str) -> list[int]:
        ready = [row for row in sorted(self._rows) if self._has(row, fields) and self._is_free(task, row)]
        if sampler != "group":
            return ready[:rows_max]
        size = self.group_size
        whole = [row for row in ready if row % size == 0 and set(range(row, row + size)) <= set(ready)]
        return [row + member for row in whole[: rows_max // size] for member in range(size)]

    def _is_free(self, task: str, row: int) -> bool:
        state = self._states(task).setdefault(row, TaskRow())
        wrong = not state.spoiled and task == "reward" and row < 8 and state.attempt > 0
        if wrong and ((self._bug == "grant_acked" and state.consumed) or self._bug == "grant_leased"):
            state.spoiled = True
            state.consumed = False
            return True
        return not state.consumed and state.lease_ends_at <= time.monotonic()

    def _grant(self, task: str, rows: list[int], fields: Sequence[str], lease_s: float) -> FakeBatch:
        for row in rows:
            state = self._states(task)[row]
            state.attempt += 1
            state.lease_ends_at = time.monotonic() + lease_s
        batch = self._batch(rows, fields)
        batch.task = task
        batch.attempts = np.array([self._states(task)[row].attempt for row in rows], np.int32)
        return batch

    def _ack(self, batch: FakeBatch) -> None:
        states = self._states(batch.task)
        held = zip(batch.index_ids.tolist(), batch.attempts.tolist(), strict=True)
        if not all(states[row].attempt == attempt and not states[row].consumed for row, attempt in held):
            raise ClaimStale
        for row in batch.index_ids.tolist():
            states[row].consumed = True

    def _states(self, task: str) -> dict[int, TaskRow]:
        return self._tasks.setdefault(task, {})

    def _is_drained(self, task: str) -> bool:
        states = self._states(task)
        return len(states) >= len(self._rows) and all(state.consumed for state in states.values())

    # ---- Inside the lock -----------------------------------------------------------------------------------------

    def _has(self, row: int, fields: Sequence[str]) -> bool:
        return all(name in self._rows.get(row, {}) for name in fields)

    def _wait(self, condition: Any, wait_s: float) -> None:
        if not self._changed.wait_for(condition, wait_s):
            raise TimedOut("the rows did not come")

    def _batch(self, rows: list[int], fields: Sequence[str]) -> FakeBatch:
        columns = {name: _column(self.fields[name], [self._rows[row][name] for row in rows]) for name in fields}
        if self._bug == "flip_bit" and "ref_logp" in columns:
            columns["ref_logp"].values.view(np.uint8)[0] ^= 1
        return FakeBatch(self, np.array(rows, np.int64), columns, self._lsn)


def _column(layout: Any, cells: list[np.ndarray]) -> Column:
    if isinstance(layout, Dense | Scalar):
        return Column(layout, np.stack(cells))
    offsets = np.cumsum([0, *(cell.size for cell in cells)]).astype(np.int32)
    shapes = None
    if isinstance(layout, Ragged) and layout.shape is not None:
        shapes = np.array([cell.shape for cell in cells], np.int32)
    return Column(layout, np.concatenate([cell.ravel() for cell in cells]), offsets, shapes)

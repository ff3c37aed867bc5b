"""A store in memory with the calls that the demo makes, for threads of one process; and with bugs, planted on demand.

    FakeStore --partition()--> FakePartition --put, get, newest, consume, claim, seal--> Column, as the package's own

It knows one number, `version`, and keeps consumed rows. Leases expire by the real clock. A planted bug must be found by
the demo's own check of its histories.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from transferq import Batch, ClaimStale, Dense, Drained, OverBudget, Pace, Ragged, Scalar, TimedOut, Window
from transferq._columns import Column
from transferq._renewals import Lease

BUGS = ("lose_put", "grant_leased", "grant_acked", "flip_bit", "flip_tag", "skip_untold")


@dataclass
class TaskRow:
    """Where one row stands for one task."""

    attempt: int = 0
    lease_ends_at: float = 0.0
    consumed: bool = False
    spoiled: bool = False  # a planted bug has had this row


class FakeBatch(Batch):
    """Rows that were read or claimed; one of the package's batches, so that its loader takes it for one."""

    # Plain attributes in place of properties.
    index_ids = attempts = tags = lease = None

    def __init__(self, rows: list[int], columns: dict[str, Column], lsn: int) -> None:
        self.index_ids = np.array(rows, np.int64)
        self.fields = list(columns)
        self.columns = columns
        self.lsn = lsn
        self.task = ""
        self.batch_number = None
        self.acked = False

    def __len__(self) -> int:
        return len(self.index_ids)

    def _column(self, name: str) -> Column:
        return self.columns[name]


class FakeStore:
    """Holds partitions by name; `bug` is one of BUGS or nothing."""

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        self.partitions: dict[str, FakePartition] = {}
        self._lock = threading.Lock()

    def partition(
        self, name: str, *, fields: Mapping[str, Any], group_size: int = 1, pace: Pace | None = None, **_: Any
    ) -> FakePartition:
        with self._lock:
            if name not in self.partitions:
                self.partitions[name] = FakePartition(name, fields, group_size, pace, self.bug)
            return self.partitions[name]


class FakePartition:
    """Cells by row and field, versions by row, and the state of each (task, row)."""

    def __init__(self, name: str, fields: Mapping[str, Any], group_size: int, pace: Pace | None, bug: str) -> None:
        self.name = name
        self.fields = dict(fields)
        self.group_size = group_size
        self.sealed = False
        # What a loader needs of a client; its own lease is long enough for a test.
        self.client = SimpleNamespace(renewer=SimpleNamespace(watch=lambda lease: None), end_claim=self._end_claim)
        self._pace = pace
        self._version = 0
        self._skipped = 0
        self._versions: dict[int, int] = {}
        self._claims: dict[str, FakeBatch] = {}
        self._bug = bug
        self._rows: dict[int, dict[str, np.ndarray]] = {}
        self._tasks: dict[str, dict[int, TaskRow]] = {}
        self._lsn = 0
        self._newest_id = -1
        self._changed = threading.Condition()

    # ---- Rows ----------------------------------------------------------------------------------------------------

    def put(
        self,
        values: Mapping[str, Any],
        *,
        index_ids: Sequence[int],
        tags: Mapping[str, int] | None = None,
        claim: FakeBatch | None = None,
        wait_s: float = 0.0,
    ) -> None:
        with self._changed:
            if claim is not None:
                self._ack(claim)
            elif self._pace is not None and not self._changed.wait_for(lambda: self._admits(index_ids), wait_s):
                raise OverBudget(f"{self.name} admitted no new rows")
            if tags is not None:
                self._versions.update(dict.fromkeys(map(int, index_ids), tags["version"]))
            if self._bug == "lose_put" and claim is None and len(self._rows) > 0:
                self._bug = ""
                return
            for position, row in enumerate(map(int, index_ids)):
                cells = {name: np.array(column[position]) for name, column in values.items()}
                self._rows.setdefault(row, {}).update(cells)
                self._newest_id = row
            self._lsn += 1
            self._changed.notify_all()

    def delete(self, ids: Sequence[int]) -> None:
        with self._changed:
            for row in ids:
                self._rows.pop(row, None)

    def advance(self, version: int) -> None:
        with self._changed:
            self._version = max(version, self._version)
            self._changed.notify_all()

    def stats(self) -> dict[str, Any]:
        tasks = {"actor_update": {"skipped": self._skipped}}
        return {"sealed": self.sealed, "rows": len(self._rows), "tasks": tasks}

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

    def consume(self, **words: Any) -> Iterator[FakeBatch]:
        while not isinstance(outcome := self.claim(**words), Drained):
            if isinstance(outcome, TimedOut):
                raise outcome
            yield outcome

    def claim(
        self,
        *,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int | None,
        sampler: str,
        wait_s: float,
        lease_s: float,
        window: Window | None = None,
        **_: Any,
    ) -> FakeBatch | TimedOut | Drained:
        fields = [name for name in fields if name != "tq_tags"]
        deadline = time.monotonic() + wait_s
        with self._changed:
            while True:
                if window is not None:
                    self._skip_stale(task, fields, window)
                picked = self._pick(task, fields, batch_size, sampler)
                is_last = self.sealed and len(picked) == self._count_open(task)
                if len(picked) >= (batch_size if rows_min is None else rows_min) or (is_last and picked):
                    return self._grant(task, picked, fields, lease_s)
                if is_last:
                    return Drained()
                if time.monotonic() > deadline:
                    return TimedOut(f"{task} got no rows")
                self._changed.wait(0.05)

    def _end_claim(self, lease: Lease, verb: str, timeout_s: float | None) -> None:
        with self._changed:
            # As by the server, a claim that was acked may be acked again.
            if verb == "ack" and not self._claims[lease.token].acked:
                self._ack(self._claims[lease.token])
            self._changed.notify_all()

    def _skip_stale(self, task: str, fields: Sequence[str], window: Window) -> None:
        oldest = self._version - window.max_staleness
        ready = [row for row in self._rows if self._has(row, fields) and self._is_free(task, row)]
        stale = [row for row in ready if self._versions[row] < oldest]
        self._skipped += len(stale)
        if self._bug == "skip_untold" and ready:
            self._bug = ""
            stale.append(ready[0])
        for row in stale:
            self._states(task)[row].consumed = True

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
        batch.tags = [{"version": self._versions.get(row)} for row in rows]
        if self._bug == "flip_tag" and task == "actor_update":
            batch.tags[0]["version"] += 1
        batch.claim = f"claim-{task}-{rows[0]}-{batch.attempts[0]}"
        batch.lease = Lease(
            token=batch.claim, row=rows[0], group_size=self.group_size, lease_s=lease_s, hold_max_s=lease_s
        )
        self._claims[batch.claim] = batch
        return batch

    def _ack(self, batch: FakeBatch) -> None:
        states = self._states(batch.task)
        held = zip(batch.index_ids.tolist(), batch.attempts.tolist(), strict=True)
        if not all(states[row].attempt == attempt and not states[row].consumed for row, attempt in held):
            raise ClaimStale
        batch.acked = True
        for row in batch.index_ids.tolist():
            states[row].consumed = True

    def _states(self, task: str) -> dict[int, TaskRow]:
        return self._tasks.setdefault(task, {})

    def _count_open(self, task: str) -> int:
        return len(self._rows) - sum(state.consumed for state in self._states(task).values())

    # ---- Inside the lock -----------------------------------------------------------------------------------------

    def _admits(self, ids: Sequence[int]) -> bool:
        rows_max = (self._version + self._pace.max_ahead + 1) * self._pace.rows_per_version
        return len(self._rows) + len(ids) <= rows_max

    def _has(self, row: int, fields: Sequence[str]) -> bool:
        return all(name in self._rows.get(row, {}) for name in fields)

    def _wait(self, condition: Any, wait_s: float) -> None:
        if not self._changed.wait_for(condition, wait_s):
            raise TimedOut("the rows did not come")

    def _batch(self, rows: list[int], fields: Sequence[str]) -> FakeBatch:
        columns = {name: _column(self.fields[name], [self._rows[row][name] for row in rows]) for name in fields}
        if self._bug == "flip_bit" and "ref_logp" in columns:
            columns["ref_logp"].values.view(np.uint8)[0] ^= 1
        return FakeBatch(rows, columns, self._lsn)


def _column(layout: Any, cells: list[np.ndarray]) -> Column:
    if isinstance(layout, Dense | Scalar):
        return Column(layout, np.stack(cells))
    offsets = np.cumsum([0, *(cell.size for cell in cells)]).astype(np.int32)
    shapes = None
    if isinstance(layout, Ragged) and layout.shape is not None:
        shapes = np.array([cell.shape for cell in cells], np.int32)
    return Column(layout, np.concatenate([cell.ravel() for cell in cells]), offsets, shapes)

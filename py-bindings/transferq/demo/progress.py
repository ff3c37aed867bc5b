"""How far a run is, read from the workers' histories as they grow; shown as a live table, or as plain lines.

histories --WorkerCalls--> rows per task, bytes, latencies, reward, staleness, held-out accuracy
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from transferq.demo.calls import Call, WorkerCalls
from transferq.demo.schema import LAST_TASK

if TYPE_CHECKING:
    from pathlib import Path

RATE_WINDOW_S: Final = 3.0


def mean_of(staleness: Counter[int]) -> float:
    """The mean age of rows that are counted by age."""
    return sum(age * rows for age, rows in staleness.items()) / staleness.total()


@dataclass(frozen=True)
class Step:
    """One step of the trainer, as it noted it."""

    version: int
    reward: float
    staleness: Counter[int]  # rows by how many versions old they were
    at: float

    @property
    def staleness_mean(self) -> float:
        return mean_of(self.staleness)

    @property
    def staleness_max(self) -> int:
        return max(self.staleness)


class Progress:
    """All calls and facts of the run so far."""

    def __init__(self, histories: Path) -> None:
        self._histories = histories
        self._workers: dict[str, WorkerCalls] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self.began_at = time.monotonic()
        self.rows_produced = 0
        self.rows_consumed: Counter[str] = Counter()
        self.rows_skipped = 0
        self.rows_stored_max = 0
        self.byte_count = 0
        self.steps: list[Step] = []
        self.accuracies: list[tuple[int, float]] = []
        self.kills: list[tuple[int, str]] = []

    @property
    def version(self) -> int:
        return self.steps[-1].version if self.steps else 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began_at

    @property
    def calls(self) -> list[Call]:
        return [call for worker in self._workers.values() for call in worker.calls.values()]

    @property
    def staleness(self) -> Counter[int]:
        """Trained rows by how many versions old they were, of all steps."""
        return sum((step.staleness for step in self.steps), Counter())

    def done(self, task: str) -> int:
        """Rows that the task consumed, those it skipped included."""
        return self.rows_consumed[task] + (self.rows_skipped if task == LAST_TASK else 0)

    def holds_claim(self, worker: str) -> bool:
        return worker in self._workers and self._workers[worker].holds_claim()

    def note_kill(self, name: str) -> None:
        self.kills.append((self.version, name))

    def read(self) -> None:
        """Take in what the histories have gained."""
        for path in sorted(self._histories.glob("*.jsonl")):
            if path.stem not in self._workers:
                self._workers[path.stem] = WorkerCalls(path, self._take_fact)
            for call in self._workers[path.stem].read():
                self._take_call(call)

    def bytes_per_s(self) -> float:
        """Bytes through the store per second, over the last few seconds."""
        since = time.monotonic() - RATE_WINDOW_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / RATE_WINDOW_S

    def _take_call(self, call: Call) -> None:
        if call.end != "ok":
            return
        self.byte_count += call.byte_count
        self._recent.append((call.ended_at, call.byte_count))
        if call.claim is not None and call.claim.finish is call:
            self.rows_consumed[call.task] += len(call.ids)
        elif call.is_prompt_put:
            self.rows_produced += len(call.ids)

    def _take_fact(self, line: dict[str, Any]) -> None:
        # A trainer that goes on from a checkpoint tells its last step again.
        if line["fact"] == "step" and line["version"] > self.version:
            staleness = Counter({int(age): rows for age, rows in line["staleness"].items()})
            self.steps.append(Step(line["version"], line["reward"], staleness, line["at"]))
        elif line["fact"] == "accuracy":
            self.accuracies.append((line["version"], line["accuracy"]))
        elif line["fact"] == "store":
            self.rows_skipped = line["skipped"]
            self.rows_stored_max = max(self.rows_stored_max, line["rows"])

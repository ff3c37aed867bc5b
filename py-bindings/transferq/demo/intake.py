"""The trainer's way in: batches of whole groups from a StreamingDataLoader, and the checkpoint that they belong to.

    loader's worker: claims the next batch while the trainer trains --shared memory--> Intake.batches --> trainer
    each step: update -> checkpoint saved -> commit: its rows are consumed

Rows are drawn from the window only: samples of a policy that is too old by then are skipped for good, by the store.

Invariant: a row is consumed if and only if a saved checkpoint holds what was learned from it. So a trainer that was
killed goes on from its checkpoint, acks what that holds, and trains the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from transferq import Window
from transferq.demo.columns import evidence_of, rows_of_tensors
from transferq.demo.schema import LAST_TASK, TRAINED_FIELDS
from transferq.demo.settings import VERSION
from transferq.torch import StreamingDataLoader, StreamingDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transferq import Partition
    from transferq.demo.history import History
    from transferq.demo.settings import Settings
    from transferq.torch import TensorBatch

TAGS: Final = "tq_tags"


@dataclass(frozen=True)
class Taken:
    """A batch that the trainer was given: its call number in the history, and the version that sampled each row."""

    call: int
    batch: TensorBatch
    versions: list[int]


class Intake:
    """Calls of the trainer for its rows, noted in a history."""

    def __init__(self, partition: Partition, settings: Settings, history: History) -> None:
        self._partition = partition
        self._settings = settings
        self._history = history
        dataset = StreamingDataset(
            partition,
            task=LAST_TASK,
            fields=[*TRAINED_FIELDS, TAGS],
            batch_size=settings.rows_per_step,
            sampler="group",
            window=Window(max_staleness=settings.max_staleness, by=VERSION, on_stale="skip"),
            lease_s=settings.lease_s,
            wait_s=settings.silence_s_max,
        )
        workers = settings.loader_workers
        # One batch ahead: each more would be a version older when it is trained.
        ahead = 1 if workers > 0 else None
        self._loader = StreamingDataLoader(dataset, num_workers=workers, prefetch_factor=ahead, ack="checkpoint")

    def batches(self) -> Iterator[Taken]:
        """Batch after batch, until the partition is drained. Each belongs into a checkpoint that is committed."""
        name, task = self._partition.name, LAST_TASK
        with self._loader:
            stream = iter(self._loader)
            while True:
                call = self._history.invoke("claim", partition=name, task=task, lease_s=self._settings.lease_s)
                batch = next(stream, None)
                if batch is None:
                    self._history.answer(call, "drained")
                    return
                versions = [tags[VERSION] for tags in batch[TAGS]]
                evidence = evidence_of(batch.index_ids.tolist(), rows_of_tensors(batch, TRAINED_FIELDS), versions)
                attempts = batch.attempts.tolist()
                self._history.answer(call, "ok", asked_at=batch.origin.claimed_at, attempts=attempts, **evidence)
                yield Taken(call, batch, versions)

    def state(self, taken: Taken) -> dict[str, Any]:
        """What the checkpoint after this batch must keep."""
        return {"call": taken.call, "loader": self._loader.state_dict()}

    def commit(self, state: dict[str, Any]) -> bool:
        """Consumes the rows of a state whose checkpoint is saved; False when another one got them meanwhile."""
        return self._ack(state, resumed=False)

    def resume(self, state: dict[str, Any]) -> bool:
        """Goes on from the state of a checkpoint, whose rows may or may not be consumed yet; as `commit`."""
        return self._ack(state, resumed=True)

    def store_facts(self) -> dict[str, int]:
        """What the store says: rows that it holds, and rows that it skipped, since they were too old to be drawn."""
        stats = self._partition.stats()
        return {"rows": stats["rows"], "skipped": stats["tasks"][LAST_TASK]["skipped"]}

    def _ack(self, state: dict[str, Any], *, resumed: bool) -> bool:
        call = self._history.invoke("ack", partition=self._partition.name, acks=state["call"])
        settle = self._loader.load_state_dict if resumed else self._loader.commit
        settled = settle(state["loader"])
        self._history.answer(call, "refused" if settled.stale_ids else "ok")
        return not settled.stale_ids

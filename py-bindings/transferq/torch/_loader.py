"""The loader: batches of a streaming dataset for a training loop, with acks and checkpoints.

    workers: claim, decode, transform --shared memory--> loader --> trainer
    acks: "auto" when the next batch is asked for | "checkpoint" by commit(state) | "hand" by batch.ack()

Invariants: each batch that the trainer got is in the ledger until its claim ended; None is never yielded: a wait ends
in a batch, TimedOut or the end of the iteration.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from torch.utils.data import DataLoader

from transferq.errors import FixRequest, TimedOut, TransferQueueError
from transferq.torch._batches import MicroBatch, TensorBatch
from transferq.torch._dataset import StreamingDataset
from transferq.torch._ledger import Ledger, Settled
from transferq.torch._link import Link
from transferq.torch._source import Item, Late, Passed, Source

ACKS: Final = ("auto", "checkpoint", "hand")


class StreamingDataLoader:
    """Iterates over the batches of a `StreamingDataset`, until its partition is sealed and no rows are left.

    Args:
        dataset: what to claim.
        num_workers: processes that claim batches and bring them into shared memory; 0 does it in this process, when
            the next batch is asked for. Each prefetches ``prefetch_factor`` batches, whose leases it renews.
        ack: when rows are consumed: ``"auto"``, when the next batch is asked for, as the step with the last one is
            over; ``"checkpoint"``, by `commit`; ``"hand"``, by ``batch.ack()``. Until then their leases are renewed.
        micro_batch_size: yield micro-batches of this many rows, see `TensorBatch.micro_batches`; a batch is acked after
            its last one, and is not in a state before.
        keep_groups: do not divide groups over micro-batches.
        pin_memory: bring batches into page-locked memory, as `torch.utils.data.DataLoader` does.
        prefetch_factor: batches that each worker has ready or claims; default 2.
        multiprocessing_context: ``"fork"``, ``"spawn"`` or ``"forkserver"``, or a context; default: that of Python.
        worker_init_fn: called in each worker with its number.

    Iteration raises TimedOut when ``wait_s`` of the dataset passed without a batch; the next call of ``next`` waits
    again. It ends when the partition is drained; or when it is sealed, and nothing is left but rows under leases, of
    which this loader holds some: then save, `commit`, and see `drained`. Leaving the loop early releases prefetched
    rows; batches that were yielded stay held, as a checkpoint may name them. One iteration runs at a time.

    >>> from transferq.torch import StreamingDataLoader, StreamingDataset
    >>> train.seal() > 0
    True
    >>> dataset = StreamingDataset(train, task="step", fields=["response"], batch_size=1)
    >>> for batch in StreamingDataLoader(dataset):
    ...     print(batch.index_ids.tolist(), batch["response"].values())
    [8] tensor([1, 2, 3])
    [9] tensor([4])
    """

    def __init__(
        self,
        dataset: StreamingDataset,
        *,
        num_workers: int = 0,
        ack: str = "auto",
        micro_batch_size: int | None = None,
        keep_groups: bool = False,
        pin_memory: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: Any = None,
        worker_init_fn: Callable[[int], None] | None = None,
    ) -> None:
        if ack not in ACKS:
            raise FixRequest(f"ack is one of {ACKS}, not {ack!r}.", code="json_invalid")
        self.dataset = dataset
        self.num_workers = num_workers
        self.ack = ack
        self._micro_batch_size = micro_batch_size
        self._keep_groups = keep_groups
        self._torch_options = {
            "pin_memory": pin_memory,
            "prefetch_factor": prefetch_factor,
            "multiprocessing_context": multiprocessing_context,
            "worker_init_fn": worker_init_fn,
        }
        self._ledger = Ledger(dataset)
        self._stream: weakref.ref[Stream] | None = None

    def __repr__(self) -> str:
        return f"StreamingDataLoader({self.dataset!r}, num_workers={self.num_workers}, ack={self.ack!r})"

    def __iter__(self) -> Stream:
        self.close()
        stream = Stream(self._ledger, self._batches, self._split, workers=self.num_workers, ack=self.ack)
        self._stream = weakref.ref(stream)
        return stream

    def __enter__(self) -> StreamingDataLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the iteration that runs: its workers end, and release what they had prefetched."""
        stream = None if self._stream is None else self._stream()
        if stream is not None:
            stream.close()

    # ---- Checkpoints ---------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Batches that the trainer got, those before a state that was loaded included."""
        return self._ledger.steps

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep, as JSON values: the steps, and the claims of the batches that were yielded and
        not acked, the present one included. Call it when the step with it is over.

        Save it with the model, then `commit` it. A row is then consumed if and only if it is in a saved checkpoint.
        """
        return self._ledger.state()

    def commit(self, state: Mapping[str, Any]) -> Settled:
        """Acks the claims of a state that is saved. May be called by another thread, and while later steps run.

        A claim that is stale is no error, since its rows are trained: see `Settled`.

        >>> from transferq.torch import StreamingDataLoader, StreamingDataset
        >>> dataset = StreamingDataset(train, task="step", fields=["response"], batch_size=1)
        >>> loader = StreamingDataLoader(dataset, ack="checkpoint")
        >>> for batch in loader:
        ...     state = loader.state_dict()  # and save it
        ...     settled = loader.commit(state)
        ...     if loader.steps == 2:
        ...         break
        >>> settled, train.stats()["tasks"]["step"]["consumed"]
        (Settled(acked=1, stale_ids=()), 2)
        """
        return self._ledger.commit(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> Settled:
        """Goes on from a checkpoint, where the newest one that was saved is: its rows are acked if they were not yet,
        and left out if they come again; rows that were trained after it come again.

        Rows of a trainer that died come again when their leases end. May be called again where it raised.
        """
        self.close()
        return self._ledger.load(state)

    def drained(self) -> bool:
        """Asks the server whether the partition is sealed and the task has consumed all rows but its dead letters."""
        stats = self.dataset.partition.stats()
        task = stats["tasks"].get(self.dataset.task, {})
        return bool(stats["sealed"]) and task.get("consumed", 0) + task.get("dead", 0) == stats["rows"]

    # ---- For iterations ------------------------------------------------------------------------------------------

    def _batches(self, link: Link) -> Iterator[Item]:
        return iter(
            DataLoader(
                Source(self.dataset, link),
                batch_size=None,
                num_workers=self.num_workers,
                collate_fn=_as_it_is,
                # A worker that waits for rows does not delay the batch that another one has.
                in_order=self.num_workers == 0,
                **self._torch_options,
            )
        )

    def _split(self, batch: TensorBatch) -> Iterator[MicroBatch] | None:
        if self._micro_batch_size is None:
            return None
        return iter(batch.micro_batches(self._micro_batch_size, keep_groups=self._keep_groups))


class Stream(Iterator[TensorBatch]):
    """One iteration over a loader."""

    def __init__(
        self,
        ledger: Ledger,
        batches: Callable[[Link], Iterator[Item]],
        split: Callable[[TensorBatch], Iterator[MicroBatch] | None],
        *,
        workers: int,
        ack: str,
    ) -> None:
        self._ledger = ledger
        self._split = split
        self._ack = ack
        # Shared batches come in order: the number of the next one, and what came before its turn.
        self._number = ledger.batch_number
        self._early: dict[int | None, TensorBatch | Passed] = {}
        self._link = Link(workers, nodes_max=ledger.nodes_max, turn=self._number or 0)
        # Torch's iterator, which waits for the workers, may be collected before this; a finalizer comes before both.
        weakref.finalize(self, self._link.stop)
        self._parts: Iterator[MicroBatch] = iter(())
        self._items: Iterator[Item] | None = None
        self._items = batches(self._link)

    def __next__(self) -> TensorBatch:
        part = next(self._parts, None)
        if part is None:
            if self._ack == "auto":
                self._ledger.ack_given()
            batch = self._next_batch()
            parts = self._split(batch)
            if parts is None:
                self._ledger.give(batch)
                return batch
            self._parts = parts
            part = next(parts)
        if part.last:
            self._ledger.give(part.batch)
        return part

    def close(self) -> None:
        """Ends it, within seconds also where a worker hangs. A second call does nothing."""
        self._link.stop()
        items, self._items = self._items, None
        # Torch ends workers when its iterator is collected, which the traceback of an error may delay.
        shut_down = getattr(items, "_shutdown_workers", None)
        if shut_down is not None:
            shut_down()

    def __del__(self) -> None:
        if self._items is not None:
            self.close()

    def _next_batch(self) -> TensorBatch:
        self._link.begin_wait(self._ledger.held_rows)
        try:
            while True:
                batch = self._next_item()
                if batch is not None:
                    return batch
        except TimedOut:
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self._link.end_wait()

    def _next_item(self) -> TensorBatch | None:
        if self._items is None:
            raise StopIteration
        early = self._early.pop(self._number, None)
        item: Item = next(self._items) if early is None else early
        try:
            if isinstance(item, Late):
                # One of an earlier wait says nothing about this one.
                if item.since == self._link.waiting_since:
                    raise item.error
                return None
            if isinstance(item, TransferQueueError):
                raise item
            return self._in_order(item)
        finally:
            # An error leads to this frame; led this to the error, the workers would outlive a loop that it ends.
            del item

    def _in_order(self, item: TensorBatch | Passed) -> TensorBatch | None:
        number = item.number if isinstance(item, Passed) else item.batch_number
        if number is not None:
            if number != self._number:
                self._early[number] = item
                return None
            self._number = number + 1
        if isinstance(item, Passed):
            return None
        return self._ledger.take(item, self._link, again=self._ack == "hand")


def _as_it_is(item: Any) -> Any:
    return item

"""The dataset: which rows a trainer wants, and how they are claimed."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from torch.utils.data import IterableDataset, get_worker_info

import transferq
from transferq._batch import Batch
from transferq._consuming import LEASE_S
from transferq._partition import Partition
from transferq._policies import Group, SharedBatch, Tokens, Window
from transferq._read import field_names
from transferq.errors import Drained, FixRequest, TimedOut
from transferq.torch._batches import TensorBatch

# As `Partition.claim`, with the partition first.
Claim: TypeAlias = Callable[..., "Batch | TimedOut | Drained"]
Transform: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


class StreamingDataset(IterableDataset[TensorBatch]):
    """The rows of a task of a partition, as batches of tensors; read it through a `StreamingDataLoader`.

    Args:
        partition: the partition; or its name, with ``url``. It must exist.
        url: the server, where ``partition`` is a name; default: as for `transferq.connect`. The connection is closed
            when nothing refers to it any more.
        task: name of the consumer group; each task gets each row once, over all loaders and workers.
        fields: the fields that a row must have, and that come with it; ``"tq_tags"`` brings its tags as dicts.
        batch_size: rows of a batch, at most (the global batch, where micro-batches are made of it).
        rows_min: rows of a batch, at least; default ``batch_size``. The last batches of a sealed partition may be
            smaller; see `TensorBatch.partial`.
        sampler: ``"fifo"``, ``"group"`` for whole groups, or another; with it go ``by``, ``seed``, ``where``,
            ``tokens``, ``window``, ``group``, ``partial`` and ``linger_s``, all as for `Partition.claim`: the end of
            ``wait_s`` is the end of the trainer's wait, and a worker lingers from when it looks for a batch.
        batch: which part of which shared batches, so that all ranks see the same steps; see
            `transferq.SharedBatch`. Batches come in the order of their numbers, from its own on, with any number of
            workers; a number that stays empty is passed over by all ranks. ``batch_size`` counts the rows of all parts.
        lease_s: how long rows are kept from others without a sign of life of this process or its worker (seconds). It
            is also how long a trainer that died may take to come back before others get the rows of its checkpoint.
        hold_max_s: how long a lease is renewed at most (seconds); None: as long as the process lives that holds it.
        wait_s: how long to wait for a batch (seconds) before TimedOut is raised; None waits without an end.
        transform: called with the fields of each batch by name (tensors ``[n, ...]``, jagged tensors, lists of n) and
            returns those that the trainer gets, with the same n rows. It runs in the worker.
        claim: claims rows in place of `Partition.claim`, with the same arguments and answers. It must pickle where
            workers are spawned.

    Iterated by itself it claims in this process, and its batches are acked by hand.

    >>> from transferq.torch import StreamingDataset
    >>> dataset = StreamingDataset(train, task="look", fields=["response"], batch_size=2)
    >>> batch = next(iter(dataset))
    >>> batch.index_ids, batch["response"].unbind()
    (tensor([8, 9]), (tensor([1, 2, 3]), tensor([4])))
    >>> batch.ack()
    """

    def __init__(
        self,
        partition: Partition | str,
        *,
        url: str | None = None,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int | None = None,
        sampler: str = "fifo",
        by: str | None = None,
        seed: int | None = None,
        where: str | None = None,
        tokens: Tokens | None = None,
        window: Window | None = None,
        group: Group | None = None,
        batch: SharedBatch | None = None,
        partial: bool = False,
        linger_s: float | None = None,
        lease_s: float = LEASE_S,
        hold_max_s: float | None = None,
        wait_s: float | None = None,
        transform: Transform | None = None,
        claim: Claim = Partition.claim,
    ) -> None:
        super().__init__()
        if wait_s is not None and not wait_s > 0:
            raise FixRequest(f"wait_s must be positive or None, not {wait_s}.", code="json_invalid")
        if url is not None and not isinstance(partition, str):
            raise FixRequest("A partition has a server: give its name with url, or itself alone.", code="json_invalid")
        self.partition = _attached(partition, url)
        self.task = task
        self.fields = field_names(fields) or []
        self.batch_size = batch_size
        self.rows_min = rows_min
        self.batch = batch
        words = {
            "sampler": sampler,
            "by": by,
            "seed": seed,
            "where": where,
            "tokens": tokens,
            "window": window,
            "group": group,
            "partial": partial,
            "linger_s": linger_s,
        }
        # A claim of the user's own needs to know only the words that are used.
        self._words = {name: word for name, word in words.items() if word is not None and word is not False}
        self.lease_s = lease_s
        self.hold_max_s = math.inf if hold_max_s is None else hold_max_s
        self.wait_s = wait_s
        self.transform = transform
        self._claim = claim

    def __repr__(self) -> str:
        return f"StreamingDataset({self.partition.name!r}, task={self.task!r}, batch_size={self.batch_size})"

    def __iter__(self) -> Iterator[TensorBatch]:
        if get_worker_info() is not None:
            raise FixRequest(
                "Workers need a StreamingDataLoader in place of a DataLoader: leases pass from them to the trainer.",
                code="json_invalid",
            )
        from transferq.torch._loader import StreamingDataLoader

        yield from StreamingDataLoader(self, ack="hand")

    @property
    def part_size(self) -> int:
        """Rows of a batch of this process, at most."""
        return self.batch_size if self.batch is None else self.batch_size // self.batch.parts

    def claim(
        self, *, wait_s: float, waited_s: float, is_last: bool, rows_min: int | None, number: int | None
    ) -> Batch | TimedOut | Drained:
        """One claim of those that make up the wait for a batch.

        Args:
            wait_s: how long it waits, at most (seconds).
            waited_s: for how long those before it waited (seconds).
            is_last: whether it is the last of them.
            rows_min: in place of the dataset's.
            number: of the shared batch.
        """
        words: dict[str, Any] = dict(self._words)
        if "linger_s" in words:
            words["linger_s"] = max(0.0, words["linger_s"] - waited_s)
        if not is_last:
            words.pop("partial", None)
        if self.batch is not None and number is not None:
            words["batch"] = dataclasses.replace(self.batch, number=number)
        return self._claim(
            self.partition,
            task=self.task,
            fields=self.fields,
            batch_size=self.batch_size,
            rows_min=self.rows_min if rows_min is None else rows_min,
            wait_s=wait_s,
            lease_s=self.lease_s,
            hold_max_s=self.hold_max_s,
            **words,
        )


def _attached(partition: Partition | str, url: str | None) -> Partition:
    if not isinstance(partition, str):
        return partition
    client = transferq.connect(url)
    # It does not refer to the client, which this would else keep.
    weakref.finalize(client, client.transport.close)
    return client.partition(partition)

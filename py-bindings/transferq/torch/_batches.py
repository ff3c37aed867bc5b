"""Batches of tensors, as a trainer gets them, and the micro-batches that they are split into.

worker: received bytes --pack--> one buffer in shared memory --> loader: views of it --> trainer
                                                                 pin_memory(), to(device): one copy of the buffer
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import torch
from torch import Tensor

from transferq.errors import FieldMismatch, FixRequest
from transferq.torch._cells import (
    Columns,
    Jagged,
    distinct_tensors,
    map_tensors,
    pinned_buffer,
    places_of,
    plain_buffer,
    row_count,
    rows_at,
    rows_between,
    share_offsets,
)

if TYPE_CHECKING:
    from transferq.torch._ledger import Held

Self = TypeVar("Self", bound="TensorBatch")

# Beside the fields in `_all`; fields have no such names.
INDEX_IDS: Final = ".index_ids"
ATTEMPTS: Final = ".attempts"
# A copy in another process is not the trainer's: it ends no claim.
LEFT_BEHIND: Final = ("_columns", "index_ids", "attempts", "_buffer", "_held")


@dataclass(frozen=True)
class Origin:
    """Where a batch comes from: its claim, when that was asked for (monotonic seconds, the same clock for all processes
    of a machine), which batch of which worker it is, and the number of the shared batch that it is a part of."""

    claim: str
    claimed_at: float
    worker: int
    number: int
    shared: int | None = None


class TensorBatch:
    """Rows of a claim as tensors. ``batch[name]`` is a field, ``len(batch)`` the number of rows, and iteration gives
    field names, so that ``dict(batch)`` is a dict of fields.

    Fields: dense as tensor ``[n, *shape]``; scalar ``[n]``; ragged as jagged nested tensor ``[n, j]``, or as a list of
    n tensors where rows have several dimensions; text, bytes and json as list of n. Fields whose rows have the same
    lengths share their offsets, so that torch computes on them together.

    Attributes:
        index_ids: int64 ``[n]``, the ids of the rows.
        attempts: int32 ``[n]``, how often each row was claimed for the task, this time included.
        group_size: rows of one prompt; siblings have the same ``index_ids // group_size``.
        partial: whether these are fewer rows than the loader's ``batch_size``, or than its part of a shared batch, as
            at the end of a sealed partition.
        origin: the claim, and how it came here.
    """

    def __init__(
        self, columns: Columns, index_ids: Tensor, attempts: Tensor, *, group_size: int, partial: bool, origin: Origin
    ) -> None:
        self._columns = columns
        self.index_ids = index_ids
        self.attempts = attempts
        self.group_size = group_size
        self.partial = partial
        self.origin = origin
        # All tensors lie in this buffer, one after the other; None where they do not.
        self._buffer: Tensor | None = None
        self._held: Held | None = None

    def __getitem__(self, name: str) -> Any:
        cells = self._columns[name]
        return cells.tensors() if isinstance(cells, Jagged) else cells

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def keys(self) -> list[str]:
        """Names of the fields, so that ``dict(batch)`` works."""
        return list(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return len(self.index_ids)

    def __repr__(self) -> str:
        partial = ", partial" if self.partial else ""
        return f"{type(self).__name__}(rows={len(self)}, fields={self.keys()}, claim={self.claim!r}{partial})"

    @property
    def claim(self) -> str:
        """Token of the claim that the rows are held under."""
        return self.origin.claim

    @property
    def batch_number(self) -> int | None:
        """Number of the shared batch that the rows are of; None for other rows."""
        return self.origin.shared

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in distinct_tensors(self._all()))

    # ---- The claim -----------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether the claim is neither acked, released nor known to be lost."""
        return self._held is not None and self._held.lease.state == "held"

    def ack(self) -> None:
        """Consumes the rows for the task, all rows of the claim. A second call does nothing.

        Raises ClaimStale when the lease ended and rows went to another consumer.
        """
        self._claim_of_trainer().ack()

    def release(self) -> None:
        """Gives the rows back, for any consumer of the task to take. A second call does nothing."""
        self._claim_of_trainer().release()

    def _claim_of_trainer(self) -> Held:
        if self._held is None:
            raise FixRequest("This is a copy; the batch that the loader gave is the one to end.", code="claim_unknown")
        return self._held

    # ---- Parts ---------------------------------------------------------------------------------------------------

    def micro_batches(self, rows_max: int, *, keep_groups: bool = False) -> list[MicroBatch]:
        """The rows in parts of ``rows_max``, in order, as views of this batch; the last part may have fewer.

        Args:
            rows_max: rows per part, at most.
            keep_groups: end parts only between groups, so that parts may have fewer rows. Needs rows of a group side
                by side, as ``sampler="group"`` gives them, and groups of at most ``rows_max`` rows.

        >>> from transferq.torch import StreamingDataset
        >>> batch = next(iter(StreamingDataset(train, task="look", fields=["response"], batch_size=2)))
        >>> [(part.index_ids.tolist(), part.number, part.last) for part in batch.micro_batches(1)]
        [([8], 0, False), ([9], 1, True)]
        """
        if rows_max < 1:
            raise FixRequest(f"A micro-batch has at least one row, not {rows_max}.", code="json_invalid")
        stops = self._group_stops(rows_max) if keep_groups else range(rows_max, len(self) + rows_max, rows_max)
        bounds = [0, *(min(stop, len(self)) for stop in stops)]
        return [
            MicroBatch(self, start, stop, number=number, count=len(bounds) - 1, partial=stop - start < rows_max)
            for number, (start, stop) in enumerate(itertools.pairwise(bounds))
        ]

    def _group_stops(self, rows_max: int) -> list[int]:
        """Where parts end, so that as many whole groups as possible are in each."""
        groups, sizes = torch.unique_consecutive(self.index_ids // self.group_size, return_counts=True)
        if len(groups.unique()) < len(groups):
            raise FixRequest(
                'Rows of a group do not stand side by side; claim with sampler="group".', code="json_invalid"
            )
        stops: list[int] = []
        start = stop = 0
        for size in sizes.tolist():
            if size > rows_max:
                raise FixRequest(f"A group of {size} rows does not fit into {rows_max}.", code="group_too_large")
            if stop + size - start > rows_max:
                stops.append(stop)
                start = stop
            stop += size
        return [*stops, stop]

    def with_fields(self: Self, columns: Columns) -> Self:
        """The same rows with other fields; raises FieldMismatch where these are not as many."""
        wrong = next(
            ((name, row_count(cells)) for name, cells in columns.items() if row_count(cells) != len(self)), None
        )
        if wrong is not None:
            raise FieldMismatch(f"The transform made {wrong[1]} rows of field {wrong[0]!r}, not {len(self)}.")
        return self._with({**share_offsets(columns), INDEX_IDS: self.index_ids, ATTEMPTS: self.attempts}, None)

    def select(self: Self, rows: list[int]) -> Self:
        """A copy of these rows, in this order, under the same claim; marked as partial."""
        made = self._with(rows_at(self._all(), rows), None)
        made.partial = True
        return made

    # ---- Memory --------------------------------------------------------------------------------------------------

    def to(self: Self, device: torch.device | str | int, *, non_blocking: bool = False) -> Self:
        """The same rows on a device, under the same claim; lists stay. ``index_ids`` and ``attempts`` move too."""
        if self._buffer is not None:
            return self._over(self._buffer.to(device, non_blocking=non_blocking))
        return self._with(map_tensors(self._all(), lambda tensor: tensor.to(device, non_blocking=non_blocking)), None)

    def pin_memory(self: Self) -> Self:
        """The same rows in page-locked memory, in one buffer. A loader with ``pin_memory=True`` calls it."""
        return self.packed(pinned_buffer)

    def packed(self: Self, allocate: Callable[[int], Tensor]) -> Self:
        """The same rows with all tensors in one buffer of bytes that ``allocate`` makes: one copy."""
        if self._buffer is not None:
            buffer = allocate(self._buffer.numel())
            buffer.copy_(self._buffer)
            return self._over(buffer)
        tensors = distinct_tensors(self._all())
        places, size = places_of(tensors)
        buffer = allocate(size)
        views = {id(tensor): place.view(buffer) for tensor, place in zip(tensors, places, strict=True)}
        for tensor in tensors:
            views[id(tensor)].copy_(tensor.detach())
        return self._with(map_tensors(self._all(), lambda tensor: views[id(tensor)]), buffer)

    def tensordict(self) -> Any:
        """A ``TensorDict`` of the fields, ``index_id`` and ``attempt``, with the batch size ``[n]``, over the same
        memory. It needs the package tensordict."""
        from transferq.torch._tensordict import tensordict_of

        return tensordict_of(self)

    def _all(self) -> Columns:
        """The fields, and what comes with them under names that fields cannot have."""
        return {**self._columns, INDEX_IDS: self.index_ids, ATTEMPTS: self.attempts}

    def _with(self: Self, columns: Columns, buffer: Tensor | None) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._set(columns, buffer)
        return made

    def _set(self, columns: Columns, buffer: Tensor | None) -> None:
        self._columns = {name: cells for name, cells in columns.items() if name not in (INDEX_IDS, ATTEMPTS)}
        self.index_ids, self.attempts = cast(Tensor, columns[INDEX_IDS]), cast(Tensor, columns[ATTEMPTS])
        self._buffer = buffer

    def _laid_out(self) -> Columns:
        """Places in the buffer instead of the tensors that are there."""
        places = iter(places_of(distinct_tensors(self._all()))[0])
        return map_tensors(self._all(), lambda _: next(places))

    def _over(self: Self, buffer: Tensor) -> Self:
        """The same views, of another buffer with the same bytes."""
        return self._with(map_tensors(self._laid_out(), lambda place: place.view(buffer)), buffer)

    def __getstate__(self) -> dict[str, Any]:
        # One buffer travels, not each view of it: every tensor in shared memory costs a file descriptor.
        packed = self if self._buffer is not None else self.packed(plain_buffer)
        kept = {name: value for name, value in self.__dict__.items() if name not in LEFT_BEHIND}
        return {**kept, ".places": packed._laid_out(), ".buffer": packed._buffer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        places, buffer = state.pop(".places"), state.pop(".buffer")
        self.__dict__.update(state, _held=None)
        self._set(map_tensors(places, lambda place: place.view(buffer)), buffer)


class MicroBatch(TensorBatch):
    """Some rows of a batch, as views of it; it is acked and released with the whole batch.

    Attributes:
        batch: the whole batch.
        number: which part of it this is, from 0.
        count: how many parts there are.
        partial: whether these are fewer rows than asked for.
    """

    def __init__(self, batch: TensorBatch, start: int, stop: int, *, number: int, count: int, partial: bool) -> None:
        self.__dict__.update(batch.__dict__)
        self._set(rows_between(batch._all(), start, stop), None)
        self.batch = batch
        self.number = number
        self.count = count
        self.partial = partial

    @property
    def last(self) -> bool:
        """Whether this is the last part of the batch: the one after which an optimizer steps."""
        return self.number == self.count - 1

"""The cells of batches as tensors: by field, sliced, and packed into one buffer.

    layout        cells
    dense         Tensor [n, *shape]
    scalar        Tensor [n]
    ragged        Jagged: values [t], offsets int32 [n + 1]; with several dimensions also shapes int32 [n, ndim]
    text, json, bytes   list of n

    packed: all tensors of a batch one after the other in one buffer of bytes, each at a multiple of ALIGNMENT

Invariants: fields of equal lengths share one tensor of offsets, since torch multiplies, adds and compares only jagged
tensors that do; slices are views, but for their offsets.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from torch import Tensor

from transferq._columns import Column
from transferq._layouts import Ragged, Scalar, is_plain
from transferq.errors import FieldMismatch

# A cache line: no tensor shares one with another, and every dtype is aligned.
ALIGNMENT: Final = 64


@dataclass(frozen=True, eq=False)
class Jagged:
    """Rows of different lengths, one after the other."""

    values: Tensor
    offsets: Tensor
    shapes: Tensor | None = None

    def tensors(self) -> Any:
        """A jagged nested tensor over the same memory; a list of views where rows have several dimensions."""
        if self.shapes is None:
            return torch.nested.nested_tensor_from_jagged(self.values, self.offsets)
        bounds, shapes = self.offsets.tolist(), self.shapes.tolist()
        return [
            self.values[start:stop].view(shape)
            for (start, stop), shape in zip(itertools.pairwise(bounds), shapes, strict=True)
        ]


Cells: TypeAlias = "Tensor | Jagged | list[Any]"
Columns: TypeAlias = dict[str, Cells]


def cells_of(column: Column) -> Cells:
    """The cells of a received column, as views of the bytes received."""
    if is_plain(column.layout):
        return column.list()
    if column.offsets is None:
        tensor: Tensor = column.torch()
        return tensor
    if not isinstance(column.layout, Ragged):
        raise FieldMismatch(f"There are no tensors of {column.layout}.")
    values = Column(Scalar(column.layout.dtype), column.values).torch()
    shapes = None if column.shapes is None else torch.from_numpy(column.shapes)
    return Jagged(values, torch.from_numpy(column.offsets), shapes)


def cells_from(value: Any, name: str) -> Cells:
    """The cells of what a user's function made of a batch."""
    if isinstance(value, Tensor):
        if not value.is_nested:
            return value
        return _jagged_of(value, name)
    if isinstance(value, (list, tuple)):
        return list(value)
    return torch.as_tensor(value)


def _jagged_of(nested: Any, name: str) -> Jagged:
    if nested.layout is not torch.jagged or nested.lengths() is not None or nested.dim() != 2:
        raise FieldMismatch(f"Field {name!r}: of nested tensors, batches hold contiguous jagged ones [n, j].")
    return Jagged(nested.values(), nested.offsets())


def row_count(cells: Cells) -> int:
    return len(cells.offsets) - 1 if isinstance(cells, Jagged) else len(cells)


def share_offsets(columns: Columns) -> Columns:
    """The columns, with one tensor of offsets for all that have equal ones."""
    found: dict[bytes, Tensor] = {}

    def shared(cells: Cells) -> Cells:
        if not isinstance(cells, Jagged) or cells.offsets.device.type != "cpu":
            return cells
        content = cells.offsets.numpy().tobytes()
        return Jagged(cells.values, found.setdefault(content, cells.offsets), cells.shapes)

    return {name: shared(cells) for name, cells in columns.items()}


def rows_between(columns: Columns, start: int, stop: int) -> Columns:
    """The rows ``start <= row < stop``, as views."""
    moved: dict[int, Tensor] = {}

    def between(cells: Cells) -> Cells:
        if not isinstance(cells, Jagged):
            return cells[start:stop]
        offsets = cells.offsets[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        own = moved.setdefault(id(cells.offsets), offsets - first)
        shapes = None if cells.shapes is None else cells.shapes[start:stop]
        return Jagged(cells.values[first:last], own, shapes)

    return {name: between(cells) for name, cells in columns.items()}


def rows_at(columns: Columns, rows: list[int]) -> Columns:
    """A copy of these rows, in this order."""

    def at(cells: Cells) -> Cells:
        if isinstance(cells, list):
            return [cells[row] for row in rows]
        index = torch.tensor(rows)
        if not isinstance(cells, Jagged):
            return cells[index]
        bounds = cells.offsets.tolist()
        values = torch.cat([cells.values[:0], *(cells.values[bounds[row] : bounds[row + 1]] for row in rows)])
        lengths = cells.offsets.diff()[index]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0, dtype=lengths.dtype)])
        return Jagged(values, offsets, None if cells.shapes is None else cells.shapes[index])

    return share_offsets({name: at(cells) for name, cells in columns.items()})


# ---- Packed ----------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a tensor lies in a buffer (bytes), and what it is."""

    at: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def view(self, buffer: Tensor) -> Tensor:
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return buffer[self.at : self.at + size].view(self.dtype).view(self.shape)


def places_of(tensors: Iterable[Tensor]) -> tuple[list[Place], int]:
    """A place for each tensor in one buffer, and the size of the buffer."""
    places = []
    end = 0
    for tensor in tensors:
        at = -(-end // ALIGNMENT) * ALIGNMENT
        places.append(Place(at, tensor.dtype, tuple(tensor.shape)))
        end = at + tensor.numel() * tensor.element_size()
    return places, end


def distinct_tensors(columns: Columns) -> list[Tensor]:
    """The tensors of the columns in a fixed order, each once."""
    tensors: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    map_tensors(columns, note)
    return tensors


def plain_buffer(size: int) -> Tensor:
    return torch.empty(max(size, 1), dtype=torch.uint8)


def shared_buffer(size: int) -> Tensor:
    """Bytes in shared memory. As in torch's own collate functions: memory shared later would be copied once more."""
    storage = torch.UntypedStorage._new_shared(max(size, 1))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def pinned_buffer(size: int) -> Tensor:
    """Bytes in page-locked memory, which a GPU reads by itself."""
    return torch.empty(max(size, 1), dtype=torch.uint8, pin_memory=True)


def map_tensors(columns: Columns, change: Callable[[Any], Any]) -> Columns:
    """The columns with each tensor, or place of one, changed; what stands in several places is changed once."""
    done: dict[int, Any] = {}

    def once(leaf: Any) -> Any:
        key = id(leaf)
        if key not in done:
            done[key] = change(leaf)
        return done[key]

    def changed(cells: Any) -> Cells:
        if isinstance(cells, Jagged):
            shapes = None if cells.shapes is None else once(cells.shapes)
            return Jagged(once(cells.values), once(cells.offsets), shapes)
        if isinstance(cells, list):
            return [once(cell) if isinstance(cell, (Tensor, Place)) else cell for cell in cells]
        made: Tensor = once(cells)
        return made

    return {name: changed(cells) for name, cells in columns.items()}

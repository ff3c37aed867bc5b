"""Columns: the cells of one field of a batch, as views over the bytes that came or as they go out.

    layout        values                    offsets         shapes
    dense         [n, *shape]               -               -
    scalar        [n]                       -               -
    ragged 1-D    all cells, one by one     int32 [n + 1]   -
    ragged n-D    all cells, flattened      int32 [n + 1]   int32 [n, ndim]
    text, bytes   uint8, one by one         int32 [n + 1]   -
    blob          uint8, digests            int32 [n + 1]   -

Invariants: `offsets` begin at 0, never fall and end at the size of `values`; the shape of a row multiplies to its
length.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transferq._blobs import BlobSource, JoinedBlobs, digests_of
from transferq._layouts import Blob, Dense, Json, Layout, Ragged, Scalar, Text, dtype_of, is_plain, storage_of
from transferq._protocol import BLOB_DIGEST_SIZE
from transferq.errors import AnswerInvalid, FieldMismatch

# Inside Column the name `list` is a method.
Rows: TypeAlias = list[Any]


class Column:
    """The cells of one field, in the order of the batch's rows.

    Attributes:
        layout: the declared layout.
        values: stored numbers, without a copy: ``[n, *shape]`` for dense, ``[n]`` for scalar, else flat; bfloat16
            stands as uint16, bool as uint8 in flat ragged values; uint8 for text, bytes and json; for blobs their
            digests.
        offsets: int32 ``[n + 1]``, where each row begins in ``values``; None for dense and scalar.
        shapes: int32 ``[n, ndim]``, the shape of each row; None but for ragged with several dimensions.

    >>> import numpy as np
    >>> from transferq import Ragged
    >>> column = Column(Ragged("int64"), np.array([1, 2, 3]), np.array([0, 1, 3], np.int32))
    >>> len(column), column.list()
    (2, [[1], [2, 3]])
    >>> column.numpy()
    [array([1]), array([2, 3])]
    """

    __slots__ = ("blobs", "layout", "offsets", "shapes", "values")

    def __init__(
        self,
        layout: Layout,
        values: NDArray[Any],
        offsets: NDArray[np.int32] | None = None,
        shapes: NDArray[np.int32] | None = None,
        blobs: BlobSource | None = None,
    ) -> None:
        self.layout = layout
        self.values = values
        self.offsets = offsets
        self.shapes = shapes
        # Where the bytes are that digests name.
        self.blobs = blobs

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Column({self.layout}, rows={len(self)})"

    @property
    def nbytes(self) -> int:
        """Bytes of values, offsets and shapes."""
        return sum(part.nbytes for part in (self.values, self.offsets, self.shapes) if part is not None)

    def numpy(self) -> Any:
        """NumPy views: ``[n, *shape]`` for dense, ``[n]`` for scalar, a list of one array per row for ragged.

        bool comes as bool, bfloat16 as uint16 (its bits; use ``torch()`` for numbers), text, bytes, json and blobs as
        an object array of their values (a copy).
        """
        if is_plain(self.layout):
            cells = np.empty(len(self), object)
            cells[:] = self.list()
            return cells
        values = self._typed_values()
        if self.offsets is None:
            return values
        bounds = self.offsets.tolist()
        rows = [values[start:stop] for start, stop in itertools.pairwise(bounds)]
        if self.shapes is None:
            return rows
        return [row.reshape(shape) for row, shape in zip(rows, self.shapes.tolist(), strict=True)]

    def torch(self) -> Any:
        """Torch views: ``[n, *shape]`` for dense, ``[n]`` for scalar, a jagged nested tensor over ``values`` and
        ``offsets`` for ragged with one dimension, a list of tensors for ragged with several.

        Raises FieldMismatch for text, bytes, json and blobs, which torch has no tensors for.
        """
        import torch

        if is_plain(self.layout):
            raise FieldMismatch(f"There are no tensors of {self.layout}; use list().")
        values = torch.from_numpy(self._typed_values())
        if dtype_of(self.layout) == "bfloat16":
            values = values.view(torch.bfloat16)
        if self.offsets is None:
            return values
        if self.shapes is None:
            return torch.nested.nested_tensor_from_jagged(values, torch.from_numpy(self.offsets))
        bounds = self.offsets.tolist()
        return [
            values[start:stop].view(shape)
            for (start, stop), shape in zip(itertools.pairwise(bounds), self.shapes.tolist(), strict=True)
        ]

    def arrow(self) -> Any:
        """The ``pyarrow.Array`` of the column over the same memory; its type is the one of docs/API.md. Of blobs a
        dictionary array, which has the bytes of each once."""
        from transferq._arrow import column_to_arrow

        return column_to_arrow(self)

    def list(self) -> Rows:
        """Python values, one per row: numbers, nested lists, str, bytes or JSON values. Always a copy.

        Of blobs the bytes, fetched when they are first asked for: one object for all rows of a batch that share it.
        """
        if isinstance(self.layout, Blob):
            blobs = self.fetch_blobs()
            return [blobs[digest] for digest in self.digests]
        if self.offsets is not None and is_plain(self.layout):
            data = self.values.tobytes()
            bounds = self.offsets.tolist()
            cells = [data[start:stop] for start, stop in itertools.pairwise(bounds)]
            if isinstance(self.layout, Json):
                return [json.loads(cell) for cell in cells]
            return [cell.decode() for cell in cells] if isinstance(self.layout, Text) else cells
        if dtype_of(self.layout) == "bfloat16":
            numbers = (self.values.astype(np.uint32) << 16).view(np.float32)
            return Column(_as_float32(self.layout), numbers, self.offsets, self.shapes).list()
        rows = self.numpy()
        return rows.tolist() if isinstance(rows, np.ndarray) else [row.tolist() for row in rows]

    @property
    def digests(self) -> Rows:
        """Of blobs: the SHA-256 of each row's bytes in hexadecimal."""
        if not isinstance(self.layout, Blob):
            raise FieldMismatch(f"There are no digests of {self.layout}.")
        return digests_of(self.values)

    def fetch_blobs(self) -> Mapping[str, bytes]:
        """The bytes of each blob that the column names, by digest; what is not here yet is fetched."""
        digests = dict.fromkeys(self.digests)
        if self.blobs is None:
            raise FieldMismatch("The column was made by hand: nobody knows where its blobs are.")
        return self.blobs.fetch(digests)

    def slice(self, start: int, stop: int) -> Column:
        """The rows ``start <= row < stop``: views but for the offsets of ragged rows, which begin at 0 again."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        if self.offsets is None:
            return Column(self.layout, self.values[start:stop])
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        shapes = None if self.shapes is None else self.shapes[start:stop]
        offsets = self.offsets[start : stop + 1] - first
        return Column(self.layout, self.values[first:last], offsets, shapes, self.blobs)

    def take(self, rows: NDArray[np.int64]) -> Column:
        """These rows in this order, as a copy."""
        if self.offsets is None:
            return Column(self.layout, self.values[rows])
        lengths = np.diff(self.offsets)[rows]
        offsets = _offsets_of(lengths)
        # Element e of the result stands at the start of its row in the source plus its place within the row.
        source = np.repeat(self.offsets[:-1][rows].astype(np.int64) - offsets[:-1], lengths)
        values = self.values[source + np.arange(int(offsets[-1]))]
        return Column(self.layout, values, offsets, None if self.shapes is None else self.shapes[rows], self.blobs)

    def _typed_values(self) -> NDArray[Any]:
        return self.values.view(np.bool_) if dtype_of(self.layout) == "bool" else self.values


def join_columns(parts: list[Column]) -> Column:
    """One column of the rows of several, as a copy where there are several."""
    if len(parts) == 1:
        return parts[0]
    layout = parts[0].layout
    values = np.concatenate([part.values for part in parts])
    if parts[0].offsets is None:
        return Column(layout, values)
    lengths = np.concatenate([np.diff(part.offsets) for part in parts if part.offsets is not None])
    if int(lengths.sum(dtype=np.int64)) > np.iinfo(np.int32).max:
        raise FieldMismatch(
            f"The parts of this batch hold too many values for one column of {layout}; read fewer rows."
        )
    shapes = None
    if parts[0].shapes is not None:
        shapes = np.concatenate([part.shapes for part in parts if part.shapes is not None])
    sources = [(part.blobs, part.digests) for part in parts if part.blobs is not None]
    return Column(layout, values, _offsets_of(lengths), shapes, JoinedBlobs(sources) if sources else None)


def read_column(
    body: NDArray[np.uint8],
    layout: Layout,
    rows: int,
    buffers: list[tuple[int, int]],
    blobs: BlobSource | None = None,
) -> Column:
    """The column over these buffers of an answer (validity buffers left out), checked against each other."""
    dtype = np.dtype(storage_of(layout))
    at, size = buffers[-1 if not _has_shapes(layout) else 1]
    if isinstance(layout, Scalar):
        return Column(layout, np.ndarray((rows,), dtype, body[at : at + size]))
    if isinstance(layout, Dense):
        return Column(layout, np.ndarray((rows, *layout.shape), dtype, body[at : at + size]))
    offsets_at, offsets_size = buffers[0]
    if rows == 0 and offsets_size == 0:
        offsets = np.zeros(1, np.int32)
    else:
        offsets = np.ndarray((rows + 1,), np.int32, body[offsets_at : offsets_at + offsets_size])
    first, last = int(offsets[0]), int(offsets[-1])
    if first < 0 or (rows > 0 and (offsets[1:] < offsets[:-1]).any()):
        raise AnswerInvalid("The offsets of a column of the answer fall.")
    values = np.ndarray((last,), dtype, body[at : at + size])
    if first:
        values, offsets = values[first:], offsets - np.int32(first)
    if isinstance(layout, Blob):
        if (np.diff(offsets) != BLOB_DIGEST_SIZE).any():
            raise AnswerInvalid("A digest of the answer is not of the length of a SHA-256.")
        return Column(layout, values, offsets, None, blobs)
    if not _has_shapes(layout):
        return Column(layout, values, offsets)
    return Column(layout, values, offsets, _read_shapes(body, layout, offsets, buffers[2]))


def _read_shapes(
    body: NDArray[np.uint8], layout: Layout, offsets: NDArray[np.int32], buffer: tuple[int, int]
) -> NDArray[np.int32]:
    declared = layout.shape if isinstance(layout, Ragged) and layout.shape is not None else ()
    at, size = buffer
    shapes: NDArray[np.int32] = np.ndarray((len(offsets) - 1, len(declared)), np.int32, body[at : at + size])
    if (shapes < 0).any() or (shapes.prod(axis=1, dtype=np.int64) != np.diff(offsets)).any():
        raise AnswerInvalid("The shapes of a column of the answer do not fit its offsets.")
    return shapes


def _has_shapes(layout: Layout) -> bool:
    return isinstance(layout, Ragged) and layout.shape is not None


def _offsets_of(lengths: NDArray[Any]) -> NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _as_float32(layout: Layout) -> Layout:
    if isinstance(layout, Dense):
        return Dense("float32", layout.shape)
    return Ragged("float32", layout.shape) if isinstance(layout, Ragged) else Scalar("float32")

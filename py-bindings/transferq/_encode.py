"""What users put -- NumPy, torch, pyarrow, lists -- as buffers of an Arrow record batch, neither joined nor converted.

    values --layout--> Outgoing{values, offsets, shapes} --slice by rows--> Body{pieces, size}

Invariants: the declared layout directs the encoding, the data never does; a dtype must match exactly unless the
values are Python numbers; pieces are sent in order, each buffer at a multiple of 64 from the start of the body.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from transferq._arrays import Array, cell_array, cell_arrays, host_tensor, is_tensor, mismatch, stacked_array
from transferq._arrow import column_of_arrow, is_arrow
from transferq._blobs import BlobSource, hash_blobs
from transferq._columns import Column
from transferq._ipc import END_OF_STREAM, batch_message, padding_of, schema_message
from transferq._layouts import ELEMENTS_MAX, Blob, Bytes, Dense, Json, Layout, Ragged, Scalar, Text, storage_of
from transferq._protocol import BLOB_DIGEST_SIZE
from transferq.errors import FieldMismatch

# Rows of at least this mean size are sent from where they lie; smaller ones are joined, which is cheaper than to
# list them.
SCATTERED_ROW_SIZE_MIN: Final = 16 << 10


@dataclass(frozen=True)
class Outgoing:
    """One column on its way out: as Column, but its values may be one piece per row."""

    layout: Layout
    rows: int
    values: Sequence[Array]
    offsets: NDArray[np.int32] | None = None
    shapes: NDArray[np.int32] | None = None
    # Where the bytes are that its digests name.
    blobs: BlobSource | None = None

    def slice(self, start: int, stop: int) -> Outgoing:
        """The rows ``start <= row < stop``."""
        if start == 0 and stop == self.rows:
            return self
        if self.offsets is None:
            return Outgoing(self.layout, stop - start, [piece[start:stop] for piece in self.values])
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        scattered = len(self.values) > 1
        values = self.values[start:stop] if scattered else [self.values[0][first:last]]
        shapes = None if self.shapes is None else self.shapes[start:stop]
        offsets = self.offsets[start : stop + 1] - np.int32(first)
        return Outgoing(self.layout, stop - start, values, offsets, shapes, self.blobs)

    def take(self, rows: NDArray[np.int64]) -> Outgoing:
        """These rows in this order, as a copy."""
        values = self.values[0] if len(self.values) == 1 else np.concatenate(list(self.values))
        return outgoing_of(Column(self.layout, values, self.offsets, self.shapes, self.blobs).take(rows))

    def size(self, start: int, stop: int) -> int:
        """Bytes of these rows, metadata left out."""
        if self.offsets is None:
            return sum(piece[start:stop].nbytes for piece in self.values)
        item = np.dtype(storage_of(self.layout)).itemsize
        shapes = 0 if self.shapes is None else self.shapes[start:stop].nbytes
        return int(self.offsets[stop] - self.offsets[start]) * item + 4 * (stop - start + 1) + shapes


@dataclass(frozen=True)
class Body:
    """Bytes to send, in pieces; ``size`` is their sum."""

    pieces: list[Any]
    size: int


def encode_body(ids: NDArray[np.int64], columns: Sequence[tuple[str, Outgoing]]) -> Body:
    """The Arrow IPC stream of one record batch, without the checksum tail."""
    rows = len(ids)
    nodes: list[int] = [rows]
    buffers: list[tuple[int, int]] = [(0, 0)]
    pieces: list[Any] = []
    at = 0

    def add(parts: Sequence[Array]) -> None:
        nonlocal at
        size = 0
        for part in parts:
            if part.nbytes:
                pieces.append(part.reshape(-1).view(np.uint8).data)
                size += part.nbytes
        buffers.append((at, size))
        padding = padding_of(size)
        if padding:
            pieces.append(bytes(padding))
        at += size + padding

    def absent() -> None:
        buffers.append((at, 0))

    add([ids])
    for _, column in columns:
        layout, offsets, shapes = column.layout, column.offsets, column.shapes
        nodes.append(rows)
        absent()
        if shapes is not None:
            nodes.append(rows)
            absent()
        if offsets is not None:
            add([offsets])
        if isinstance(layout, Dense | Ragged):
            nodes.append(sum(part.size for part in column.values))
            absent()
        add(column.values)
        if shapes is not None:
            nodes.extend((rows, shapes.size))
            absent()
            absent()
            add([shapes])
    schema = schema_message(tuple((name, column.layout) for name, column in columns))
    batch = batch_message(rows, nodes, buffers, at)
    size = len(schema) + len(batch) + at + len(END_OF_STREAM)
    return Body([schema, batch, *pieces, END_OF_STREAM], size)


# ---- Ids and columns ---------------------------------------------------------------------------------------------


def encode_ids(ids: Any) -> NDArray[np.int64]:
    """Row ids as int64; raises FieldMismatch for anything that is not a flat sequence of integers."""
    if is_arrow(ids):
        return np.ascontiguousarray(column_of_arrow(ids, Scalar("int64"), "index_id").values)
    array = host_tensor(ids, "index_id").numpy() if is_tensor(ids) else np.asarray(ids)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise FieldMismatch(f"Row ids must be a flat sequence of integers, not {array.dtype} of shape {array.shape}.")
    return np.ascontiguousarray(array, np.int64)


def encode_column(values: Any, layout: Layout, name: str) -> Outgoing:
    """The outgoing form of what a user gave for one field."""
    if isinstance(values, Column):
        if values.layout != layout:
            mismatch(name, layout, f"the column given is {values.layout}")
        return outgoing_of(values)
    if isinstance(layout, Blob):
        return _shared_blobs(values, name)
    if is_arrow(values):
        return outgoing_of(column_of_arrow(values, layout, name))
    if isinstance(layout, Text | Bytes | Json):
        return _blobs(values, layout, name)
    if isinstance(layout, Ragged):
        return _ragged(values, layout, name)
    shape = layout.shape if isinstance(layout, Dense) else ()
    no_rows = isinstance(values, list | tuple) and not values
    array = np.empty((0, *shape), storage_of(layout)) if no_rows else stacked_array(values, layout, name)
    if array.shape[1:] != shape or array.ndim == 0:
        mismatch(name, layout, f"the shape is {array.shape}, not (rows{''.join(f', {size}' for size in shape)})")
    return Outgoing(layout, len(array), [array])


def outgoing_of(column: Column) -> Outgoing:
    """A column on its way out, over its own memory."""
    shapes = None if column.shapes is None else np.ascontiguousarray(column.shapes)
    offsets = None if column.offsets is None else np.ascontiguousarray(column.offsets)
    values = [np.ascontiguousarray(column.values)]
    return Outgoing(column.layout, len(column), values, offsets, shapes, column.blobs)


def _blobs(values: Any, layout: Layout, name: str) -> Outgoing:
    import pyarrow as pa

    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if isinstance(layout, Json):
        cells = [json.dumps(cell, separators=(",", ":"), ensure_ascii=False, allow_nan=False) for cell in cells]
    wanted = bytes | bytearray | memoryview if isinstance(layout, Bytes) else str
    wrong = next((type(cell).__name__ for cell in cells if not isinstance(cell, wanted)), None)
    if wrong is not None:
        mismatch(name, layout, f"a cell is a {wrong}")
    array = pa.array(cells, pa.binary() if isinstance(layout, Bytes) else pa.utf8())
    return outgoing_of(column_of_arrow(array, layout, name))


def _shared_blobs(values: Any, name: str) -> Outgoing:
    """The digests of the values; of Arrow dictionaries each value is hashed once."""
    if is_arrow(values):
        values = _arrow_cells(values)
    # The very objects are compared: a list keeps them.
    cells = values.tolist() if isinstance(values, np.ndarray) and values.dtype == object else list(values)
    digests, blobs = hash_blobs(cells, lambda cell: _bytes_of(cell, name))
    offsets = np.arange(len(cells) + 1, dtype=np.int32) * np.int32(BLOB_DIGEST_SIZE)
    return Outgoing(Blob(), len(cells), [digests], offsets, None, blobs)


def _arrow_cells(array: Any) -> list[Any]:
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        return [cell for chunk in array.chunks for cell in _arrow_cells(chunk)]
    if not isinstance(array, pa.DictionaryArray):
        cells: list[Any] = array.to_pylist()
        return cells
    distinct = array.dictionary.to_pylist()
    return [None if place is None else distinct[place] for place in array.indices.to_pylist()]


def _bytes_of(cell: Any, name: str) -> bytes:
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell)
    array = host_tensor(cell, name).numpy() if is_tensor(cell) else cell
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        mismatch(name, Blob(), f"a cell is a {type(cell).__name__}, neither bytes nor an array of uint8")
    return array.tobytes()


def _ragged(values: Any, layout: Ragged, name: str) -> Outgoing:
    ndim = 1 if layout.shape is None else len(layout.shape)
    if is_tensor(values) and values.is_nested:
        jagged = _jagged(values, layout, name)
        if jagged is not None:
            return jagged
        values = list(values.unbind())
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = list(values)
    if not isinstance(values, list | tuple):
        array = stacked_array(values, layout, name)
        if array.ndim != ndim + 1:
            mismatch(name, layout, f"the shape is {array.shape}; give a list of arrays, or one array of equal rows")
        return _rows(array.reshape(-1), [array.shape[1:]] * len(array), layout, name)
    cells = cell_arrays(values, layout, name)
    shapes = [cell.shape for cell in cells]
    if set(map(len, shapes)) - {ndim}:
        wrong = next(shape for shape in shapes if len(shape) != ndim)
        mismatch(name, layout, f"a row has the shape {wrong}")
    flat = cells if ndim == 1 else [cell.reshape(-1) for cell in cells]
    if sum(cell.nbytes for cell in cells) >= SCATTERED_ROW_SIZE_MIN * max(len(cells), 1):
        return _rows(flat, shapes, layout, name)
    return _rows(np.concatenate(flat) if flat else np.empty(0, storage_of(layout)), shapes, layout, name)


def _rows(values: Array | Sequence[Array], shapes: list[tuple[int, ...]], layout: Ragged, name: str) -> Outgoing:
    """Ragged rows of these shapes, whose values are one flat array or one per row."""
    rows = len(shapes)
    extents = np.array(shapes, np.int64).reshape(rows, -1 if rows else 1)
    if layout.shape is not None:
        extents = extents.reshape(rows, len(layout.shape))
        for axis, size in enumerate(layout.shape):
            if size is not None and (extents[:, axis] != size).any():
                wrong = shapes[int((extents[:, axis] != size).argmax())]
                mismatch(name, layout, f"a row has the shape {wrong}")
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(extents.prod(axis=1), out=offsets[1:])
    if offsets[-1] > ELEMENTS_MAX:
        mismatch(name, layout, "the rows of one call hold more than 2^31 - 1 values; put fewer rows")
    pieces = [values] if isinstance(values, np.ndarray) else values
    described = None if layout.shape is None else extents.astype(np.int32)
    return Outgoing(layout, rows, pieces, offsets.astype(np.int32), described)


def _jagged(values: Any, layout: Ragged, name: str) -> Outgoing | None:
    """A jagged nested tensor without holes, over its own values; None for other nested tensors."""
    import torch

    if values.layout is not torch.jagged or values.lengths() is not None or values._ragged_idx != 1:
        return None
    flat = cell_array(values.values(), layout, name)
    lengths = np.diff(host_tensor(values.offsets(), name).numpy())
    shapes = [(length, *flat.shape[1:]) for length in lengths.tolist()]
    if flat.ndim != (1 if layout.shape is None else len(layout.shape)):
        mismatch(name, layout, f"a row has {flat.ndim} dimensions")
    return _rows(flat.reshape(-1), shapes, layout, name)

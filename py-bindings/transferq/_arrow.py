"""Columns as pyarrow arrays and back, over the same memory.

Invariants: no value is converted; an Arrow array with nulls, or of another type than its layout asks for, is refused
with what to cast it to.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from transferq._arrow_fields import arrow_field
from transferq._columns import Column
from transferq._layouts import (
    ELEMENTS_MAX,
    STORAGE,
    Blob,
    Bytes,
    Dense,
    Json,
    Layout,
    Scalar,
    Text,
    dtype_of,
    storage_of,
)
from transferq.errors import FieldMismatch, error_of


def is_arrow(values: Any) -> bool:
    """Whether this is a pyarrow array, without importing pyarrow to know."""
    return type(values).__module__.partition(".")[0] == "pyarrow"


def column_to_arrow(column: Column) -> Any:
    """The ``pyarrow.Array`` of a column: extension arrays for dense and json, storage arrays for the rest."""
    import pyarrow as pa

    layout, rows = column.layout, len(column)
    if isinstance(layout, Blob):
        return _shared(column)
    kind = arrow_field("", layout).type
    flat = pa.py_buffer(column.values.reshape(-1))
    if isinstance(layout, Scalar):
        return pa.Array.from_buffers(kind, rows, [None, flat])
    if isinstance(layout, Dense):
        items = pa.Array.from_buffers(kind.value_type, column.values.size, [None, flat])
        storage = pa.Array.from_buffers(kind, rows, [None], children=[items])
        return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(kind.value_type, layout.shape), storage)
    offsets = pa.py_buffer(column.offsets)
    if isinstance(layout, Text | Bytes | Json):
        array = pa.Array.from_buffers(kind, rows, [None, offsets, flat])
        return pa.ExtensionArray.from_storage(pa.json_(), array) if isinstance(layout, Json) else array
    list_type = kind if layout.shape is None else kind.field("data").type
    items = pa.Array.from_buffers(list_type.value_type, len(column.values), [None, flat])
    data = pa.Array.from_buffers(list_type, rows, [None, offsets], children=[items])
    if column.shapes is None:
        return data
    numbers = pa.Array.from_buffers(pa.int32(), column.shapes.size, [None, pa.py_buffer(column.shapes.reshape(-1))])
    shapes = pa.Array.from_buffers(kind.field("shape").type, rows, [None], children=[numbers])
    return pa.Array.from_buffers(kind, rows, [None], children=[data, shapes])


def column_of_arrow(array: Any, layout: Layout, name: str) -> Column:
    """The column over an Arrow array's memory. Chunks are combined and dictionaries decoded, which copies."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    _refuse_nulls(array, name)
    if isinstance(layout, Text | Bytes | Json | Blob):
        return _blob(array, layout, name)
    if isinstance(layout, Scalar):
        return Column(layout, _numbers(array, layout, name))
    if isinstance(layout, Dense):
        return _dense(array, layout, name)
    if layout.shape is None:
        return Column(layout, *_lists(array, layout, name))
    kind = array.type
    if not (pa.types.is_struct(kind) and kind.num_fields == 2 and kind.field(0).name == "data"):
        _mismatch(name, layout, kind, "send struct<data: list, shape: fixed_size_list<int32>>, or a list of arrays")
    data, extents = array.field(0), array.field(1)
    if not pa.types.is_fixed_size_list(extents.type) or extents.type.list_size != len(layout.shape):
        _mismatch(name, layout, kind, f"its shape must be fixed_size_list<int32>[{len(layout.shape)}]")
    _refuse_nulls(data, name)
    _refuse_nulls(extents, name)
    shapes = extents.flatten().to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    values, offsets = _lists(data, layout, name)
    return Column(layout, values, offsets, shapes.reshape(len(array), len(layout.shape)))


def _shared(column: Column) -> Any:
    """A dictionary array: the bytes of each blob once, and per row the place of its blob."""
    import pyarrow as pa

    digests = column.digests
    distinct = {digest: place for place, digest in enumerate(dict.fromkeys(digests))}
    blobs = column.fetch_blobs()
    places = pa.array([distinct[digest] for digest in digests], pa.int32())
    return pa.DictionaryArray.from_arrays(places, pa.array([blobs[digest] for digest in distinct], pa.binary()))


def _blob(array: Any, layout: Text | Bytes | Json | Blob, name: str) -> Column:
    import pyarrow as pa

    kind, wider = pa.utf8(), (pa.large_utf8(), pa.string_view())
    if isinstance(layout, Bytes):
        kind, wider = pa.binary(), (pa.large_binary(), pa.binary_view())
    if array.type in wider:
        array = array.cast(kind)
    elif array.type != kind:
        _mismatch(name, layout, array.type, f"cast it to {kind}")
    _, offsets_buffer, data = array.buffers()
    if len(array) == 0:
        return Column(layout, np.empty(0, np.uint8), np.zeros(1, np.int32))
    offsets = np.frombuffer(offsets_buffer, np.int32, len(array) + 1, 4 * array.offset)
    first, last = int(offsets[0]), int(offsets[-1])
    values = np.frombuffer(data, np.uint8, last - first, first) if last > first else np.empty(0, np.uint8)
    return Column(layout, values, offsets - first if first else offsets)


def _dense(array: Any, layout: Dense, name: str) -> Column:
    import pyarrow as pa

    size = math.prod(layout.shape)
    if not pa.types.is_fixed_size_list(array.type):
        values, offsets = _lists(array, layout, name)
        if (np.diff(offsets) != size).any():
            _mismatch(name, layout, array.type, f"each list must hold {size} values")
    elif array.type.list_size == size:
        values = _numbers(array.flatten(), layout, name)
    else:
        _mismatch(name, layout, array.type, f"each list must hold {size} values")
    return Column(layout, values.reshape(len(array), *layout.shape))


def _lists(array: Any, layout: Layout, name: str) -> tuple[NDArray[Any], NDArray[np.int32]]:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        offsets = np.arange(len(array) + 1, dtype=np.int64) * kind.list_size
        return _numbers(array.flatten(), layout, name), offsets.astype(np.int32)
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        _mismatch(name, layout, kind, f"cast it to list<{storage_of(layout)}>")
    offsets = array.offsets.to_numpy()
    first, last = int(offsets[0]), int(offsets[-1])
    if last - first > ELEMENTS_MAX:
        _mismatch(name, layout, kind, "put at most 2^31 - 1 values of a field in one call")
    values = _numbers(array.values.slice(first, last - first), layout, name)
    return values, (offsets - first).astype(np.int32, copy=False)


def _numbers(array: Any, layout: Layout, name: str) -> NDArray[Any]:
    import pyarrow as pa

    _refuse_nulls(array, name)
    storage = storage_of(layout)
    if pa.types.is_boolean(array.type) and dtype_of(layout) == "bool":
        array = array.cast(pa.uint8())
    if array.type != pa.from_numpy_dtype(storage):
        dtype = dtype_of(layout)
        instead = f"cast it to {storage}" + (f", which stores {dtype}" if STORAGE.get(dtype, dtype) != dtype else "")
        _mismatch(name, layout, array.type, instead)
    data = array.buffers()[1]
    if len(array) == 0 or data is None:
        return np.empty(0, storage)
    return np.frombuffer(data, storage, len(array), array.offset * np.dtype(storage).itemsize)


def _refuse_nulls(array: Any, name: str) -> None:
    if array.null_count:
        raise error_of("nulls_refused", details={"field": name})


def _mismatch(name: str, layout: Layout, kind: Any, instead: str) -> NoReturn:
    raise FieldMismatch(f"Field {name!r} is declared as {layout}, but the Arrow type is {kind}: {instead}.")

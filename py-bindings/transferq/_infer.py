"""The layout that a first put declares for a field of an open partition: read off types, never off lengths.

array or tensor [n]          Scalar        pyarrow          the layout of its Arrow type
array or tensor [n, ...]     Dense         list of str      Text
list of arrays, jagged       Ragged        list of bytes    Bytes
list of numbers              Scalar        other lists      Json
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from transferq._arrow import is_arrow
from transferq._arrow_fields import layout_of_field
from transferq._columns import Column
from transferq._layouts import Bytes, Dense, Json, Layout, Ragged, Scalar, Text, dtype_name
from transferq.errors import FieldMismatch, LayoutInvalid


def infer_layout(values: Any, name: str) -> Layout:
    """The layout of an undeclared field; raises FieldMismatch where the type of the values does not say it."""
    if isinstance(values, Column):
        return values.layout
    if is_arrow(values):
        import pyarrow as pa

        return layout_of_field(pa.field(name, values.type))
    if _is_array(values):
        return _of_array(values, name)
    if not isinstance(values, list | tuple) or not values:
        raise FieldMismatch(f"Declare the layout of field {name!r}: a {type(values).__name__} does not tell it.")
    first = values[0]
    if _is_array(first) and first.ndim > 0:
        return Ragged(_dtype(first, name), None if first.ndim == 1 else (None,) * first.ndim)
    if isinstance(first, str):
        return Text()
    if isinstance(first, bytes | bytearray | memoryview):
        return Bytes()
    if isinstance(first, bool | int | float | np.generic):
        return Scalar(_dtype(np.asarray(values), name))
    return Json()


def _of_array(values: Any, name: str) -> Layout:
    if getattr(values, "is_nested", False):
        ndim = values.dim() - 1
        return Ragged(_dtype(values, name), None if ndim == 1 else (None,) * ndim)
    if values.dtype == object:
        return infer_layout(list(values), name)
    shape = tuple(values.shape)
    return Dense(_dtype(values, name), shape[1:]) if len(shape) > 1 else Scalar(_dtype(values, name))


def _is_array(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(value, np.ndarray) or (torch is not None and isinstance(value, torch.Tensor))


def _dtype(array: Any, name: str) -> str:
    try:
        return dtype_name(array.dtype)
    except LayoutInvalid as error:
        raise FieldMismatch(f"Field {name!r} holds {array.dtype}, which no layout uses: {error.message}") from error

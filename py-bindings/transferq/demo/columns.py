"""Columns as the stages compute on them: an array with a row per sample, or jagged values with offsets.

    dense, scalar   NDArray [n, ...]
    ragged          Jagged: values [t, ...] of all rows, offsets [n + 1]; row i = values[offsets[i] : offsets[i + 1]]

The store counts the offsets of a strip [k, 64] in numbers, the stages count them in images; `rows_of` converts.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transferq import Ragged
from transferq.demo.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transferq import Batch
    from transferq.torch import TensorBatch


@dataclass(frozen=True)
class Jagged:
    """Rows of different lengths, one after the other."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def like(self, values: NDArray[Any]) -> Jagged:
        """Other values in the same rows."""
        return Jagged(values, self.offsets)

    @staticmethod
    def of_rows(rows: Sequence[NDArray[Any]]) -> Jagged:
        """Rows joined; at least one."""
        return Jagged(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))


Column: TypeAlias = NDArray[Any] | Jagged


class Rows(dict[str, Column]):
    """The columns of some rows by name."""

    def jagged(self, name: str) -> Jagged:
        column = self[name]
        if not isinstance(column, Jagged):
            raise TypeError(f"field {name} is not ragged")
        return column

    def array(self, name: str) -> NDArray[Any]:
        column = self[name]
        if isinstance(column, Jagged):
            raise TypeError(f"field {name} is ragged")
        return column


def rows_of(batch: Batch, fields: Iterable[str]) -> Rows:
    """The columns of a received batch: views of the received bytes."""
    rows = Rows()
    for field in fields:
        column = batch[field]
        if not isinstance(column.layout, Ragged) or column.offsets is None:
            rows[field] = column.numpy()
            continue
        tail = [size for size in (column.layout.shape or ())[1:] if size is not None]
        offsets = column.offsets.astype(np.int64) // math.prod(tail)
        rows[field] = Jagged(column.values.reshape(-1, *tail), offsets)
    return rows


def rows_of_tensors(batch: TensorBatch, fields: Iterable[str]) -> Rows:
    """The columns of a batch of tensors; those of several dimensions are copied."""
    rows = Rows()
    for field in fields:
        cells = batch[field]
        if isinstance(cells, list):
            rows[field] = Jagged.of_rows([cell.numpy() for cell in cells])
        elif cells.is_nested:
            rows[field] = Jagged(cells.values().numpy(), cells.offsets().numpy().astype(np.int64))
        else:
            rows[field] = cells.numpy()
    return rows


def as_put(column: Column) -> NDArray[Any] | list[NDArray[Any]]:
    """The column as a put takes it: one array, or one view per ragged row."""
    return np.split(column.values, column.offsets[1:-1]) if isinstance(column, Jagged) else column


def byte_count(column: Column) -> int:
    return column.values.nbytes if isinstance(column, Jagged) else column.nbytes


def row_digests(column: Column) -> list[int]:
    """One CRC-32 per row of the bytes of its cell: what is read must be what was written."""
    values = np.ascontiguousarray(column.values if isinstance(column, Jagged) else column)
    if values.size == 0:
        return [zlib.crc32(b"")] * (len(column.offsets) - 1 if isinstance(column, Jagged) else len(column))
    data = values.reshape(-1).view(np.uint8).data
    offsets = column.offsets if isinstance(column, Jagged) else np.arange(len(column) + 1)
    bounds = (offsets * (values.nbytes // len(values))).tolist()
    return [zlib.crc32(data[start:end]) for start, end in pairwise(bounds)]


def evidence_of(ids: Sequence[int], rows: Rows, versions: Sequence[int] | None = None) -> dict[str, Any]:
    """What a history says of rows that were written or read, and of their tag `version` if they came with it."""
    digests = {field: row_digests(column) for field, column in rows.items()}
    if versions is not None:
        digests[VERSION] = list(versions)
    return {"ids": list(ids), "digests": digests, "bytes": sum(map(byte_count, rows.values()))}

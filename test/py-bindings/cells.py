"""Rows of every layout and dtype for the round-trip tests, and what they must come back as."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transferq import Bytes, Dense, Json, Layout, Ragged, Scalar, Text
from transferq._layouts import STORAGE

# Lengths of the rows of a batch: none, one, all equal, all different, and empty rows among others.
LENGTHS: dict[str, list[int]] = {
    "no rows": [],
    "one row": [3],
    "one empty row": [0],
    "equal rows": [2, 2, 2],
    "ragged rows": [0, 3, 1, 0, 5],
}
NUMBERS = tuple(STORAGE)


def layouts_of(dtype: str) -> list[Layout]:
    return [
        Dense(dtype, (2, 3)),
        Ragged(dtype),
        Ragged(dtype, (None, 4)),
        Ragged(dtype, (2, None, None)),
        Scalar(dtype),
    ]


BLOBS: list[Layout] = [Text(), Bytes(), Json()]


def shape_of(layout: Layout, length: int) -> tuple[int, ...]:
    if isinstance(layout, Dense):
        return layout.shape
    if isinstance(layout, Ragged):
        return (length,) if layout.shape is None else tuple(length if size is None else size for size in layout.shape)
    return ()


def numbers(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Any bits but those of NaN, which equal nothing; bfloat16 as uint16."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype == "bfloat16":
        return (rng.standard_normal(shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype.startswith("float"):
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def rows_of(layout: Layout, lengths: list[int], seed: int = 0) -> list[Any]:
    """One value per row, as NumPy arrays of one or more dimensions, or as Python values."""
    rng = np.random.default_rng(seed)
    if isinstance(layout, Text):
        return ["ü" * length for length in lengths]
    if isinstance(layout, Bytes):
        return [bytes(rng.integers(0, 256, length, dtype=np.uint8)) for length in lengths]
    if isinstance(layout, Json):
        return [{"n": length, "s": "é", "l": [None, True, 0.5]} for length in lengths]
    return [numbers(layout.dtype, shape_of(layout, length), rng) for length in lengths]


def tensor(array: np.ndarray[Any, Any], dtype: str) -> torch.Tensor:
    """The same bits as a torch tensor of its own memory."""
    made = torch.from_numpy(np.array(array))
    return made.view(torch.bfloat16) if dtype == "bfloat16" else made


def stacked(layout: Layout, rows: list[Any]) -> np.ndarray[Any, Any]:
    """Rows of one shape as one array."""
    assert not isinstance(layout, Text | Bytes | Json)
    dtype = {"bfloat16": "uint16"}.get(layout.dtype, layout.dtype)
    return np.stack(rows) if rows else np.empty((0, *shape_of(layout, 0)), dtype)

"""Round trips of anything (hypothesis): what is put, and sliced, taken or joined, comes back bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from cells import BLOBS, NUMBERS, layouts_of, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_types import column_of, encoded
from transferq import Bytes, Json, Layout, Text
from transferq._columns import join_columns

LAYOUTS = st.sampled_from([layout for dtype in NUMBERS for layout in layouts_of(dtype)] + BLOBS)
LENGTHS = st.lists(st.integers(0, 40), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(LAYOUTS, LENGTHS, st.integers(0, 2**32 - 1))
def test_rows_come_back(layout: Layout, lengths: list[int], seed: int) -> None:
    rows = rows_of(layout, lengths, seed)
    data = encoded(rows, layout, len(rows))
    pa.ipc.open_stream(data).read_next_batch().validate(full=True)
    column = column_of(rows, layout, len(rows))
    assert encoded(column, layout, len(rows)) == data
    assert encoded(column.arrow(), layout, len(rows)) == data
    cut = seed % (len(rows) + 1)
    parts = [column.slice(0, cut), column.slice(cut, len(rows))]
    assert encoded(join_columns(parts), layout, len(rows)) == data
    order = np.random.default_rng(seed).integers(0, max(len(rows), 1), len(rows))
    if len(rows):
        assert encoded(column.take(order), layout, len(rows)) == encoded([rows[at] for at in order], layout, len(rows))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20)), st.lists(st.binary(max_size=20)), st.lists(JSON))
def test_text_bytes_and_json_come_back(texts: list[str], blobs: list[bytes], values: list[Any]) -> None:
    cases: list[tuple[list[Any], Layout]] = [(texts, Text()), (blobs, Bytes()), (values, Json())]
    for rows, layout in cases:
        assert column_of(rows, layout, len(rows)).list() == rows

"""Every layout and dtype, put as NumPy, torch and Arrow, read back as each: equal, typed as declared, and views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from cells import BLOBS, LENGTHS, NUMBERS, layouts_of, rows_of, shape_of, stacked, tensor
from fake_server import checksum_of
from transferq import Batch, Client, Column, Dense, Layout, Ragged, Scalar
from transferq._arrow_fields import arrow_field
from transferq._core import BodyHasher
from transferq._encode import encode_body, encode_column, encode_ids

LAYOUTS = [layout for dtype in NUMBERS for layout in layouts_of(dtype)] + BLOBS


def encoded(values: Any, layout: Layout, rows: int) -> bytes:
    body = encode_body(encode_ids(range(rows)), [("x", encode_column(values, layout, "x"))])
    joined = b"".join(body.pieces)
    assert len(joined) == body.size
    return joined


def read_with_pyarrow(stream: bytes) -> pa.RecordBatch:
    reader = pa.ipc.open_stream(stream)
    batch = reader.read_next_batch()
    batch.validate(full=True)
    with pytest.raises(StopIteration):
        reader.read_next_batch()
    return batch


def column_of(values: Any, layout: Layout, rows: int) -> Column:
    """What comes back when the bytes of a put are an answer."""
    from transferq._batch import Part
    from transferq._http import Answer

    stream = np.frombuffer(bytearray(encoded(values, layout, rows)), np.uint8)
    batch = Batch([Part(Answer(200, {}, stream))])
    assert batch.index_ids.tolist() == list(range(rows))
    return batch["x"]


def forms(layout: Layout, rows: list[Any]) -> dict[str, Any]:
    """The same rows in each form that a user may have them in."""
    if layout in BLOBS:
        return {"list": rows, "arrow": Column.arrow(column_of(rows, layout, len(rows)))}
    dtype = layout.dtype  # type: ignore[union-attr]
    made: dict[str, Any] = {"arrays": rows, "tensors": [tensor(row, dtype) for row in rows]}
    if isinstance(layout, Ragged):
        if layout.shape is None and rows:
            lengths = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
            flat = tensor(np.concatenate(rows), dtype)
            made["jagged"] = torch.nested.nested_tensor_from_jagged(flat, lengths)
        if len({row.shape for row in rows}) == 1:
            made["one array"] = np.stack(rows)
    else:
        made["one array"] = stacked(layout, rows)
        made["one tensor"] = tensor(stacked(layout, rows), dtype)
        backwards = stacked(layout, rows[::-1])
        made["reversed view"] = backwards[::-1]
    made["column"] = column_of(rows, layout, len(rows)) if rows or isinstance(layout, Ragged) else made["one array"]
    made["arrow"] = column_of(made["column"], layout, len(rows)).arrow()
    made["sliced arrow"] = pa.concat_arrays([made["arrow"], made["arrow"]]).slice(len(rows))
    made["chunked arrow"] = pa.chunked_array([made["arrow"].slice(0, 1), made["arrow"].slice(1)])
    return made


def bits(array: Any) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_all_forms_are_sent_as_the_same_bytes_and_pyarrow_reads_them(layout: Layout, lengths: list[int]) -> None:
    rows = rows_of(layout, lengths)
    streams = {name: encoded(values, layout, len(rows)) for name, values in forms(layout, rows).items()}
    first = next(iter(streams.values()))
    assert {name for name, stream in streams.items() if stream != first} == set()
    batch = read_with_pyarrow(first)
    assert batch.schema.field("index_id") == pa.field("index_id", pa.int64(), nullable=False)
    found = batch.column("x")
    stored = found.storage if isinstance(found, pa.ExtensionArray) else found
    assert stored.type == arrow_field("x", layout).type
    assert len(found) == len(rows)
    if isinstance(layout, Dense) and rows:
        assert bits(found.to_numpy_ndarray()) == bits(np.stack(rows).view(found.type.value_type.to_pandas_dtype()))
    if isinstance(layout, Ragged) and layout.shape is not None:
        assert [tuple(shape) for shape in stored.field("shape").to_pylist()] == [row.shape for row in rows]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_what_comes_back_is_what_was_put(layout: Layout, lengths: list[int]) -> None:
    rows = rows_of(layout, lengths)
    column = column_of(rows, layout, len(rows))
    assert len(column) == len(rows)
    if layout in BLOBS:
        assert column.list() == rows
        assert column.numpy().tolist() == rows
        assert column.arrow().to_pylist() == [
            cell if not isinstance(cell, dict) else column.arrow()[at].as_py() for at, cell in enumerate(rows)
        ]
        return
    dtype = layout.dtype  # type: ignore[union-attr]
    arrays, tensors = column.numpy(), column.torch()
    if isinstance(layout, Ragged):
        assert isinstance(arrays, list)
        if layout.shape is None:
            assert tensors.is_nested
            assert tensors.layout is torch.jagged
            assert tensors.size(0) == len(rows)
            tensors = list(tensors.unbind())
        assert [array.shape for array in arrays] == [row.shape for row in rows]
    else:
        assert arrays.shape == (len(rows), *shape_of(layout, 0))
        assert tuple(tensors.shape) == arrays.shape
        assert arrays.dtype == stacked(layout, rows).dtype
    for array, cell, row in zip(arrays, tensors, rows, strict=True):
        assert array.dtype == row.dtype
        assert bits(array) == bits(row)
        assert str(cell.dtype) == f"torch.{dtype}"
        assert torch.equal(cell, tensor(row, dtype))
    column.arrow().validate(full=True)
    expected = [tensor(row, dtype).tolist() for row in rows]
    assert column.list() == expected


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout not in BLOBS], ids=repr)
def test_numpy_torch_and_arrow_are_views_of_the_answer(layout: Layout) -> None:
    column = column_of(rows_of(layout, [3, 1, 2]), layout, 3)
    start, size = column.values.__array_interface__["data"][0], column.values.nbytes

    def inside(address: int) -> bool:
        return start <= address < start + size

    arrays, tensors = column.numpy(), column.torch()
    first = arrays[0] if isinstance(arrays, list) else arrays
    cell = tensors[0] if isinstance(tensors, list) else tensors.values() if tensors.is_nested else tensors
    assert inside(first.__array_interface__["data"][0])
    assert inside(cell.data_ptr())
    assert start % 8 == 0
    data = [buffer for buffer in column.arrow().buffers() if buffer is not None]
    assert any(inside(buffer.address) for buffer in data)


def test_the_checksum_is_the_published_xxh64() -> None:
    rng = np.random.default_rng(1)
    for size in (0, 1, 16, 1 << 20, (1 << 20) + 1, 3_000_000):
        data = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        hasher = BodyHasher()
        hasher.update(data[: size // 3])
        hasher.update(data[size // 3 :])
        assert hasher.finish() == checksum_of(data)


def test_all_layouts_together_through_a_server(tq: Client) -> None:
    layouts = {f"f{at}": layout for at, layout in enumerate(LAYOUTS)}
    everything = tq.partition("everything", fields=layouts)
    lengths = LENGTHS["ragged rows"]
    rows = {name: rows_of(layout, lengths, seed) for seed, (name, layout) in enumerate(layouts.items())}
    everything.put(rows, index_ids=np.arange(5))
    order = [3, 0, 4]
    batch = everything.get(order)
    assert list(batch) == list(layouts)
    for name, layout in layouts.items():
        again = encoded(batch[name], layout, 3)
        assert again == encoded([rows[name][at] for at in order], layout, 3), name
    batch.arrow().validate(full=True)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_slice_and_take_and_join(layout: Layout) -> None:
    from transferq._columns import join_columns

    rows = rows_of(layout, LENGTHS["ragged rows"])
    column = column_of(rows, layout, 5)
    whole = encoded(rows, layout, 5)
    assert encoded(join_columns([column.slice(0, 2), column.slice(2, 2), column.slice(2, 5)]), layout, 5) == whole
    order = np.array([4, 0, 0, 2])
    assert encoded(column.take(order), layout, 4) == encoded([rows[at] for at in order], layout, 4)
    outgoing = encode_column(rows, layout, "x")
    ids = encode_ids(range(2))
    part = b"".join(encode_body(ids, [("x", outgoing.slice(1, 3))]).pieces)
    assert part == encoded(rows[1:3], layout, 2)
    assert sum(outgoing.size(at, at + 1) for at in range(5)) >= outgoing.size(0, 5) > 0


def test_a_scalar_is_no_dense_and_no_layout_depends_on_lengths() -> None:
    assert column_of([np.float32(1.5)], Scalar("float32"), 1).numpy().shape == (1,)
    assert column_of(np.zeros((1, 1), np.float32), Dense("float32", (1,)), 1).numpy().shape == (1, 1)
    assert column_of([np.zeros(2)], Ragged("float64"), 1).torch().is_nested

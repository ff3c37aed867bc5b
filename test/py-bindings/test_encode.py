"""What a put takes, what it refuses, and what it says then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transferq import Bytes, Dense, FieldMismatch, Json, Layout, Ragged, Scalar, Text, TransferQueueError
from transferq._encode import SCATTERED_ROW_SIZE_MIN, encode_body, encode_column, encode_ids
from transferq._infer import infer_layout


def values_of(values: Any, layout: Layout) -> list[Any]:
    outgoing = encode_column(values, layout, "x")
    return np.concatenate([piece.reshape(-1) for piece in outgoing.values]).tolist()


@pytest.mark.parametrize(
    ("values", "layout", "says"),
    [
        (np.zeros((2, 3)), Dense("float32", (3,)), r"float64; cast it with \.astype\(numpy\.float32\)"),
        (torch.zeros(2, 3, dtype=torch.float64), Dense("float32", (3,)), r"\.to\(torch\.float32\)"),
        (torch.zeros(2, dtype=torch.bfloat16), Scalar("uint16"), r"bfloat16; cast it with \.to\(torch\.uint16\)"),
        (torch.zeros(2), Scalar("bfloat16"), r"\.to\(torch\.bfloat16\)"),
        (np.zeros(2, np.uint8), Scalar("bool"), r"\.astype\(numpy\.bool\)"),
        (np.zeros(2, ">f4"), Scalar("float32"), r"\.astype\(numpy\.float32\)"),
        (np.zeros((2, 4), np.float32), Dense("float32", (3,)), r"shape is \(2, 4\), not \(rows, 3\)"),
        (np.zeros((), np.float32), Scalar("float32"), "shape"),
        (np.float32(1), Scalar("float32"), "shape"),
        ([np.zeros(2, "f4"), np.zeros(3, "f4")], Dense("float32", (2,)), "different shapes"),
        ([np.zeros((2, 2), "f4")], Ragged("float32"), r"a row has the shape \(2, 2\)"),
        ([np.zeros((2, 3), "f4")], Ragged("float32", (None, 4)), r"a row has the shape \(2, 3\)"),
        (np.zeros(3, "f4"), Ragged("float32"), "give a list of arrays"),
        (torch.zeros(2, 3, device="meta"), Dense("float32", (3,)), r"on meta; copy it to the host with \.cpu\(\)"),
        ([1, 2.5], Scalar("int64"), "the values are float64"),
        ([1, 300], Scalar("uint8"), "fit|range"),
        ([-1], Scalar("uint32"), "fit|range"),
        ([True, 1], Scalar("bool"), "the values are int64"),
        ([[1, 2], [3]], Dense("int64", (2,)), "fit"),
        (["a"], Scalar("float32"), "the values are"),
        ([b"x"], Text(), "a cell is a bytes"),
        (["x"], Bytes(), "a cell is a str"),
        ([None], Text(), "a cell is a NoneType"),
        (pa.array([1.5, 2.5]), Scalar("float32"), "Arrow type is double: cast it to float32"),
        (pa.array([1], pa.uint8()), Scalar("bfloat16"), "cast it to uint16, which stores bfloat16"),
        (pa.array([1]), Text(), "cast it to string"),
        (pa.array([[1.0], [2.0, 3.0]], pa.list_(pa.float32())), Dense("float32", (1,)), "each list must hold 1 values"),
        (pa.array([[1.0]], pa.list_(pa.float32())), Ragged("float32", (None, 1)), "struct<data"),
        (pa.array([1]), Ragged("int64"), "cast it to list<int64>"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(values: Any, layout: Layout, says: str) -> None:
    with pytest.raises(FieldMismatch, match=says) as caught:
        encode_column(values, layout, "x")
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("array", "layout"),
    [
        (pa.array([1.0, None], pa.float32()), Scalar("float32")),
        (pa.array([[1.0], None], pa.list_(pa.float32())), Ragged("float32")),
        (pa.array([[1.0, None]], pa.list_(pa.float32())), Ragged("float32")),
        (pa.array([[1.0, None]], pa.list_(pa.float32(), 2)), Dense("float32", (2,))),
        (pa.array(["a", None]), Text()),
    ],
)
def test_nulls_are_refused(array: Any, layout: Layout) -> None:
    with pytest.raises(TransferQueueError) as caught:
        encode_column(array, layout, "x")
    assert caught.value.code == "nulls_refused"


def test_python_numbers_have_no_dtype_and_are_converted() -> None:
    assert values_of([1, 2], Scalar("float32")) == [1.0, 2.0]
    assert values_of([[1, 2], [3]], Ragged("int16")) == [1, 2, 3]
    assert values_of([[[1.5]], [[2]]], Dense("float16", (1, 1))) == [1.5, 2.0]
    assert values_of([True, False], Scalar("bool")) == [1, 0]
    assert values_of([[], [True]], Ragged("bool")) == [1]
    assert values_of([], Scalar("int8")) == []
    assert values_of([2**64 - 1], Scalar("uint64")) == [2**64 - 1]
    assert values_of([np.float32(1), 2], Scalar("float32")) == [1.0, 2.0]


def test_python_numbers_become_bfloat16_as_torch_rounds_them() -> None:
    numbers = [*np.random.default_rng(0).standard_normal(1000).tolist(), 0.0, -0.0, float("inf"), 1e39, 1.00390625]
    bits = torch.tensor(numbers, dtype=torch.float32).bfloat16().view(torch.uint16).tolist()
    assert values_of(numbers, Scalar("bfloat16")) == bits
    assert values_of([float("nan")], Scalar("bfloat16")) == [0x7FC0]


def test_bfloat16_may_come_as_its_bits() -> None:
    tensor = torch.randn(4, dtype=torch.bfloat16)
    assert values_of(tensor, Scalar("bfloat16")) == values_of(tensor.view(torch.uint16).numpy(), Scalar("bfloat16"))


def test_tensors_with_a_history_and_views_are_taken_as_they_are() -> None:
    weights = torch.randn(3, 4, requires_grad=True)
    assert values_of(weights * 2, Dense("float32", (4,))) == (weights * 2).flatten().tolist()
    assert values_of(weights.T, Dense("float32", (3,))) == weights.T.flatten().tolist()
    assert values_of(np.arange(6).reshape(2, 3).T, Dense("int64", (2,))) == [0, 3, 1, 4, 2, 5]
    strided = [np.arange(10)[::3], np.arange(10)[1::4]]
    assert values_of(strided, Ragged("int64")) == [0, 3, 6, 9, 1, 5, 9]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_tensors_of_all_kinds() -> None:
    rows = [torch.arange(3), torch.arange(1), torch.arange(4)]
    flat = torch.cat(rows).tolist()
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    strided = torch.nested.nested_tensor(rows)
    narrowed = torch.nested.narrow(torch.arange(12).view(3, 4), 1, 0, torch.tensor([3, 1, 4]), layout=torch.jagged)
    assert values_of(jagged, Ragged("int64")) == flat
    assert values_of(strided, Ragged("int64")) == flat
    assert values_of(narrowed, Ragged("int64")) == [0, 1, 2, 4, 8, 9, 10, 11]
    strips = torch.nested.nested_tensor([torch.ones(2, 5), torch.zeros(3, 5)], layout=torch.jagged)
    outgoing = encode_column(strips, Ragged("float32", (None, 5)), "x")
    assert outgoing.shapes is not None
    assert outgoing.shapes.tolist() == [[2, 5], [3, 5]]
    assert outgoing.offsets is not None
    assert outgoing.offsets.tolist() == [0, 10, 25]
    assert outgoing.values[0].ctypes.data == strips.values().data_ptr()


def test_large_rows_are_sent_from_where_they_lie() -> None:
    rows = [np.random.default_rng(at).random(SCATTERED_ROW_SIZE_MIN // 4, np.float32) for at in range(3)]
    outgoing = encode_column(rows, Ragged("float32"), "x")
    body = encode_body(encode_ids(range(3)), [("x", outgoing)])
    starts = {row.ctypes.data for row in rows}
    sent = {np.frombuffer(piece, np.uint8).ctypes.data for piece in body.pieces if len(piece) > 1000}
    assert sent == starts
    dense = np.zeros((4, 1000))
    assert encode_column(dense, Dense("float64", (1000,)), "x").values[0] is dense


def test_arrow_tables_chunks_and_dictionaries() -> None:
    words = pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()])
    assert encode_column(words, Text(), "x").rows == 3
    assert bytes(values_of(words, Text())) == b"abb"
    assert bytes(values_of(pa.array(["x", "yz"], pa.large_string()), Text())) == b"xyz"
    assert bytes(values_of(pa.array([b"x", b"yz"], pa.binary_view()), Bytes())) == b"xyz"
    assert values_of(pa.array([True, False, True]).slice(1), Scalar("bool")) == [0, 1]
    assert values_of(pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)).slice(1), Dense("int8", (2,))) == [3, 4]
    assert values_of(pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)), Ragged("int8")) == [1, 2, 3, 4]
    assert values_of(pa.array([[1], [2, 3], [4]], pa.large_list(pa.int8())).slice(1, 1), Ragged("int8")) == [2, 3]
    assert values_of(pa.array([[1, 2], [3, 4]], pa.list_(pa.int8())), Dense("int8", (2,))) == [1, 2, 3, 4]
    assert values_of(pa.chunked_array([], pa.int8()), Scalar("int8")) == []


def test_json_is_checked_and_compact() -> None:
    assert bytes(values_of([{"a": [1, None]}, "é"], Json())).decode() == '{"a":[1,null]}"é"'
    with pytest.raises(ValueError, match="JSON"):
        encode_column([float("nan")], Json(), "x")


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2],
        (1, 2),
        range(1, 3),
        np.array([1, 2], np.int32),
        np.array([1, 2], np.uint64),
        torch.tensor([1, 2]),
        pa.array([1, 2]),
        pa.chunked_array([[1], [2]]),
    ],
    ids=lambda ids: type(ids).__name__ + str(getattr(ids, "dtype", "")),
)
def test_ids_in_all_forms(ids: Any) -> None:
    encoded = encode_ids(ids)
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [1, 2]


@pytest.mark.parametrize("ids", [1, [1.5], ["a"], np.zeros((2, 2), int), [True]], ids=repr)
def test_what_is_no_list_of_ids(ids: Any) -> None:
    with pytest.raises(FieldMismatch):
        encode_ids(ids)


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        (np.zeros(3, np.int8), Scalar("int8")),
        (np.zeros((3, 2), np.float16), Dense("float16", (2,))),
        (np.zeros((1, 1), np.float16), Dense("float16", (1,))),
        (torch.zeros(3, 2, dtype=torch.bfloat16), Dense("bfloat16", (2,))),
        (torch.zeros(3, dtype=torch.bool), Scalar("bool")),
        ([np.zeros(2), np.zeros(2)], Ragged("float64")),
        ([torch.zeros(2, 3)], Ragged("float32", (None, None))),
        (torch.nested.nested_tensor([torch.zeros(2)], layout=torch.jagged), Ragged("float32")),
        (["a"], Text()),
        ([b"a"], Bytes()),
        ([{"a": 1}], Json()),
        ([[1, 2]], Json()),
        ([1, 2], Scalar("int64")),
        ([1.5, 2], Scalar("float64")),
        (pa.array([[1.5]]), Ragged("float64")),
        (pa.array(["a"]).dictionary_encode(), Text()),
    ],
)
def test_an_open_partition_takes_the_layout_from_the_type(values: Any, layout: Layout) -> None:
    assert infer_layout(values, "x") == layout


@pytest.mark.parametrize("values", [[], np.zeros(2, complex), {1, 2}, np.array(["a"])], ids=repr)
def test_a_type_that_does_not_tell_its_layout(values: Any) -> None:
    with pytest.raises(FieldMismatch, match="'x'"):
        infer_layout(values, "x")

"""Layouts as values, on the wire and in Arrow schemas."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from transferq import Bytes, Dense, Json, Layout, LayoutInvalid, Ragged, Scalar, Text
from transferq._arrow_fields import arrow_field, layout_of_field
from transferq._layouts import STORAGE, layout_from_json

LAYOUTS: list[Layout] = [Text(), Bytes(), Json()]
for dtype in STORAGE:
    LAYOUTS += [
        Dense(dtype, (2, 3)),
        Ragged(dtype),
        Ragged(dtype, (None, 3)),
        Ragged(dtype, (None, None)),
        Scalar(dtype),
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_a_layout_survives_json_arrow_and_pickle(layout: Layout) -> None:
    assert layout_from_json(layout.to_json()) == layout
    assert pickle.loads(pickle.dumps(layout)) == layout
    field = arrow_field("x", layout)
    assert layout_of_field(field) == layout
    assert layout_of_field(pa.ipc.read_schema(pa.schema([field]).serialize()).field(0)) == layout
    assert not field.nullable


def test_dtypes_may_be_given_as_numpy_and_torch_say_them() -> None:
    assert (
        Dense(np.float32, (2,)) == Dense("float32", (2,)) == Dense(torch.float32, (2,)) == Dense(np.dtype("f4"), (2,))
    )
    assert Scalar(np.bool_) == Scalar("bool") == Scalar(torch.bool) == Scalar(bool)
    assert Ragged(torch.bfloat16) == Ragged("bfloat16")
    assert Dense("int8", [2, 3]) == Dense("int8", (2, 3))
    assert Ragged("int8", (None,)) == Ragged("int8")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense("float32", ()),
        lambda: Dense("float32", (0,)),
        lambda: Dense("float32", (1 << 20, 1 << 20)),
        lambda: Dense("complex64", (1,)),
        lambda: Dense("float32", (1,) * 17),
        lambda: Ragged("float32", (3, 4)),
        lambda: Ragged("float32", (None, 0)),
        lambda: Scalar("object"),
        lambda: layout_from_json({"layout": "sparse"}),
    ],
)
def test_a_layout_that_is_none_is_refused_at_once(make: object) -> None:
    with pytest.raises(LayoutInvalid):
        make()  # type: ignore[operator]


def test_layouts_of_foreign_arrow_types() -> None:
    def layout_of(kind: pa.DataType) -> Layout:
        return layout_of_field(pa.field("x", kind))

    assert layout_of(pa.fixed_shape_tensor(pa.int16(), (4, 5))) == Dense("int16", (4, 5))
    assert layout_of(pa.list_(pa.float64(), 3)) == Dense("float64", (3,))
    assert layout_of(pa.large_list(pa.float16())) == Ragged("float16")
    assert layout_of(pa.dictionary(pa.int8(), pa.string())) == Text()
    assert layout_of(pa.large_string()) == Text()
    assert layout_of(pa.json_()) == Json()
    assert layout_of(pa.large_binary()) == Bytes()
    with pytest.raises(LayoutInvalid):
        layout_of(pa.timestamp("ms"))

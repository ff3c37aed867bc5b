"""Makes the frozen Arrow streams beside this file, with pyarrow 26. Run it only to add cases: they are the contract.

accepted/<case>.arrow   every layout and dtype as a column      accepted.json   their layouts, ids and cells, as hex
refused/<code>/<what>.arrow   what the walker must refuse with this code
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

HERE = Path(__file__).parent
STORAGE = {
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
    "bfloat16": np.uint16,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.uint8,
}
KEYED = {"bfloat16", "bool"}
# Case -> lengths of the varying dimension, one per row.
CASES = {"rows0": [], "rows1": [3], "equal": [2, 2, 2, 2], "ragged": [3, 0, 1, 5, 2]}
TEXTS = ["", "a", "é", "€uro", "𝄞 clef", "naïve 漢字"]
JSONS = ["null", "{}", '{"é":[1,2.5]}', '"x"', "[true]", "0"]


def numbers(dtype: str, count: int, seed: int) -> np.ndarray:
    """Every bit pattern may occur, except in bool."""
    raw = np.random.default_rng(seed).integers(0, 256, count * np.dtype(STORAGE[dtype]).itemsize, np.uint8)
    return raw % 2 if dtype == "bool" else raw.view(STORAGE[dtype])


def field(name: str, kind: pa.DataType, dtype: str = "", extension: str = "", extra: str = "") -> pa.Field:
    metadata = {"tq:dtype": dtype} if dtype in KEYED else {}
    if extension:
        metadata |= {"ARROW:extension:name": extension, "ARROW:extension:metadata": extra}
    return pa.field(name, kind, metadata=metadata or None)


class Columns:
    """Collects columns with what the walker must find in them."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        self.rows = len(lengths)
        self.fields: list[pa.Field] = []
        self.arrays: list[pa.Array] = []
        self.expected: dict[str, dict] = {}

    def add(self, kind: pa.Field, array: pa.Array, layout: dict, cells: list[bytes]) -> None:
        self.fields.append(kind)
        self.arrays.append(array)
        self.expected[kind.name] = {"layout": layout, "cells": [cell.hex() for cell in cells]}

    def offsets(self, lengths: list[int]) -> pa.Array:
        return pa.array(np.cumsum([0, *lengths]), pa.int32())

    def dense(self, dtype: str, shape: list[int]) -> None:
        size = int(np.prod(shape))
        values = numbers(dtype, self.rows * size, 1)
        storage = pa.FixedSizeListArray.from_arrays(pa.array(values), size)
        kind = field(f"dense_{dtype}", storage.type, dtype, "arrow.fixed_shape_tensor", json.dumps({"shape": shape}))
        cells = [row.tobytes() for row in values.reshape(self.rows, size)]
        self.add(kind, storage, {"layout": "dense", "dtype": dtype, "shape": shape}, cells)

    def scalar(self, dtype: str) -> None:
        values = numbers(dtype, self.rows, 2)
        array = pa.array(values)
        cells = [value.tobytes() for value in values]
        self.add(field(f"scalar_{dtype}", array.type, dtype), array, {"layout": "scalar", "dtype": dtype}, cells)

    def ragged(self, dtype: str) -> None:
        values = numbers(dtype, sum(self.lengths), 3)
        array = pa.ListArray.from_arrays(self.offsets(self.lengths), pa.array(values))
        cells = [part.tobytes() for part in np.split(values, np.cumsum(self.lengths))[: self.rows]]
        self.add(field(f"ragged_{dtype}", array.type, dtype), array, {"layout": "ragged", "dtype": dtype}, cells)

    def tensors(self, dtype: str, shape: list[int | None]) -> None:
        sizes = [[length if d is None else d for d in shape] for length in self.lengths]
        counts = [int(np.prod(size)) for size in sizes]
        values = numbers(dtype, sum(counts), 4)
        data = pa.ListArray.from_arrays(self.offsets(counts), pa.array(values))
        flat = np.array(sizes, np.int32).reshape(-1)
        dims = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.int32()), len(shape))
        array = pa.StructArray.from_arrays([data, dims], ["data", "shape"])
        extra = json.dumps({"uniform_shape": shape})
        kind = field(f"tensors_{dtype}", array.type, dtype, "arrow.variable_shape_tensor", extra)
        parts = np.split(values, np.cumsum(counts))[: self.rows]
        cells = [np.array(size, np.int32).tobytes() + part.tobytes() for size, part in zip(sizes, parts, strict=True)]
        self.add(kind, array, {"layout": "ragged", "dtype": dtype, "shape": shape}, cells)

    def blobs(self) -> None:
        texts = [TEXTS[length] for length in self.lengths]
        jsons = [JSONS[length] for length in self.lengths]
        raws = [bytes(range(250, 250 + length)) for length in self.lengths]
        add_text = [text.encode() for text in texts]
        self.add(pa.field("text", pa.utf8()), pa.array(texts, pa.utf8()), {"layout": "text"}, add_text)
        json_field = field("json", pa.utf8(), "", "arrow.json")
        self.add(json_field, pa.array(jsons, pa.utf8()), {"layout": "json"}, [text.encode() for text in jsons])
        self.add(pa.field("bytes", pa.binary()), pa.array(raws, pa.binary()), {"layout": "bytes"}, raws)


def write(path: Path, schema: pa.Schema, batches: list[list[pa.Array]], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(str(path), schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for arrays in batches:
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def accepted() -> dict:
    expected = {}
    for case, lengths in CASES.items():
        columns = Columns(lengths)
        for dtype in STORAGE:
            columns.dense(dtype, [2, 3])
            columns.scalar(dtype)
            columns.ragged(dtype)
            columns.tensors(dtype, [None, 2, None] if dtype == "int16" else [None, 2])
        columns.blobs()
        ids = [2**53 - 1 - row * 2**31 for row in range(columns.rows)]
        # index_id stands in the middle: no reader may take it to be first.
        middle = len(columns.fields) // 2
        fields = [*columns.fields[:middle], pa.field("index_id", pa.int64()), *columns.fields[middle:]]
        arrays = [*columns.arrays[:middle], pa.array(ids, pa.int64()), *columns.arrays[middle:]]
        write(HERE / "accepted" / f"{case}.arrow", pa.schema(fields), [arrays])
        expected[case] = {"ids": ids, "fields": columns.expected}
    return expected


def refused(code: str, what: str, column: pa.Array | None, **rest: object) -> None:
    """One stream of two rows with column `x`, which is what is wrong unless `ids` or `name` is given."""
    metadata = rest.pop("metadata", None)
    names = [rest.pop("name", "x")] if column is not None else []
    ids = rest.pop("ids", pa.array([1, 2], pa.int64()))
    batches = rest.pop("batches", 1)
    fields = [] if ids is None else [pa.field("index_id", ids.type)]
    arrays = [] if ids is None else [ids]
    for name in names:
        fields.append(pa.field(name, column.type, metadata=metadata))
        arrays.append(column)
    fields += [pa.field(name, array.type) for name, array in rest.pop("more", [])]
    arrays += [pa.array([1, 2], pa.int8())] * (len(fields) - len(arrays))
    write(HERE / "refused" / code / f"{what}.arrow", pa.schema(fields), [arrays] * batches, **rest)


def refused_types() -> None:
    two = pa.array([1, 2], pa.int32())
    lists = pa.array([[1], [2, 3]], pa.list_(pa.int32()))
    pairs = pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2))
    cases = {
        "bool": pa.array([True, False]),
        "list_of_bool": pa.array([[True], []], pa.list_(pa.bool_())),
        "null": pa.nulls(2),
        "large_list": lists.cast(pa.large_list(pa.int32())),
        "list_view": pa.array([[1], [2]], pa.list_view(pa.int32())),
        "large_list_view": pa.array([[1], [2]], pa.large_list_view(pa.int32())),
        "large_utf8": pa.array(["a", "b"], pa.large_utf8()),
        "large_binary": pa.array([b"a", b"b"], pa.large_binary()),
        "utf8_view": pa.array(["a", "a text of more than twelve bytes"], pa.string_view()),
        "binary_view": pa.array([b"a", b"b"], pa.binary_view()),
        "fixed_size_binary": pa.array([b"ab", b"cd"], pa.binary(2)),
        "decimal32": pa.array([1, 2], pa.decimal32(5, 2)),
        "decimal128": pa.array([1, 2], pa.decimal128(5, 2)),
        "date32": two.cast(pa.date32()),
        "time32": two.cast(pa.time32("s")),
        "timestamp": two.cast(pa.int64()).cast(pa.timestamp("us", "UTC")),
        "duration": two.cast(pa.int64()).cast(pa.duration("s")),
        "interval": pa.array([(1, 2, 3), (4, 5, 6)], pa.month_day_nano_interval()),
        "struct": pa.array([{"a": 1}, {"a": 2}]),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.utf8(), pa.int32())),
        "union": pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [two]),
        "run_end_encoded": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([7])),
        "list_of_list": pa.array([[[1]], []], pa.list_(pa.list_(pa.int32()))),
        "list_of_utf8": pa.array([["a"], []], pa.list_(pa.utf8())),
        "fixed_of_fixed": pa.array([[[1]], [[2]]], pa.list_(pa.list_(pa.int32(), 1), 1)),
        "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1], pa.int8())),
        "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, b"b" * 16], pa.binary(16))),
    }
    for what, array in cases.items():
        refused("type_unsupported", what, array)
    permuted = {"ARROW:extension:name": "arrow.fixed_shape_tensor"}
    permuted["ARROW:extension:metadata"] = '{"shape":[1,2],"permutation":[1,0]}'
    refused("type_unsupported", "permuted", pairs, metadata=permuted)
    unknown = {"ARROW:extension:name": "example.unknown"}
    refused("type_unsupported", "unknown_extension", two, metadata=unknown)


def refused_others() -> None:
    two = pa.array([1, 2], pa.int32())
    words = pa.array(["a", "b"])
    pairs = pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2))
    refused("dictionary_refused", "utf8", words.dictionary_encode())
    refused("dictionary_refused", "in_list", pa.array([["a"], []], pa.list_(pa.dictionary(pa.int8(), pa.utf8()))))
    for codec in ("lz4", "zstd"):
        refused("compression_refused", codec, two, compression=codec)
    nulls = {
        "scalar": pa.array([1, None], pa.int32()),
        "text": pa.array(["a", None]),
        "list": pa.array([[1], None], pa.list_(pa.int32())),
        "list_item": pa.array([[1], [None]], pa.list_(pa.int32())),
        "fixed": pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
        "fixed_item": pa.array([[1, 2], [3, None]], pa.list_(pa.int32(), 2)),
    }
    for what, array in nulls.items():
        refused("nulls_refused", what, array)
    tensor = {
        "ARROW:extension:name": "arrow.fixed_shape_tensor",
        "ARROW:extension:metadata": '{"shape":[2],"shape":[2]}',
    }
    refused("layout_invalid", "duplicate_json_key", pairs, metadata=tensor)
    refused("layout_invalid", "fixed_of_none", pa.array([[], []], pa.list_(pa.int32(), 0)))
    deep = {
        "ARROW:extension:name": "arrow.fixed_shape_tensor",
        "ARROW:extension:metadata": json.dumps({"shape": [2, *[1] * 16]}),
    }
    refused("layout_invalid", "17_dimensions", pairs, metadata=deep)
    refused("layout_invalid", "bfloat16_over_int32", two, metadata={"tq:dtype": "bfloat16"})
    shaped = pa.StructArray.from_arrays(
        [pa.array([[1, 2], [3, 4]], pa.list_(pa.int8())), pairs.cast(pairs.type)], ["data", "shape"]
    )
    named = {
        "ARROW:extension:name": "arrow.variable_shape_tensor",
        "ARROW:extension:metadata": '{"uniform_shape":[1,2]}',
    }
    refused("layout_invalid", "nothing_varies", shaped, metadata=named)
    unnamed = named | {"ARROW:extension:metadata": "{}"}
    shape = pa.list_(pa.int32(), 2**31 - 1)
    endless = pa.array([], pa.struct([("data", pa.list_(pa.int8())), ("shape", shape)]))
    refused("layout_invalid", "2147483647_dimensions", endless, metadata=unnamed, ids=pa.array([], pa.int64()))
    refused("index_id_invalid", "missing", two, ids=None)
    refused("index_id_invalid", "int32", two, ids=two)
    refused("index_id_invalid", "null", two, ids=pa.array([1, None], pa.int64()))
    refused("index_id_invalid", "negative", two, ids=pa.array([1, -1], pa.int64()))
    refused("index_id_invalid", "too_large", two, ids=pa.array([1, 2**53], pa.int64()))
    for what, name in {"reserved": "tq_x", "space": "a b", "empty": "", "non_ascii": "é", "long": "x" * 129}.items():
        refused("name_invalid", what, two, name=name)
    refused("name_invalid", "twice", pa.array([1, 2], pa.int8()), more=[("x", pa.array([1, 2], pa.int8()))])
    nested: pa.DataType = pa.int32()
    for _ in range(16):
        nested = pa.list_(nested)
    refused("nesting_too_deep", "17_levels", pa.array([[], []], nested))
    refused("arrow_malformed", "version_4", two, metadata_version=pa.ipc.MetadataVersion.V4)
    refused("arrow_malformed", "legacy_framing", two, use_legacy_format=True)
    refused("arrow_malformed", "no_batch", two, batches=0)


def main() -> None:
    for folder in ("accepted", "refused"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    text = json.dumps(accepted(), indent=1, ensure_ascii=False)
    (HERE / "accepted.json").write_text(text + "\n")
    refused_types()
    refused_others()


if __name__ == "__main__":
    main()

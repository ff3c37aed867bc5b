"""Reads Arrow streams with pyarrow for the TypeScript tests: frames in, one JSON line per frame out.

frame   u32 size, little-endian | an Arrow IPC stream
answer  {"ids", "types", "columns": {name: [cell as hex]}} or {"error"}
"""

from __future__ import annotations

import json
import struct
import sys

import numpy as np
import pyarrow as pa


def cells_of(array: pa.Array) -> list[bytes]:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_struct(kind):
        shapes, data = cells_of(array.field("shape")), cells_of(array.field("data"))
        return [shape + cell for shape, cell in zip(shapes, data, strict=True)]
    if pa.types.is_fixed_size_list(kind):
        values = cells_of(array.flatten())
        size = kind.list_size
        return [b"".join(values[row * size : (row + 1) * size]) for row in range(len(array))]
    if pa.types.is_list(kind):
        values = cells_of(array.values)
        offsets = array.offsets.to_pylist()
        return [b"".join(values[offsets[row] : offsets[row + 1]]) for row in range(len(array))]
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return [value.encode() if isinstance(value, str) else value for value in array.to_pylist()]
    numbers = array.to_numpy(zero_copy_only=False)
    return [np.asarray(number).tobytes() for number in numbers]


def answer_to(frame: bytes) -> dict:
    try:
        with pa.ipc.open_stream(pa.py_buffer(frame)) as reader:
            schema = reader.schema
            batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        columns: dict[str, list[str]] = {name: [] for name in schema.names}
        for batch in batches:
            for name, array in zip(schema.names, batch.columns, strict=True):
                columns[name] += [cell.hex() for cell in cells_of(array)]
        ids = [i for batch in batches for i in batch.column("index_id").to_pylist()]
        return {"ids": ids, "types": [str(field.type) for field in schema], "columns": columns}
    except Exception as error:  # noqa: BLE001  whatever pyarrow raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    source, sink = sys.stdin.buffer, sys.stdout
    while len(head := source.read(4)) == 4:
        (size,) = struct.unpack("<I", head)
        sink.write(json.dumps(answer_to(source.read(size))) + "\n")
    sink.flush()


if __name__ == "__main__":
    main()

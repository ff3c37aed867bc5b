"""Arrow IPC streams of one record batch: metadata made and read here, values never touched.

    stream  = schema message | batch message | buffers of the batch | end of stream
    message = FF FF FF FF | u32 size of what follows | flatbuffer | zeros up to a multiple of 64 from the stream's start
    buffers = per column in pre-order: validity (always empty), then offsets or values, each at a multiple of 64

The flatbuffer of a batch is a fixed head, then two vectors of 16-byte structs, so it is packed, not built:

     0 root  4 vtable of Message   20 Message{version, type, header, bodyLength}
    40 vtable of RecordBatch   52 RecordBatch{length, nodes, buffers}
    76 u32 count of nodes     80 nodes   (i64 length, i64 nulls)...
       u32 count of buffers      buffers (i64 offset, i64 size)...

Invariants: what is read comes from outside and every position is checked against the body before it is used; buffers
of an answer lie inside its batch's body; a column of ours holds no nulls.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from transferq._arrow_fields import arrow_field, layout_of_field
from transferq._flatbuffers import I64, U16, field_at, followed, pairs_at, root_of
from transferq._layouts import Layout
from transferq._protocol import INDEX_COLUMN
from transferq.errors import AnswerInvalid, LayoutInvalid

ALIGNMENT: Final = 64
END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
SCHEMAS_CACHED_MAX: Final = 128

_CONTINUATION: Final = 0xFFFFFFFF
_VERSION_5: Final = 4
_TYPE_BATCH: Final = 3
_HEAD: Final = struct.Struct("<I HHHHHH 4x i H B x I q HHHHH 2x i q I I 4x I")
_FRAME: Final = struct.Struct("<II")

Columns = tuple[tuple[str, Layout], ...]


def padding_of(size: int) -> int:
    return -size % ALIGNMENT


# ---- Writing -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=SCHEMAS_CACHED_MAX)
def schema_message(columns: Columns) -> bytes:
    """The schema message of ``index_id`` and these columns."""
    import pyarrow as pa

    index = pa.field(INDEX_COLUMN, pa.int64(), nullable=False)
    schema = pa.schema([index, *(arrow_field(name, layout) for name, layout in columns)])
    return _framed(schema.serialize().to_pybytes()[8:])


def batch_message(rows: int, nodes: Sequence[int], buffers: Sequence[tuple[int, int]], body_size: int) -> bytes:
    """The message before a batch's buffers: ``nodes`` are lengths, ``buffers`` (offset, size), both in pre-order."""
    buffers_at = 80 + 16 * len(nodes) + 4
    head = _HEAD.pack(
        *(20, 12, 20, 4, 6, 8, 12, 16, _VERSION_5, _TYPE_BATCH, 52 - 28, body_size),
        *(10, 20, 4, 12, 16, 12, rows, 76 - 64, buffers_at - 68, len(nodes)),
    )
    lengths = [number for length in nodes for number in (length, 0)]
    places = [number for buffer in buffers for number in buffer]
    vectors = struct.pack(f"<{len(lengths)}q4xI{len(places)}q", *lengths, len(buffers), *places)
    return _framed(head + vectors)


def _framed(flatbuffer: bytes) -> bytes:
    padding = padding_of(8 + len(flatbuffer))
    return _FRAME.pack(_CONTINUATION, len(flatbuffer) + padding) + flatbuffer + bytes(padding)


# ---- Reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """Where the parts of one record batch lie in a body; ``buffers`` are (position in the body, size)."""

    columns: Columns
    rows: int
    nodes: tuple[int, ...]
    buffers: tuple[tuple[int, int], ...]


def read_frame(body: memoryview) -> Frame:
    """Finds the one record batch of an Arrow IPC stream; raises AnswerInvalid for anything else."""
    try:
        schema_end = _message_end(body, 0)
        batch_end = _message_end(body, schema_end)
        batch = body[schema_end + 8 : batch_end]
        return _read_batch(batch, columns=_columns_of(bytes(body[:schema_end])), start=batch_end, end=len(body))
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise AnswerInvalid("The answer is not a valid Arrow IPC stream.") from error


def _message_end(body: memoryview, at: int) -> int:
    marker, size = _FRAME.unpack_from(body, at)
    end: int = at + 8 + size
    if marker != _CONTINUATION or size == 0 or end > len(body):
        raise ValueError("no message")
    return end


@lru_cache(maxsize=SCHEMAS_CACHED_MAX)
def _columns_of(message: bytes) -> Columns:
    import pyarrow as pa

    try:
        schema = pa.ipc.read_schema(pa.py_buffer(message))
        return tuple((field.name, layout_of_field(field)) for field in schema)
    except (pa.ArrowException, OSError, LayoutInvalid) as error:
        raise ValueError("schema") from error


def _read_batch(message: memoryview, *, columns: Columns, start: int, end: int) -> Frame:
    root = root_of(message)
    version = field_at(message, root, 0)
    kind = field_at(message, root, 1)
    header = field_at(message, root, 2)
    body_size_at = field_at(message, root, 3)
    if not (version and kind and header) or U16.unpack_from(message, version)[0] != _VERSION_5:
        raise ValueError("version")
    if message[kind] != _TYPE_BATCH:
        raise ValueError("header type")
    body_size: int = I64.unpack_from(message, body_size_at)[0] if body_size_at else 0
    if not 0 <= body_size <= end - start:
        raise ValueError("body size")
    table = followed(message, header)
    rows_at = field_at(message, table, 0)
    if field_at(message, table, 3):
        raise ValueError("compressed")
    lengths = pairs_at(message, field_at(message, table, 1))
    places = pairs_at(message, field_at(message, table, 2))
    if any(lengths[1::2]):
        raise ValueError("nulls")
    offsets, sizes = places[::2], places[1::2]
    for offset, size in zip(offsets, sizes, strict=True):
        if offset < 0 or size < 0 or offset + size > body_size:
            raise ValueError("buffer outside the body")
    rows = I64.unpack_from(message, rows_at)[0] if rows_at else 0
    if rows < 0:
        raise ValueError("rows")
    buffers = tuple((start + offset, size) for offset, size in zip(offsets, sizes, strict=True))
    return Frame(columns=columns, rows=rows, nodes=lengths[::2], buffers=buffers)

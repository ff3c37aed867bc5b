"""Reading the flatbuffers of Arrow messages: just what `_ipc` and `_layouts` need, every position checked by `struct`.

    table   i32 distance back to its vtable | fields        vtable   u16 its size | u16 table size | u16 place per field
    vector  u32 count | elements                             string   u32 size | bytes

Invariants: a position outside the message raises struct.error or ValueError, never reads something else.
"""

from __future__ import annotations

import struct
from typing import Final

U16: Final = struct.Struct("<H")
I32: Final = struct.Struct("<i")
U32: Final = struct.Struct("<I")
I64: Final = struct.Struct("<q")

_SCHEMA_FIELDS: Final = 1
_FIELD_METADATA: Final = 6


def root_of(message: memoryview) -> int:
    """Position of the outermost table."""
    position: int = U32.unpack_from(message, 0)[0]
    return position


def field_at(message: memoryview, table: int, index: int) -> int:
    """Position of a table's field, 0 where it is absent."""
    vtable = table - I32.unpack_from(message, table)[0]
    if vtable < 0:
        raise ValueError("vtable outside the message")
    if 4 + 2 * index >= U16.unpack_from(message, vtable)[0]:
        return 0
    place = U16.unpack_from(message, vtable + 4 + 2 * index)[0]
    return table + place if place else 0


def followed(message: memoryview, reference: int) -> int:
    """The position that a reference points to."""
    position: int = reference + U32.unpack_from(message, reference)[0]
    return position


def pairs_at(message: memoryview, reference: int) -> tuple[int, ...]:
    """The numbers of a vector of structs of two i64 each; none where the vector is absent."""
    if not reference:
        return ()
    vector = followed(message, reference)
    count = U32.unpack_from(message, vector)[0]
    if 16 * count > len(message):
        raise ValueError("vector outside the message")
    return struct.unpack_from(f"<{2 * count}q", message, vector + 4)


def field_metadata(message: memoryview) -> list[dict[str, str]]:
    """The custom metadata of each top-level field of a schema message (without its eight leading bytes)."""
    schema = followed(message, field_at(message, root_of(message), 2))
    found = []
    for field in _tables_at(message, field_at(message, schema, _SCHEMA_FIELDS)):
        entries = _tables_at(message, field_at(message, field, _FIELD_METADATA))
        found.append({_string(message, entry, 0): _string(message, entry, 1) for entry in entries})
    return found


def _tables_at(message: memoryview, reference: int) -> list[int]:
    if not reference:
        return []
    vector = followed(message, reference)
    count = U32.unpack_from(message, vector)[0]
    if 4 * count > len(message):
        raise ValueError("vector outside the message")
    return [followed(message, vector + 4 + 4 * index) for index in range(count)]


def _string(message: memoryview, table: int, index: int) -> str:
    reference = field_at(message, table, index)
    if not reference:
        return ""
    at = followed(message, reference)
    size = U32.unpack_from(message, at)[0]
    if at + 4 + size > len(message):
        raise ValueError("string outside the message")
    return bytes(message[at + 4 : at + 4 + size]).decode()

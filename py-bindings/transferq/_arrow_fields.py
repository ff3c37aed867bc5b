"""Field layouts as Arrow fields, and back.

    layout         Arrow type                                                extension
    dense          fixed_size_list<T>[product of shape]                      arrow.fixed_shape_tensor
    scalar         T
    ragged, 1-D    list<T>
    ragged, n-D    struct<data: list<T>, shape: fixed_size_list<int32>[n]>   arrow.variable_shape_tensor
    text, bytes    utf8, binary
    json           utf8                                                      arrow.json
    blob           binary                                                    tq.blob

bfloat16 is stored as uint16 and bool as uint8, with the dtype under DTYPE_KEY in the metadata of the top-level field.
Invariants: layout_of_field(arrow_field(name, layout)) is `layout`, also after pyarrow wrote and read it; a field that
fits no layout raises LayoutInvalid.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from transferq._flatbuffers import field_metadata
from transferq._layouts import STORAGE, Blob, Bytes, Dense, Json, Layout, Ragged, Scalar, Text, storage_of
from transferq.errors import LayoutInvalid

DTYPE_KEY: Final = "tq:dtype"
BLOB_EXTENSION: Final = "tq.blob"


def arrow_field(name: str, layout: Layout) -> Any:
    """The ``pyarrow.Field`` of a column: storage type plus extension metadata, so that no extension class is needed."""
    import pyarrow as pa

    metadata: dict[str, str] = {}
    if isinstance(layout, Text | Bytes | Json | Blob):
        if isinstance(layout, Json):
            metadata = {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
        if isinstance(layout, Blob):
            metadata = {"ARROW:extension:name": BLOB_EXTENSION, "ARROW:extension:metadata": ""}
        kind = pa.binary() if isinstance(layout, Bytes | Blob) else pa.utf8()
        return pa.field(name, kind, nullable=False, metadata=metadata)
    item = pa.from_numpy_dtype(storage_of(layout))
    kind = item
    if isinstance(layout, Dense):
        kind = pa.list_(item, math.prod(layout.shape))
        metadata = _extension("arrow.fixed_shape_tensor", {"shape": list(layout.shape)})
    elif isinstance(layout, Ragged) and layout.shape is None:
        kind = pa.list_(item)
    elif isinstance(layout, Ragged) and layout.shape is not None:
        kind = pa.struct({"data": pa.list_(item), "shape": pa.list_(pa.int32(), len(layout.shape))})
        uniform = {"uniform_shape": list(layout.shape)} if any(layout.shape) else {}
        metadata = _extension("arrow.variable_shape_tensor", uniform)
    if STORAGE[layout.dtype] != layout.dtype:
        metadata[DTYPE_KEY] = layout.dtype
    return pa.field(name, kind, nullable=False, metadata=metadata)


def layout_of_field(field: Any) -> Layout:
    """The layout of a ``pyarrow.Field``: of our own columns, or of a user's that needs no guess."""
    import pyarrow as pa

    # pyarrow hides the parameters of extension types that it knows; in a written schema they are plain metadata.
    written = memoryview(pa.schema([field]).serialize())[8:]
    metadata = field_metadata(written)[0]
    extension = metadata.get("ARROW:extension:name", "")
    parameters = metadata.get("ARROW:extension:metadata", "")
    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if extension == "arrow.json":
        return Json()
    if extension == BLOB_EXTENSION and pa.types.is_binary(kind):
        return Blob()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Text()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return Bytes()
    keyed = metadata.get(DTYPE_KEY)
    if pa.types.is_fixed_size_list(kind):
        shape = _numbers_of(parameters, "shape") if extension == "arrow.fixed_shape_tensor" else [kind.list_size]
        if shape is None or math.prod(size or 0 for size in shape) != kind.list_size:
            raise LayoutInvalid(f"The shape of column {field.name!r} does not multiply to {kind.list_size}.")
        return Dense(_dtype(kind.value_type, keyed), tuple(size or 0 for size in shape))
    if extension == "arrow.variable_shape_tensor" and _is_variable_tensor(kind):
        ndim = kind.field(1).type.list_size
        uniform = _numbers_of(parameters, "uniform_shape") or [None] * ndim
        if len(uniform) != ndim:
            raise LayoutInvalid(f"uniform_shape of column {field.name!r} must have {ndim} entries.")
        return Ragged(_dtype(kind.field(0).type.value_type, keyed), tuple(uniform))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return Ragged(_dtype(kind.value_type, keyed))
    return Scalar(_dtype(kind, keyed))


def _is_variable_tensor(kind: Any) -> bool:
    import pyarrow as pa

    if not pa.types.is_struct(kind) or kind.num_fields != 2:
        return False
    return bool(pa.types.is_list(kind.field(0).type) and pa.types.is_fixed_size_list(kind.field(1).type))


def _numbers_of(parameters: str, key: str) -> list[int | None] | None:
    """A list of sizes in the JSON of an extension's metadata; None where it is absent."""
    try:
        found = json.loads(parameters or "{}").get(key)
    except (ValueError, AttributeError) as error:
        raise LayoutInvalid("The metadata of an extension type is not a JSON object.") from error
    if found is not None and not (isinstance(found, list) and all(isinstance(size, int | None) for size in found)):
        raise LayoutInvalid(f"{key} of an extension type must be a list of sizes.")
    return found


def _dtype(kind: Any, keyed: str | None) -> str:
    """The dtype stored as an Arrow primitive: the one named under DTYPE_KEY, else the one of the same name."""
    name = {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
    if name not in STORAGE:
        raise LayoutInvalid(f"Arrow type {kind} fits no field layout.")
    if keyed is not None and STORAGE.get(keyed) != name:
        raise LayoutInvalid(f"{DTYPE_KEY} {keyed!r} does not fit the Arrow type {kind} that stores it.")
    return keyed or name


def _extension(name: str, parameters: dict[str, Any]) -> dict[str, str]:
    return {"ARROW:extension:name": name, "ARROW:extension:metadata": json.dumps(parameters, separators=(",", ":"))}

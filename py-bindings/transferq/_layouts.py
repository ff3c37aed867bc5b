"""Field layouts: what the matrices of one field look like, declared once per partition and never guessed.

    layout                          a cell        Arrow type of the column
    Dense("float32", (28, 28))      [28, 28]      fixed_size_list<T>[784]       extension arrow.fixed_shape_tensor
    Ragged("int64")                 [k]           list<T>
    Ragged("float32", (None, 64))   [k, 64]       struct<data: list<T>, shape: fixed_size_list<int32>[2]>
                                                                                extension arrow.variable_shape_tensor
    Scalar("float32")               one number    T
    Text()  Bytes()  Json()         a value       utf8, binary, utf8 with extension arrow.json

bfloat16 is stored as uint16 and bool as uint8, with the dtype under DTYPE_KEY in the metadata of the top-level field.
Invariants: layouts are values (frozen, hashable, picklable); a dimension is >= 1, or None in Ragged where it varies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from transferq._flatbuffers import field_metadata
from transferq.errors import LayoutInvalid

DTYPE_KEY: Final = "tq:dtype"
NDIM_MAX: Final = 16
ELEMENTS_MAX: Final = 2**31 - 1

# dtype -> name of the NumPy dtype that it is stored as.
STORAGE: Final[dict[str, str]] = {
    **{
        name: name
        for name in (
            *("float16", "float32", "float64"),
            *("int8", "int16", "int32", "int64"),
            *("uint8", "uint16", "uint32", "uint64"),
        )
    },
    "bfloat16": "uint16",
    "bool": "uint8",
}


def dtype_name(dtype: Any) -> str:
    """The name of a dtype given as a string, a NumPy dtype or scalar type, or a torch dtype."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", str(dtype))
    name = str(name).removeprefix("torch.").removesuffix("_")
    if name not in STORAGE:
        raise LayoutInvalid(f"dtype must be one of {', '.join(STORAGE)}, not {name!r}.")
    return name


@dataclass(frozen=True)
class Dense:
    """Every cell has this one shape.

    A batch comes back as one array or tensor ``[rows, *shape]``, a view.

    >>> Dense("float32", (28, 28))
    Dense(dtype='float32', shape=(28, 28))
    """

    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        shape = tuple(int(dimension) for dimension in self.shape)
        object.__setattr__(self, "shape", shape)
        if not 1 <= len(shape) <= NDIM_MAX:
            raise LayoutInvalid(f"Dense takes 1 to {NDIM_MAX} dimensions, not {shape}; use Scalar for single numbers.")
        _check_dimensions(shape)

    def to_json(self) -> dict[str, Any]:
        return {"layout": "dense", "dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True)
class Ragged:
    """Cells differ in the dimensions given as None; without a shape a cell has one dimension, which varies.

    One dimension comes back as values and offsets (a jagged nested tensor), more as a list of views.

    >>> Ragged("float32", (None, 64))
    Ragged(dtype='float32', shape=(None, 64))
    """

    dtype: str
    shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        if self.shape is None:
            return
        shape = tuple(None if dimension is None else int(dimension) for dimension in self.shape)
        # One dimension that varies is what Ragged without a shape means, so both are one value.
        object.__setattr__(self, "shape", None if shape == (None,) else shape)
        if None not in shape:
            raise LayoutInvalid(f"In shape {shape} nothing varies: use Dense, or None for the dimensions that vary.")
        if len(shape) > NDIM_MAX:
            raise LayoutInvalid(f"Ragged takes at most {NDIM_MAX} dimensions.")
        _check_dimensions([dimension for dimension in shape if dimension is not None])

    def to_json(self) -> dict[str, Any]:
        shape = {} if self.shape is None else {"shape": list(self.shape)}
        return {"layout": "ragged", "dtype": self.dtype, **shape}


@dataclass(frozen=True)
class Scalar:
    """Every cell is one number; a batch comes back as one array or tensor ``[rows]``, a view."""

    dtype: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))

    def to_json(self) -> dict[str, Any]:
        return {"layout": "scalar", "dtype": self.dtype}


@dataclass(frozen=True)
class Text:
    """Every cell is a ``str``."""

    def to_json(self) -> dict[str, Any]:
        return {"layout": "text"}


@dataclass(frozen=True)
class Bytes:
    """Every cell is a ``bytes``."""

    def to_json(self) -> dict[str, Any]:
        return {"layout": "bytes"}


@dataclass(frozen=True)
class Json:
    """Every cell is a JSON value: None, bool, int, float, str, list or dict of such."""

    def to_json(self) -> dict[str, Any]:
        return {"layout": "json"}


Layout: TypeAlias = Dense | Ragged | Scalar | Text | Bytes | Json


def layout_from_json(value: dict[str, Any]) -> Layout:
    """The layout that the wire describes. Raises LayoutInvalid for one that this version does not know."""
    kind = value.get("layout")
    if kind == "dense":
        return Dense(value["dtype"], tuple(value["shape"]))
    if kind == "ragged":
        return Ragged(value["dtype"], tuple(value["shape"]) if "shape" in value else None)
    if kind == "scalar":
        return Scalar(value["dtype"])
    if kind == "text":
        return Text()
    if kind == "bytes":
        return Bytes()
    if kind == "json":
        return Json()
    raise LayoutInvalid(f"Unknown layout {kind!r}; use a client of the version of the server.")


def storage_of(layout: Layout) -> str:
    """Name of the NumPy dtype of a column's values."""
    return "uint8" if isinstance(layout, Text | Bytes | Json) else STORAGE[layout.dtype]


def dtype_of(layout: Layout) -> str:
    """The dtype of a layout, empty for text, bytes and json."""
    return "" if isinstance(layout, Text | Bytes | Json) else layout.dtype


def is_blob(layout: Layout) -> bool:
    """Whether the cells are text, bytes or JSON, whose values are single bytes."""
    return isinstance(layout, Text | Bytes | Json)


def _check_dimensions(shape: Sequence[int]) -> None:
    if any(dimension < 1 for dimension in shape):
        raise LayoutInvalid(f"Each dimension must be an integer >= 1, not {tuple(shape)}.")
    if math.prod(shape) > ELEMENTS_MAX:
        raise LayoutInvalid(f"The dimensions {tuple(shape)} must multiply to less than 2^31.")


# ---- Arrow fields ------------------------------------------------------------------------------------------------


def arrow_field(name: str, layout: Layout) -> Any:
    """The ``pyarrow.Field`` of a column: storage type plus extension metadata, so that no extension class is needed."""
    import pyarrow as pa

    metadata: dict[str, str] = {}
    if isinstance(layout, Text | Bytes | Json):
        if isinstance(layout, Json):
            metadata = {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
        return pa.field(
            name, pa.binary() if isinstance(layout, Bytes) else pa.utf8(), nullable=False, metadata=metadata
        )
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
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Text()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return Bytes()
    keyed = metadata.get(DTYPE_KEY)
    if pa.types.is_fixed_size_list(kind):
        shape = _numbers_of(parameters, "shape") if extension == "arrow.fixed_shape_tensor" else [kind.list_size]
        if shape is None or math.prod(size or 0 for size in shape) != kind.list_size:
            raise LayoutInvalid(f"The shape of column {field.name!r} does not multiply to {kind.list_size}.")
        return Dense(keyed or _arrow_dtype(kind.value_type), tuple(size or 0 for size in shape))
    if extension == "arrow.variable_shape_tensor" and _is_variable_tensor(kind):
        ndim = kind.field(1).type.list_size
        uniform = _numbers_of(parameters, "uniform_shape") or [None] * ndim
        return Ragged(keyed or _arrow_dtype(kind.field(0).type.value_type), tuple(uniform))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return Ragged(keyed or _arrow_dtype(kind.value_type))
    return Scalar(keyed or _arrow_dtype(kind))


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


def _arrow_dtype(kind: Any) -> str:
    """The dtype of an Arrow primitive: `str` of one is its dtype but for the names of two floats."""
    name = {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
    if name not in STORAGE:
        raise LayoutInvalid(f"Arrow type {kind} fits no field layout.")
    return name


def _extension(name: str, parameters: dict[str, Any]) -> dict[str, str]:
    return {"ARROW:extension:name": name, "ARROW:extension:metadata": json.dumps(parameters, separators=(",", ":"))}

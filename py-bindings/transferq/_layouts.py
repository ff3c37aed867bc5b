"""Field layouts: what the matrices of one field look like, declared once per partition and never guessed.

    layout                          a cell                layout                   a cell
    Dense("float32", (28, 28))      [28, 28]              Scalar("float32")        one number
    Ragged("int64")                 [k], k varies         Text()  Bytes()  Json()  one value
    Ragged("float32", (None, 64))   [k, 64]              Blob()                   bytes that rows share

Invariants: layouts are values (frozen, hashable, picklable); a dimension is >= 1, or None in Ragged where it varies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from transferq.errors import LayoutInvalid

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


@dataclass(frozen=True)
class Blob:
    """Every cell is a ``bytes`` that many rows may share, as the image of a prompt with 16 generations.

    It is sent, stored and fetched once; rows hold its SHA-256. A first put does not tell it from `Bytes`: declare it.
    Values may also be arrays or tensors of uint8, which come back as their bytes.
    """

    def to_json(self) -> dict[str, Any]:
        return {"layout": "blob"}


Layout: TypeAlias = Dense | Ragged | Scalar | Text | Bytes | Json | Blob


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
    if kind == "blob":
        return Blob()
    raise LayoutInvalid(f"Unknown layout {kind!r}; use a client of the version of the server.")


def storage_of(layout: Layout) -> str:
    """Name of the NumPy dtype of a column's values."""
    return "uint8" if isinstance(layout, Text | Bytes | Json | Blob) else STORAGE[layout.dtype]


def dtype_of(layout: Layout) -> str:
    """The dtype of a layout, empty for text, bytes, json and blob."""
    return "" if isinstance(layout, Text | Bytes | Json | Blob) else layout.dtype


def is_plain(layout: Layout) -> bool:
    """Whether the cells are text, bytes, JSON or digests, whose values are single bytes."""
    return isinstance(layout, Text | Bytes | Json | Blob)


def _check_dimensions(shape: Sequence[int]) -> None:
    if any(dimension < 1 for dimension in shape):
        raise LayoutInvalid(f"Each dimension must be an integer >= 1, not {tuple(shape)}.")
    if math.prod(shape) > ELEMENTS_MAX:
        raise LayoutInvalid(f"The dimensions {tuple(shape)} must multiply to less than 2^31.")

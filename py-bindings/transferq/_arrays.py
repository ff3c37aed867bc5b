"""Numbers as users have them -- arrays, tensors, Python lists -- as contiguous arrays of the dtype they are stored as.

Invariants: memory is shared where it is contiguous already; a dtype must match exactly unless the values are Python
numbers, which have none; what does not fit raises FieldMismatch with what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transferq._layouts import STORAGE, Dense, Layout, Ragged, Scalar, storage_of
from transferq.errors import FieldMismatch

Array: TypeAlias = NDArray[Any]
Numbers: TypeAlias = Dense | Scalar | Ragged

# dtype -> the NumPy dtype that it is stored as, and the one that arrays of it have.
_STORED: Final = {dtype: np.dtype(storage) for dtype, storage in STORAGE.items()}
_GIVEN: Final = {**_STORED, "bool": np.dtype(np.bool_)}


def stacked_array(values: Any, layout: Numbers, name: str) -> Array:
    """One contiguous array of all rows, in the dtype that the layout is stored as."""
    if isinstance(values, list | tuple) and values and _has_dtype(values[0]):
        cells = cell_arrays(values, layout, name)
        if any(cell.shape != cells[0].shape for cell in cells):
            mismatch(name, layout, f"the rows have different shapes: {sorted({cell.shape for cell in cells})[:4]}")
        return np.stack(cells)
    return cell_array(values, layout, name)


def cell_arrays(values: Sequence[Any], layout: Numbers, name: str) -> Sequence[Array]:
    """Each as `_cell` makes it; batches of plain arrays, which are the rule, pass by one look at each."""
    given = _GIVEN[layout.dtype]
    if given == _STORED[layout.dtype] and all(
        type(value) is np.ndarray and value.dtype == given and value.flags.c_contiguous for value in values
    ):
        return values
    return [cell_array(value, layout, name) for value in values]


def cell_array(value: Any, layout: Numbers, name: str) -> Array:
    """One array, contiguous, in the dtype that the layout is stored as; a view where the value allows it."""
    if isinstance(value, np.ndarray | np.generic):
        array: Array = np.asarray(value)
    elif is_tensor(value):
        array = _of_tensor(value, layout, name)
    else:
        return _of_numbers(value, layout, name)
    if array.dtype != _GIVEN[layout.dtype] and not (layout.dtype == array.dtype.name == "bfloat16"):
        dtype = f"torch.{layout.dtype}" if is_tensor(value) else f"numpy.{_GIVEN[layout.dtype]}"
        cast = f".to({dtype})" if is_tensor(value) else f".astype({dtype})"
        mismatch(name, layout, f"the dtype is {array.dtype}; cast it with {cast}")
    # NumPy makes arrays without dimensions one-dimensional here, so their shape is given back.
    contiguous = array if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(array.shape)
    return contiguous if array.dtype == _STORED[layout.dtype] else contiguous.view(_STORED[layout.dtype])


def _of_tensor(value: Any, layout: Numbers, name: str) -> Array:
    """The memory of a tensor; NumPy has no bfloat16, so its bits go as uint16, but only where they are meant to."""
    tensor = host_tensor(value, name)
    if str(value.dtype) == "torch.bfloat16":
        if layout.dtype != "bfloat16":
            mismatch(name, layout, f"the dtype is bfloat16; cast it with .to(torch.{layout.dtype})")
        tensor = tensor.view(_uint16())
    array: Array = tensor.numpy()
    return array


def _of_numbers(value: Any, layout: Numbers, name: str) -> Array:
    """Python numbers, in nested lists, have no dtype: they are converted where nothing is lost but precision."""
    try:
        array = np.asarray(value)
        if array.size == 0:
            return np.empty(array.shape, storage_of(layout))
        dtype = layout.dtype
        kinds = "b" if dtype == "bool" else "iu" if dtype.startswith(("int", "uint")) else "iuf"
        if array.dtype.kind not in kinds:
            mismatch(name, layout, f"the values are {array.dtype}")
        if dtype == "bfloat16":
            with np.errstate(over="ignore"):
                return _bfloat16_bits(array.astype(np.float32))
        if dtype == "bool":
            return array.view(np.uint8)
        converted = np.asarray(value, np.dtype(dtype))
    except (ValueError, TypeError, OverflowError) as error:
        mismatch(name, layout, f"the values do not fit: {error}")
    if kinds == "iu" and (converted != array).any():
        mismatch(name, layout, "a value is out of range")
    return converted


def _bfloat16_bits(numbers: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of float32, rounded to the nearest, ties to even; NaN stays NaN."""
    bits = numbers.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(numbers), 0x7FC0, rounded).astype(np.uint16)


def _has_dtype(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) or is_tensor(value)


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def host_tensor(value: Any, name: str) -> Any:
    """A tensor in the memory of the host, without its history and contiguous."""
    if value.device.type != "cpu":
        raise FieldMismatch(f"Field {name!r} is a tensor on {value.device}; copy it to the host with .cpu().")
    return value.detach().contiguous()


def _uint16() -> Any:
    import torch

    return torch.uint16


def mismatch(name: str, layout: Layout, problem: str) -> NoReturn:
    cell = f"Field {name!r} is declared as {layout}"
    raise FieldMismatch(f"{cell}, but {problem}.", details={"field": name})

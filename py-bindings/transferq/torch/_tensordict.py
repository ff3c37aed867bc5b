"""TensorDict in and out; the package tensordict is imported only where one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transferq._protocol import ATTEMPT_COLUMN, INDEX_COLUMN
from transferq.errors import FieldMismatch

if TYPE_CHECKING:
    from transferq.torch._batches import TensorBatch


def tensordict_of(batch: TensorBatch) -> Any:
    """A TensorDict over the memory of the batch."""
    try:
        from tensordict import TensorDict
    except ModuleNotFoundError as error:
        if error.name != "tensordict":
            raise
        raise ImportError("A TensorDict needs tensordict: pip install 'transferq[tensordict]'.") from error
    fields = {INDEX_COLUMN: batch.index_ids, ATTEMPT_COLUMN: batch.attempts, **dict(batch)}
    return TensorDict(fields, batch_size=[len(batch)], device=batch.index_ids.device)


def fields_of(tensordict: Any) -> dict[str, Any]:
    """The fields of a TensorDict, as `Partition.put` takes them; ``index_id`` too, where it has one.

    Args:
        tensordict: batch size ``[n]``, on the host. Dense tensors ``[n, *shape]``, contiguous jagged ones ``[n, j]``,
            and non-tensor data of n values. A field of a nested TensorDict is named with its parents: ``"a.b"``.

    Raises:
        FieldMismatch: the batch size is not ``[n]``.

        partition.put(fields_of(tensordict))
    """
    if len(tensordict.batch_size) != 1:
        raise FieldMismatch(f"A TensorDict of rows has the batch size [n], not {list(tensordict.batch_size)}.")
    flat = tensordict.flatten_keys(".")
    # Items, not values: only the access by name gives non-tensor data as the values that were set.
    fields = {name: flat[name] for name in flat.keys() if name != ATTEMPT_COLUMN}  # noqa: SIM118 - iteration gives rows
    return {name: value if hasattr(value, "dtype") else list(value) for name, value in fields.items()}

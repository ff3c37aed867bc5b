"""Batches of tensors without a server: slices, copies, packing, micro-batches."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data._utils.pin_memory import pin_memory
from transferq import Column, Dense, FieldMismatch, FixRequest, Json, Layout, Ragged, Scalar
from transferq.torch import MicroBatch, TensorBatch, _batches
from transferq.torch._batches import Origin
from transferq.torch._cells import Cells, cells_from, cells_of, share_offsets, shared_buffer

ORIGIN = Origin("1-7-abc", 0.0, 0, 0)


def plain(value: Any) -> Any:
    """Lists, to compare by."""
    if isinstance(value, torch.Tensor):
        return [row.tolist() for row in value.unbind()] if value.is_nested else value.tolist()
    return [cell.tolist() if isinstance(cell, torch.Tensor) else cell for cell in value]


def contents(batch: TensorBatch) -> dict[str, Any]:
    return {"ids": batch.index_ids.tolist(), **{name: plain(batch[name]) for name in batch}}


def column(layout: Layout, rows: list[Any]) -> Cells:
    if isinstance(layout, Json):
        return rows
    if isinstance(layout, Ragged):
        arrays = [np.asarray(row, layout.dtype) for row in rows]
        offsets = np.cumsum([0, *(array.size for array in arrays)]).astype(np.int32)
        shapes = None if layout.shape is None else np.array([array.shape for array in arrays], np.int32)
        values = np.concatenate([np.zeros(0, layout.dtype), *(array.reshape(-1) for array in arrays)])
        return cells_of(Column(layout, values, offsets, shapes))
    return cells_of(Column(layout, np.asarray(rows, layout.dtype)))


def batch_of(rows: int, seed: int = 0, group_size: int = 1) -> TensorBatch:
    rng = random.Random(seed)
    lengths = [rng.randrange(4) for _ in range(rows)]
    columns = {
        "dense": column(Dense("float32", (2, 3)), [np.full((2, 3), rng.random()) for _ in lengths]),
        "scalar": column(Scalar("uint16"), [rng.randrange(9) for _ in lengths]),
        "tokens": column(Ragged("int64"), [[rng.randrange(9)] * length for length in lengths]),
        "logp": column(Ragged("float32"), [[rng.random()] * length for length in lengths]),
        "strip": column(Ragged("float16", (None, 2)), [np.full((length, 2), rng.randrange(9)) for length in lengths]),
        "json": [{"row": row} for row in range(rows)],
    }
    ids = torch.arange(rows) + 10 * group_size
    return TensorBatch(
        share_offsets(columns),
        ids,
        torch.ones(rows, dtype=torch.int32),
        group_size=group_size,
        partial=False,
        origin=ORIGIN,
    )


def rows_of(batch: TensorBatch, rows: list[int]) -> dict[str, Any]:
    return {name: [cells[row] for row in rows] for name, cells in contents(batch).items()}


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_copies_have_the_same_rows(rows: int) -> None:
    batch = batch_of(rows)
    packed = batch.packed(shared_buffer)
    for copied in (
        packed,
        packed.packed(shared_buffer),
        packed.to("cpu"),
        batch.to("cpu"),
        pickle.loads(pickle.dumps(packed)),
        pickle.loads(pickle.dumps(batch)),
        batch.select(list(range(rows))),
    ):
        assert contents(copied) == contents(batch)
        assert [copied[name].dtype for name in ("dense", "scalar", "tokens", "logp")] == [
            torch.float32,
            torch.uint16,
            torch.int64,
            torch.float32,
        ]
        assert (copied.claim, len(copied), copied.attempts.dtype) == (batch.claim, rows, torch.int32)


def test_a_packed_batch_is_one_buffer() -> None:
    packed = batch_of(9).packed(shared_buffer)
    tensors = [packed["dense"], packed["tokens"].values(), packed["tokens"].offsets(), packed.index_ids]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1
    assert all(tensor.data_ptr() % 64 == 0 for tensor in tensors)
    assert packed["dense"].is_shared()


@pytest.mark.parametrize("seed", range(10))
def test_slices_and_selections_have_the_right_rows(seed: int) -> None:
    rng = random.Random(seed)
    batch = batch_of(rng.randrange(1, 20), seed)
    batch = rng.choice([batch, batch.packed(shared_buffer)])
    size = rng.randrange(1, 8)
    at = 0
    for part in batch.micro_batches(size):
        rows = list(range(at, min(at + size, len(batch))))
        assert contents(part) == rows_of(batch, rows)
        assert contents(part.to("cpu")) == contents(part)
        at += len(part)
    assert at == len(batch)
    chosen = rng.sample(range(len(batch)), rng.randrange(1, len(batch) + 1))
    assert contents(batch.select(chosen)) == rows_of(batch, chosen)


def test_jagged_fields_of_equal_lengths_compute_together() -> None:
    for batch in (batch_of(9), batch_of(9).packed(shared_buffer), batch_of(9).micro_batches(4)[1]):
        product = batch["tokens"] * batch["logp"]
        assert torch.equal(product.values(), batch["tokens"].values() * batch["logp"].values())


def test_micro_batches_are_views_and_tell_their_places() -> None:
    batch = batch_of(10)
    parts = batch.micro_batches(4)
    assert [(len(part), part.number, part.count, part.last, part.partial) for part in parts] == [
        (4, 0, 3, False, False),
        (4, 1, 3, False, False),
        (2, 2, 3, True, True),
    ]
    assert parts[1]["dense"].data_ptr() == batch["dense"][4:].data_ptr()
    assert parts[1]["logp"].values().untyped_storage().data_ptr() == batch["logp"].values().untyped_storage().data_ptr()
    assert all(part.batch is batch and part.claim == batch.claim for part in parts)
    assert isinstance(parts[0].to("cpu"), MicroBatch)


@pytest.mark.parametrize(
    ("group_size", "rows", "rows_max", "sizes"),
    [
        (4, 12, 4, [4, 4, 4]),
        (4, 12, 6, [4, 4, 4]),
        (4, 12, 8, [8, 4]),
        (4, 12, 100, [12]),
        (4, 10, 8, [8, 2]),
        (1, 5, 2, [2, 2, 1]),
    ],
)
def test_micro_batches_keep_groups(group_size: int, rows: int, rows_max: int, sizes: list[int]) -> None:
    parts = batch_of(rows, group_size=group_size).micro_batches(rows_max, keep_groups=True)
    assert [len(part) for part in parts] == sizes
    assert [part.partial for part in parts] == [size < rows_max for size in sizes]
    assert torch.cat([part.index_ids for part in parts]).tolist() == list(
        range(10 * group_size, 10 * group_size + rows)
    )


def test_micro_batches_that_cannot_be() -> None:
    batch = batch_of(8, group_size=4)
    for bad in (
        lambda: batch.micro_batches(0),
        lambda: batch.micro_batches(3, keep_groups=True),
        lambda: batch.select([0, 4, 1]).micro_batches(4, keep_groups=True),
    ):
        with pytest.raises(FixRequest):
            bad()


def test_torch_pins_a_batch_by_its_own_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU nothing can be pinned: the stand-in shows that one buffer would be, and that torch asks for it."""
    sizes: list[int] = []

    def stand_in(size: int) -> torch.Tensor:
        sizes.append(size)
        return torch.zeros(size, dtype=torch.uint8)

    monkeypatch.setattr(_batches, "pinned_buffer", stand_in)
    for batch in (batch_of(5), batch_of(5).packed(shared_buffer)):
        pinned = pin_memory(batch)
        assert isinstance(pinned, TensorBatch)
        assert contents(pinned) == contents(batch)
        assert pinned["dense"].data_ptr() != batch["dense"].data_ptr()
    assert len(sizes) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_pinned_batches_go_to_the_gpu() -> None:
    batch = batch_of(5)
    pinned = pin_memory(batch)
    assert pinned["dense"].is_pinned()
    moved = pinned.to("cuda", non_blocking=True)
    assert moved["dense"].is_cuda
    assert contents(moved.to("cpu")) == contents(batch)


def test_what_a_transform_may_make() -> None:
    batch = batch_of(3)
    nested = torch.nested.nested_tensor_from_jagged(torch.arange(4.0), torch.tensor([0, 1, 1, 4]))
    fields = {"a": np.zeros((3, 2)), "b": nested, "c": ["x", "y", "z"], "d": [torch.zeros(1)] * 3}
    made = batch.with_fields({name: cells_from(value, name) for name, value in fields.items()})
    assert list(made) == list(fields)
    assert contents(made.packed(shared_buffer)) == contents(made)
    assert plain(made["b"]) == [[0.0], [], [1.0, 2.0, 3.0]]
    with pytest.raises(FieldMismatch, match="2 rows of field 'a'"):
        batch.with_fields({"a": torch.zeros(2)})
    with pytest.raises(FieldMismatch, match="jagged"):
        cells_from(torch.nested.nested_tensor_from_jagged(torch.zeros(4, 2), torch.tensor([0, 4])), "a")


def test_a_batch_is_like_a_dict_of_fields() -> None:
    batch = batch_of(3)
    assert set(dict(batch)) == {"dense", "scalar", "tokens", "logp", "strip", "json"}
    assert "dense" in batch
    assert "ids" not in batch
    assert batch.nbytes > 0
    assert "rows=3" in repr(batch)
    with pytest.raises(KeyError):
        batch["ids"]


def test_a_copy_ends_no_claim() -> None:
    batch = batch_of(3)
    assert not batch.held
    for end in (batch.ack, batch.release):
        with pytest.raises(FixRequest):
            end()

"""TensorDict in and out: against the real package where it is installed, else against a stand-in for what is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transferq import Client, Dense, FieldMismatch, Json, Partition, Ragged, Scalar, Text
from transferq.torch import StreamingDataset, fields_of

FIELDS = {
    "image": Dense("float32", (2,)),
    "tokens": Ragged("int64"),
    "prompt.text": Text(),
    "facts": Json(),
    "reward": Scalar("float32"),
}


class StandIn:
    """What `fields_of` uses of a TensorDict; iteration gives rows, as a TensorDict's does."""

    def __init__(self, fields: dict[str, Any], batch_size: list[int]) -> None:
        self.batch_size = torch.Size(batch_size)
        self._fields = fields

    def keys(self) -> Any:
        return self._fields.keys()

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def flatten_keys(self, separator: str) -> StandIn:
        flat = {}
        for name, value in self._fields.items():
            nested = value if isinstance(value, dict) else {"": value}
            flat.update({separator.join([name, *filter(None, [inner])]): cells for inner, cells in nested.items()})
        return StandIn(flat, list(self.batch_size))


def fields(index_ids: list[int]) -> dict[str, Any]:
    return {
        "index_id": torch.tensor(index_ids),
        "image": torch.arange(4.0).reshape(2, 2),
        "tokens": torch.nested.nested_tensor_from_jagged(torch.arange(3), torch.tensor([0, 1, 3])),
        "prompt": {"text": ["one", "two"]},
        "facts": [{"a": 1}, {"b": None}],
        "reward": torch.tensor([0.5, 1.0]),
    }


def check(partition: Partition) -> None:
    batch = partition.get([7, 8])
    assert batch["image"].numpy().tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert batch["tokens"].list() == [[0], [1, 2]]
    assert batch["prompt.text"].list() == ["one", "two"]
    assert batch["facts"].list() == [{"a": 1}, {"b": None}]
    assert batch["reward"].list() == [0.5, 1.0]


def test_fields_of_a_tensordict_are_put(real: Client) -> None:
    partition = real.partition("stand_in", fields=FIELDS)
    partition.put(fields_of(StandIn(fields([7, 8]), [2])))
    check(partition)
    with pytest.raises(FieldMismatch, match="batch size"):
        fields_of(StandIn({}, [2, 3]))


def test_tensordict_in_and_out(real: Client) -> None:
    tensordict: Callable[..., Any] = pytest.importorskip("tensordict").TensorDict
    partition = real.partition("tensordict", fields=FIELDS)
    partition.put(fields_of(tensordict(fields([7, 8]), batch_size=[2])))
    check(partition)
    batch = next(iter(StreamingDataset(partition, task="t", fields=list(FIELDS), batch_size=2)))
    made = batch.tensordict()
    assert made.batch_size == torch.Size([2])
    assert made["index_id"].tolist() == [7, 8]
    assert made["image"].data_ptr() == batch["image"].data_ptr()
    assert [row.tolist() for row in made["tokens"].unbind()] == [[0], [1, 2]]
    assert list(made["facts"]) == [{"a": 1}, {"b": None}]
    again = real.partition("tensordict.again", fields=FIELDS)
    again.put(fields_of(made))
    check(again)


def test_without_the_package_an_error_says_what_to_install(
    numbered: Callable[..., Partition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensordict", None)
    batch = next(iter(StreamingDataset(numbered(2), task="t", fields=["x"], batch_size=2)))
    with pytest.raises(ImportError, match="pip install 'transferq\\[tensordict\\]'"):
        batch.tensordict()

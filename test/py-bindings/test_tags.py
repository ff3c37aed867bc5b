"""Tags, numbers and lists, on the fake server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transferq
from fake_server import FakeStore
from rows import FIELDS, put_rows
from transferq import Client, FieldMismatch, TagsInvalid


@pytest.fixture
def rows(tq: Client) -> transferq.Partition:
    partition = tq.partition("p", fields=FIELDS, numbers=["reward"])
    put_rows(partition, range(10))
    return partition


def tags_of(store: FakeStore) -> dict[int, Any]:
    return {row: tags for row, tags in store.partitions["p"].tags.items() if tags}


def test_a_put_carries_tags(tq: Client, store: FakeStore) -> None:
    partition = tq.partition("p", fields=FIELDS)
    data = {"x": [1, 2], "r": [[], []]}
    partition.put(data, index_ids=[1, 2], tags={"status": "new"})
    assert tags_of(store) == {1: {"status": "new"}, 2: {"status": "new"}}
    partition.put(data, index_ids=[1, 2], tags=[{"status": None, "reward": np.float32(0.5)}, None])
    assert tags_of(store) == {1: {"reward": 0.5}, 2: {"status": "new"}}
    assert list(partition.fields) == ["x", "r"]
    assert list(partition.get([1])) == ["x", "r"]


def test_tags_are_merged(rows: transferq.Partition, store: FakeStore) -> None:
    rows.tag([1, 2], {"judge": {"score": 1}})
    lsn = rows.tag([2, 1], [{"judge": {"by": "me"}}, {}])
    assert tags_of(store) == {1: {"judge": {"score": 1}}, 2: {"judge": {"score": 1, "by": "me"}}}
    assert lsn == store.partitions["p"].lsn
    assert rows.tag([], {"a": 1}) == 0


@pytest.mark.parametrize("tags", [{"a": float("nan")}, {"a": object()}, {"a": np.zeros(2)}, [3]])
def test_what_json_does_not_have_is_refused(rows: transferq.Partition, tags: Any) -> None:
    with pytest.raises(TagsInvalid):
        rows.tag([1], tags)


@pytest.mark.parametrize("tags", ["a", 3, [{}, {}, {}], {1, 2}])
def test_tags_are_for_the_rows_given(rows: transferq.Partition, tags: Any) -> None:
    with pytest.raises(FieldMismatch):
        rows.tag([1, 2], tags)


def test_numbers_of_arrays_are_numbers(rows: transferq.Partition, store: FakeStore) -> None:
    rows.tag([1], {"a": np.int64(3), "b": torch.tensor(0.5), "c": np.True_})
    assert tags_of(store) == {1: {"a": 3, "b": 0.5, "c": True}}


def test_many_tags_are_several_requests(rows: transferq.Partition, store: FakeStore, tq: Client) -> None:
    tq.limits()
    store.limits["list_rows_max"] = tq.limits()["list_rows_max"] = 4
    rows.tag(range(10), {"a": 1})
    assert len(tags_of(store)) == 10
    assert store.requests.count("POST /v1/partitions/p/rows:tag") == 3
    tq.limits()["json_body_bytes_max"] = 2048
    rows.tag(range(10), [{"text": "x" * 500}] * 9 + [{"text": "y" * 3000}])
    assert len(tags_of(store)[9]["text"]) == 3000
    assert store.requests.count("POST /v1/partitions/p/rows:tag") > 6


def test_rows_that_are_not_there_get_no_tags(rows: transferq.Partition, store: FakeStore) -> None:
    with pytest.raises(transferq.RowsMissing) as raised:
        rows.tag([1, 77], {"a": 1})
    assert raised.value.details["missing"] == [77]
    assert tags_of(store) == {}


def test_a_list_is_of_all_pages(rows: transferq.Partition, tq: Client) -> None:
    rows.tag([3, 4], [{"reward": 0.25, "status": "a"}, {"reward": 0.75}])
    tq.limits()["list_rows_max"] = 3
    listing = rows.list()
    assert listing.index_ids.tolist() == list(range(10))
    assert listing.tags[3:5] == [{"status": "a"}, {}]
    assert listing.numbers["reward"].dtype == np.float64
    assert np.isnan(listing.numbers["reward"]).sum() == 8
    assert listing.attempts is None
    assert len(rows.list(rows_max=4)) == 4
    assert rows.list([7, 99, 2, 3]).index_ids.tolist() == [7, 2, 3]
    assert rows.list(where="reward > 0.5").index_ids.tolist() == [4]
    table = listing.arrow()
    assert table.column_names == ["index_id", "tags", "reward"]
    assert table.column("reward").null_count == 8
    assert table.column("tags").to_pylist()[3] == '{"status":"a"}'


def test_an_empty_list_has_its_types(tq: Client) -> None:
    listing = tq.partition("p", fields=FIELDS, numbers=["reward"]).list()
    assert (len(listing), listing.index_ids.dtype, listing.numbers["reward"].dtype) == (0, np.int64, np.float64)
    assert listing.arrow().num_rows == 0


def test_a_sampler_of_the_users_claims_what_it_chose(rows: transferq.Partition) -> None:
    rows.tag(range(10), [{"reward": float(row % 4)} for row in range(10)])
    ready = rows.list(task="best", fields=["x"])
    assert ready.attempts is not None
    assert ready.attempts.tolist() == [1] * 10
    best = ready.index_ids[np.argsort(-ready.numbers["reward"], kind="stable")[:2]]
    batch = rows.claim(task="best", fields=["x"], ids=best)
    assert isinstance(batch, transferq.Batch)
    assert batch.index_ids.tolist() == [3, 7]
    other = rows.claim(task="best", fields=["x"], ids=[3, 4])
    assert isinstance(other, transferq.Batch)
    assert other.index_ids.tolist() == [4]
    assert isinstance(rows.claim(task="best", fields=["x"], ids=[3, 4]), transferq.TimedOut)
    batch.release()
    again = rows.list(task="best", fields=["x"], where="reward > 2")
    assert again.attempts is not None
    assert again.attempts.tolist() == [2, 2]
    with pytest.raises(transferq.FixRequest, match="both"):
        rows.list(task="best")
    for words in ({"batch_size": 1, "ids": [1]}, {}):
        with pytest.raises(transferq.FixRequest, match="batch_size rows, or those of ids"):
            rows.claim(task="best", fields=["x"], **words)  # type: ignore[arg-type]


def test_a_batch_without_tags_says_how_to_get_them(rows: transferq.Partition) -> None:
    with pytest.raises(transferq.FixRequest, match="tq_tags"):
        _ = rows.get([1]).tags

"""Rows by string keys, on the fake server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import transferq
import xxhash
from fake_server import FakeStore
from rows import FIELDS, put_rows
from transferq import Client, FieldMismatch, KeyCollision, KeysMissing, _kv, key_id


@pytest.fixture
def rows(tq: Client) -> transferq.Partition:
    return tq.partition("p", fields=FIELDS, numbers=["reward"])


def put_keys(rows: transferq.Partition, keys: list[str], **options: Any) -> transferq.Put:
    return rows.kv_batch_put(keys, {"x": list(map(len, keys)), "r": [[] for _ in keys]}, **options)


@pytest.mark.parametrize("key", ["a", "prompt-7/0", "Grüße", "\u4e16\u754c", "x" * 1000])
def test_ids_are_hashes_that_every_language_has(key: str) -> None:
    assert key_id(key) == xxhash.xxh64_intdigest(key.encode()) % 2**53


@pytest.mark.parametrize("key", ["", "\ud800", b"a", 7, None])
def test_keys_are_strings(key: Any) -> None:
    with pytest.raises(FieldMismatch):
        key_id(key)


def test_one_row(rows: transferq.Partition) -> None:
    rows.kv_put("a", {"x": 7, "r": [1.5]}, tags={"status": "new"})
    assert rows.kv_get("a", fields=["r"])["r"].tolist() == [1.5]
    rows.kv_put("a", {"x": 8}, tags={"reward": 0.5})
    assert rows.kv_get("a")["x"] == 8
    assert rows.kv_list() == {"a": {"status": "new", "reward": 0.5}}
    with pytest.raises(transferq.RowsExist):
        rows.kv_put("a", {"x": 9}, if_absent=True)


def test_many_rows_in_the_order_of_their_keys(rows: transferq.Partition) -> None:
    put = put_keys(rows, ["a", "bb", "ccc"], tags=[{"n": 1}, None, {"n": 3}])
    assert put.rows == 3
    batch = rows.kv_batch_get(["ccc", "a"], fields=["x"])
    assert (batch["x"].list(), batch.row_keys, list(batch)) == ([3, 1], ["ccc", "a"], ["x"])
    assert batch.tags == [{"n": 3, "tq_key": "ccc"}, {"n": 1, "tq_key": "a"}]
    assert rows.kv_list() == {"a": {"n": 1}, "bb": {}, "ccc": {"n": 3}}
    assert rows.kv_list(where="n > 1 or n < 0") == {"ccc": {"n": 3}}
    assert rows.list().tags[0]["tq_key"] == "a"


def test_missing_keys_are_an_error_unless_dropped(rows: transferq.Partition) -> None:
    put_keys(rows, ["a", "bb"])
    rows.kv_put("half", {"x": 1})
    with pytest.raises(KeysMissing) as raised:
        rows.kv_batch_get(["a", "nobody", "half"])
    assert raised.value.details == {"missing": ["nobody", "half"], "missing_count": 2}
    assert isinstance(raised.value, transferq.RowsMissing)
    with pytest.raises(KeysMissing, match="nobody"):
        rows.kv_get("nobody")
    with pytest.raises(transferq.TimedOut):
        rows.kv_get("nobody", wait_s=0.02)
    batch = rows.kv_batch_get(["bb", "nobody", "half", "a"], missing="drop")
    assert (batch.row_keys, batch["x"].list()) == (["bb", "a"], [2, 1])
    assert rows.kv_batch_get(["half", "nobody"], fields=["x"], missing="drop").row_keys == ["half"]
    empty = rows.kv_batch_get(["nobody"], missing="drop")
    assert (empty.row_keys, len(empty), list(empty)) == ([], 0, ["x", "r"])
    for words in ({"missing": "drop", "wait_s": 1}, {"missing": "none"}):
        with pytest.raises(transferq.FixRequest, match="drop"):
            rows.kv_batch_get(["a"], **words)


def test_many_rows_that_lack_fields_are_dropped(rows: transferq.Partition) -> None:
    halves = [f"half-{row}" for row in range(35)]
    rows.kv_batch_put(halves, {"x": [0] * 35})
    put_keys(rows, ["a"])
    assert rows.kv_batch_get([*halves, "a"], missing="drop").row_keys == ["a"]


def test_clearing(rows: transferq.Partition) -> None:
    put_keys(rows, ["a", "bb", "ccc"])
    put_rows(rows, [1, 2])
    assert rows.kv_clear(["bb", "nobody", "bb"]) == 1
    assert set(rows.kv_list()) == {"a", "ccc"}
    assert rows.kv_clear() == 2
    assert rows.list().index_ids.tolist() == [1, 2]


def test_keys_with_the_same_hash_never_meet(rows: transferq.Partition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kv, "key_id", lambda key: 5)
    put_keys(rows, ["a"])
    with pytest.raises(KeyCollision):
        put_keys(rows, ["b"])
    with pytest.raises(KeyCollision) as raised:
        put_keys(rows, ["c", "d"])
    assert raised.value.details == {"keys": ["c", "d"]}
    with pytest.raises(KeysMissing):
        rows.kv_get("b")
    assert rows.kv_batch_get(["b"], missing="drop").row_keys == []
    assert rows.kv_clear(["b"]) == 0
    assert rows.kv_get("a")["x"] == 1


def test_mistakes_are_named(rows: transferq.Partition) -> None:
    with pytest.raises(FieldMismatch, match="each key once"):
        put_keys(rows, ["a", "a"])
    with pytest.raises(FieldMismatch, match="keys are a list"):
        rows.kv_batch_get("ab")
    with pytest.raises(FieldMismatch, match="one for each of 2"):
        put_keys(rows, ["a", "b"], tags=[{}])


def test_rows_by_key_are_rows_like_all_others(rows: transferq.Partition, store: FakeStore) -> None:
    put_keys(rows, ["a"])
    rows.tag([key_id("a")], {"status": "done"})
    batch = rows.claim(task="t", fields=["x"], batch_size=1, where='status == "done"')
    assert isinstance(batch, transferq.Batch)
    assert batch.index_ids.tolist() == [key_id("a")]
    assert store.partitions["p"].tags[key_id("a")] == {"tq_key": "a", "status": "done"}
    assert np.isnan(rows.list().numbers["reward"]).all()

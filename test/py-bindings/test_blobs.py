"""Blobs through the client, against the real server: sent once, stored once, fetched once, the same object for all."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transferq
from transferq import (
    Blob,
    BlobMissing,
    ChecksumMismatch,
    Client,
    Drained,
    FieldMismatch,
    OverBudget,
    Ragged,
    Scalar,
    TimedOut,
    aio,
)
from transferq._blob_calls import BlobCache
from transferq.testing import Server

SIBLINGS = 16


def photos(tq: Client, name: str, **settings: Any) -> transferq.Partition:
    return tq.partition(name, fields={"image": Blob(), "x": Scalar("int64")}, **settings)


def image(seed: int, size: int = 200_000) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def uploads(tq: Client, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Method, target and bytes of all calls from now on."""
    calls: list[tuple[str, str, int]] = []
    call = tq.transport.call

    def noted(origin: Any, request: Any, **rest: Any) -> Any:
        body = request.body
        calls.append((request.method, request.target, body.size if hasattr(body, "size") else len(body)))
        return call(origin, request, **rest)

    monkeypatch.setattr(tq.transport, "call", noted)
    return calls


def test_the_image_of_a_prompt_goes_over_the_wire_once_and_is_one_object(
    real: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = photos(real, "siblings", group_size=SIBLINGS, tasks=["train"])
    images = [image(0), image(1)]
    calls = uploads(real, monkeypatch)
    count = 2 * SIBLINGS
    given = [images[row // SIBLINGS] for row in range(count)]
    rows.put({"image": given, "x": np.arange(count)}, index_ids=np.arange(count))
    sent = sum(size for _, _, size in calls)
    assert sum(map(len, images)) <= sent < 1.1 * sum(map(len, images))
    stats = rows.stats()
    assert stats["blobs"]["count"] == 2
    assert stats["blobs"]["bytes"] + stats["bytes"] < 1.1 * sum(map(len, images))

    calls.clear()
    rows.put({"image": given}, index_ids=np.arange(count))
    assert [method for method, _, _ in calls] == ["POST", "POST"]

    calls.clear()
    with transferq.connect(real.url) as other:
        calls = uploads(other, monkeypatch)
        batch = other.partition("siblings").claim(task="train", fields=["image", "x"], batch_size=count)
        assert not isinstance(batch, TimedOut | Drained)
        cells = batch["image"].list()
        assert cells == given
        assert len({id(cell) for cell in cells}) == 2
        assert batch["image"].list()[3] is cells[0]
        assert len([target for method, target, _ in calls if method == "GET" and "/blobs/" in target]) == 2
        assert batch["image"].digests[0] == hashlib.sha256(images[0]).hexdigest()
        assert batch["image"].numpy()[SIBLINGS] is cells[-1]
        # The next batch has them from the cache of the client.
        calls.clear()
        again = other.partition("siblings").get([0, 1])
        assert again["image"].list()[0] is cells[0]
        assert not [target for _, target, _ in calls if "/blobs/" in target]
        batch.ack()


def test_values_that_a_cell_may_have(real: Client) -> None:
    rows = photos(real, "values")
    data = image(7, 12)
    array = np.frombuffer(data, np.uint8).reshape(3, 4)
    cells = [data, bytearray(data), memoryview(data), array, torch.from_numpy(array.copy()), b""]
    rows.put({"image": cells, "x": np.arange(6)}, index_ids=np.arange(6))
    assert rows.get(range(6))["image"].list() == [data] * 5 + [b""]
    assert rows.stats()["blobs"]["count"] == 2
    table = pa.table({"index_id": [6, 7], "image": pa.array([data, b"new"]), "x": [6, 7]})
    rows.put(table)
    assert rows.get([7, 6])["image"].list() == [b"new", data]
    for wrong in (["text"], [None], [np.zeros(3)]):
        with pytest.raises(FieldMismatch):
            rows.put({"image": wrong, "x": [1]}, index_ids=[1])


def test_columns_go_on_as_they_came(real: Client) -> None:
    rows, other = photos(real, "columns"), photos(real, "columns_copy")
    given = [image(1, 100), image(2, 100), image(1, 100)]
    rows.put({"image": given, "x": np.arange(3)}, index_ids=[0, 1, 2])
    batch = rows.get([2, 1, 0])
    column = batch["image"]
    assert column.slice(1, 3).list() == given[1::-1]
    assert column.take(np.array([1, 1])).list() == [given[1]] * 2
    with pytest.raises(FieldMismatch):
        column.torch()
    arrow = batch.arrow().column("image")
    assert isinstance(arrow, pa.DictionaryArray)
    assert len(arrow.dictionary) == 2
    assert arrow.to_pylist() == given[::-1]
    # To a partition that does not have them: they are fetched and sent.
    other.put(batch)
    assert other.get([0, 1, 2])["image"].list() == given
    rows.put({"image": arrow, "x": np.arange(3)}, index_ids=[5, 6, 7])
    assert rows.get([5, 6, 7])["image"].list() == given[::-1]
    kept = pickle.loads(pickle.dumps(rows.get([0])["image"].blobs))
    assert kept.fetch(batch["image"].digests[2:]) == {hashlib.sha256(given[0]).hexdigest(): given[0]}


def test_a_field_of_blobs_is_declared_and_described(real: Client) -> None:
    rows = photos(real, "declared")
    assert rows.refresh().fields["image"] == Blob()
    assert rows.stats()["fields"]["image"] == {"layout": "blob"}
    open_rows = real.partition("guessed", open=True)
    open_rows.put({"image": [b"x"]}, index_ids=[1])
    assert open_rows.refresh().fields["image"] == transferq.Bytes()
    with pytest.raises(transferq.PartitionConflict):
        real.partition("declared", fields={"image": Ragged("uint8")})


def test_what_is_not_there_or_not_right_is_said(real: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = photos(real, "wrong")
    rows.put({"image": [b"one"], "x": [1]}, index_ids=[1])
    digest = hashlib.sha256(b"two").hexdigest()
    lacking = rows.get([1])["image"].blobs
    with pytest.raises(BlobMissing) as raised:
        lacking.fetch([digest])
    assert raised.value.details["digests"] == [digest]
    real.blob_cache.reset()
    monkeypatch.setattr(hashlib, "sha256", lambda _: hashlib.md5())
    with pytest.raises(ChecksumMismatch):
        rows.get([1])["image"].list()


def test_a_put_whose_blob_was_released_sends_it_again(real: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = photos(real, "again")
    post_json = real.post_json
    told = []

    def nothing_missing_at_first(origin: Any, target: str, body: Any) -> Any:
        if not target.endswith("blobs:missing"):
            return post_json(origin, target, body)
        told.append(target)
        return {"missing": []} if len(told) == 1 else post_json(origin, target, body)

    monkeypatch.setattr(real, "post_json", nothing_missing_at_first)
    rows.put({"image": [b"late"], "x": [1]}, index_ids=[1])
    assert len(told) == 2
    assert rows.get([1])["image"].list() == [b"late"]


def test_blobs_wait_for_room_as_long_as_their_put(real: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = photos(real, "room")
    monkeypatch.setitem(real.limits(), "wait_ms_max", 20)
    call = real.transport.call
    refused: list[str] = []

    def full_at_first(origin: Any, request: Any, **rest: Any) -> Any:
        if request.method == "PUT" and len(refused) < 3:
            refused.append(request.target)
            raise OverBudget(details={"budget": "--bytes-max", "limit": 1000, "used": 1000, "asked": 1})
        return call(origin, request, **rest)

    monkeypatch.setattr(real.transport, "call", full_at_first)
    with pytest.raises(OverBudget):
        rows.put({"image": [b"one"], "x": [1]}, index_ids=[1])
    rows.put({"image": [b"one", b"two"], "x": [1, 2]}, index_ids=[1, 2], wait_s=None)
    assert ["wait_ms=20" in target for target in refused] == [False, True, True]
    assert rows.get([1, 2])["image"].list() == [b"one", b"two"]


def test_the_cache_keeps_what_was_used_last() -> None:
    cache = BlobCache(10)
    for name in ("a", "b"):
        cache.add(name, name.encode() * 4)
    assert cache.get("a") == b"aaaa"
    cache.add("c", b"cccc")
    assert [cache.get(name) for name in ("a", "b", "c")] == [b"aaaa", None, b"cccc"]
    cache.add("large", bytes(11))
    assert cache.get("large") is None
    cache.reset()
    assert cache.get("a") is None


def test_asyncio(server: Server) -> None:
    async def run() -> None:
        async with aio.connect(server.url) as tq:
            rows = await tq.partition("photos_aio", fields={"image": Blob()})
            given = [image(3), image(4)] * 8
            await rows.put({"image": given}, index_ids=np.arange(16))
            batch = await rows.get(range(16))
            await batch.fetch_blobs()
            cells = batch["image"].list()
            assert cells == given
            assert len({id(cell) for cell in cells}) == 2

    asyncio.run(run())

"""Several nodes behind one client: calls are split, merged and follow a shard that moves."""

from __future__ import annotations

from typing import Any

import pytest
import transferq
from fake_server import FakeStore
from rows import FIELDS, check_rows, put_rows
from transferq import Client, Drained, SharedBatch, Task, TimedOut
from transferq._shards import Shards


def test_rows_of_several_nodes_are_one_call(cluster: tuple[Client, list[FakeStore]]) -> None:
    tq, stores = cluster
    partition = tq.partition("p", fields=FIELDS, group_size=4)
    ids = list(range(100, 0, -1))
    put = put_rows(partition, ids)
    assert len(put.lsns) == 3
    kept = [set(store.partitions["p"].rows) for store in stores]
    assert all(kept)
    assert set.union(*kept) == set(ids)
    check_rows(partition.get(ids), ids)
    check_rows(partition.get([5, 50, 17]), [5, 50, 17])
    assert sorted(row for page in partition.scan(rows_max=7) for row in page.index_ids.tolist()) == sorted(ids)
    assert partition.delete([1, 2, 3, 200]) == 3
    assert partition.newest(fields=["x"]).lsn == max(store.partitions["p"].lsn for store in stores)
    with pytest.raises(transferq.FixRequest, match="one node"):
        partition.put({"x": [0] * 50}, index_ids=range(50), claim="c1")
    partition.seal()
    seen = []
    for batch in partition.consume(task="t", fields=["x"], batch_size=10):
        seen += batch.index_ids.tolist()
        batch.ack()
    assert sorted(seen) == sorted(set(ids) - {1, 2, 3})
    assert partition.put({"x": [], "r": []}, index_ids=[]).rows == 0


def test_a_moved_shard_is_followed(cluster: tuple[Client, list[FakeStore]], monkeypatch: pytest.MonkeyPatch) -> None:
    tq, stores = cluster
    partition = tq.partition("p", fields=FIELDS)
    reads: list[int] = []
    read = Shards._read

    def wrong_at_first(self: Shards) -> Any:
        found = read(self)
        reads.append(found.epoch)
        if len(reads) > 1:
            return found
        return type(found)(found.epoch, (found.owners + 1) % 3, found.origins)

    monkeypatch.setattr(Shards, "_read", wrong_at_first)
    tq.shards.reset()
    put_rows(partition, range(50))
    assert len(reads) == 2
    check_rows(partition.get(range(50)), range(50))
    assert stores[0].partitions["p"].rows


def test_the_queue_of_several_nodes_is_one_queue(cluster: tuple[Client, list[FakeStore]]) -> None:
    tq, stores = cluster
    partition = tq.partition("p", fields=FIELDS, numbers=["n"], tasks={"once": Task(max_attempts=1)})
    put_rows(partition, range(60))
    changes = partition.watch(wait_s=0.3)
    partition.tag(range(60), [{"n": row} for row in range(60)])
    tagged = sorted(row for change in changes for row in change.ids)
    assert tagged == list(range(60))
    listing = partition.list(where="n >= 30")
    assert sorted(listing.index_ids.tolist()) == list(range(30, 60))
    assert listing.numbers["n"].tolist() == listing.index_ids.tolist()
    assert sorted(partition.list(range(70)).index_ids.tolist()) == list(range(60))
    assert len(partition.list(rows_max=25)) == 25
    put = partition.kv_batch_put([f"key-{number}" for number in range(20)], {"x": range(20), "r": [[]] * 20})
    assert len(put.lsns) == 3
    assert partition.kv_batch_get(["key-7", "key-3"])["x"].list() == [7, 3]
    assert partition.kv_clear() == 20
    assert partition.advance(2) == max(store.partitions["p"].lsn for store in stores)
    with pytest.raises(transferq.FixRequest, match="now on"):
        partition.watch(after_lsn=1)


def test_claims_are_of_one_node(cluster: tuple[Client, list[FakeStore]]) -> None:
    tq, stores = cluster
    partition = tq.partition("p", fields=FIELDS, tasks={"once": Task(max_attempts=1)})
    put_rows(partition, range(60))
    mine = list(stores[1].partitions["p"].rows)[:3]
    batch = partition.claim(task="once", fields=["x"], ids=mine)
    assert isinstance(batch, transferq.Batch)
    assert batch.index_ids.tolist() == mine
    with pytest.raises(transferq.FixRequest, match="one node"):
        partition.claim(task="once", fields=["x"], ids=range(60))
    assert [lease["ids"] for lease in partition.leases()] == [mine]
    batch.release()
    assert partition.dead_letters("once") == dict.fromkeys(mine, 1)
    assert partition.requeue("once", range(60)) == 3
    partial = partition.claim(task="t", fields=["x"], batch_size=50, wait_s=1.2, partial=True)
    assert isinstance(partial, transferq.Batch)
    assert partial.partial
    partial.release()
    assert partition.reset_consumption("t") == len(partial)


def test_each_number_of_a_shared_batch_is_of_one_node(cluster: tuple[Client, list[FakeStore]]) -> None:
    tq, stores = cluster
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, range(60))
    partition.seal()
    shared = SharedBatch("job", part=0, parts=1)
    seen: dict[int, list[int]] = {}
    for batch in partition.consume(task="t", fields=["x"], batch_size=4, batch=shared):
        assert batch.batch_number is not None
        seen[batch.batch_number] = batch.index_ids.tolist()
        batch.ack()
    assert sorted(row for rows in seen.values() for row in rows) == list(range(60))
    for number, rows in seen.items():
        assert set(rows) <= set(stores[number % 3].partitions["p"].rows)


def test_drained_are_nodes_that_are_so_one_after_the_other(
    cluster: tuple[Client, list[FakeStore]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows may come back to a node after it said that it is drained, as long as another one has rows."""
    tq, _ = cluster
    partition = tq.partition("p", fields=FIELDS)
    outcomes = [Drained(), Drained(), TimedOut(), Drained(), Drained(), Drained()]
    asked: list[int] = []

    def claim(_: Any, request: Any, __: Any) -> Any:
        asked.append(request.batch.number)
        return outcomes[request.batch.number]

    monkeypatch.setattr("transferq._claims.claim", claim)
    assert list(partition.consume(task="t", fields=["x"], batch_size=4, batch=SharedBatch("job"))) == []
    assert asked == list(range(6))


def test_a_busy_node_does_not_keep_the_changes_of_others_back(cluster: tuple[Client, list[FakeStore]]) -> None:
    tq, stores = cluster
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, range(60))
    busy, *others = [list(store.partitions["p"].rows) for store in stores]
    changes = partition.watch(wait_s=5)
    partition.tag(others[0][:1] + others[1][:1], {"n": 1})
    seen: set[int] = set()
    for turn in range(6):
        partition.tag(busy[:1], {"n": turn})
        seen.update(next(changes).ids)
    assert seen == {busy[0], others[0][0], others[1][0]}

"""Budgets, tasks, shared batches, partial claims and changes, on the fake server."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import transferq
from fake_server import FakeStore
from rows import FIELDS, put_rows
from transferq import Batch, Client, Drained, OverBudget, SharedBatch, Task, TimedOut


@pytest.fixture
def rows(tq: Client) -> transferq.Partition:
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, range(12))
    return partition


# ---- Budgets ---------------------------------------------------------------------------------------------------------


def full(tq: Client) -> transferq.Partition:
    partition = tq.partition("full", fields=FIELDS, rows_max=4)
    put_rows(partition, range(4))
    return partition


def test_a_put_over_budget_fails_at_once_and_once(tq: Client, store: FakeStore) -> None:
    partition = full(tq)
    with pytest.raises(OverBudget) as raised:
        put_rows(partition, [4])
    assert raised.value.details == {"budget": "rows_max", "limit": 4, "used": 4, "asked": 1}
    assert store.waits_for_room == [0]
    put_rows(partition, [3])


def test_a_put_waits_for_room(tq: Client) -> None:
    partition = full(tq)
    timer = threading.Timer(0.05, partition.delete, ([0],))
    timer.start()
    put = partition.put({"x": [40], "r": [[]]}, index_ids=[4], wait_s=20)
    timer.join()
    assert put.rows == 1
    assert partition.list().index_ids.tolist() == [1, 2, 3, 4]


def test_a_long_wait_for_room_is_several_requests(tq: Client, store: FakeStore) -> None:
    partition = full(tq)
    tq.limits()["wait_ms_max"] = 20
    with pytest.raises(OverBudget):
        partition.put({"x": [40], "r": [[]]}, index_ids=[4], wait_s=0.3)
    assert len(store.waits_for_room) >= 2
    assert max(store.waits_for_room) <= 20


def test_a_put_that_never_fits_does_not_wait(tq: Client, store: FakeStore) -> None:
    partition = full(tq)
    with pytest.raises(OverBudget):
        partition.put({"x": [0] * 5, "r": [[]] * 5}, index_ids=range(10, 15), wait_s=None)
    assert len(store.waits_for_room) == 1


# ---- Claims ----------------------------------------------------------------------------------------------------------


def test_what_is_ready_is_taken_when_the_wait_is_over(rows: transferq.Partition, tq: Client) -> None:
    tq.limits()["wait_ms_max"] = 20
    batch = rows.claim(task="t", fields=["x"], batch_size=50, wait_s=0.1, partial=True)
    assert isinstance(batch, Batch)
    assert (len(batch), batch.partial) == (12, True)
    batch.release()
    whole = rows.claim(task="t", fields=["x"], batch_size=12, partial=True)
    assert isinstance(whole, Batch)
    assert not whole.partial
    outcome = rows.claim(task="t", fields=["x"], batch_size=1, wait_s=0.05, partial=True)
    assert isinstance(outcome, TimedOut)


def test_after_lingering_one_row_is_enough(rows: transferq.Partition, tq: Client) -> None:
    tq.limits()["wait_ms_max"] = 20
    batch = rows.claim(task="t", fields=["x"], batch_size=50, wait_s=20, linger_s=0.1)
    assert isinstance(batch, Batch)
    assert len(batch) == 12


def test_a_filter_chooses_rows(rows: transferq.Partition) -> None:
    rows.tag([2, 5], {"status": "done"})
    batch = rows.claim(task="t", fields=["x"], batch_size=2, where='status == "done"')
    assert isinstance(batch, Batch)
    assert batch.index_ids.tolist() == [2, 5]


def test_ranks_share_batches(rows: transferq.Partition) -> None:
    rows.seal()
    seen: dict[tuple[int, int], list[list[int]]] = {}
    lock = threading.Lock()

    def rank(part: int) -> None:
        shared = SharedBatch("job", part=part, parts=2)
        for batch in rows.consume(task="t", fields=["x"], batch_size=4, batch=shared, wait_s=20):
            assert batch.batch_number is not None
            with lock:
                seen.setdefault((batch.batch_number, part), []).append(batch.index_ids.tolist())
            batch.ack()

    # Two replicas of each part.
    ranks = [threading.Thread(target=rank, args=(number // 2,)) for number in range(4)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join()
    assert sorted(seen) == [(number, part) for number in range(3) for part in range(2)]
    assert all(found[0] == found[1] for found in seen.values())
    assert sorted(row for found in seen.values() for row in found[0]) == list(range(12))


def test_numbers_that_stay_empty_are_passed_over(rows: transferq.Partition, tq: Client, store: FakeStore) -> None:
    late = tq.partition("late", fields=FIELDS)
    tq.limits()["wait_ms_max"] = 20
    first = late.claim(task="t", fields=["x"], batch_size=2, wait_s=None, batch=SharedBatch("job"))
    assert isinstance(first, TimedOut)
    timer = threading.Timer(0.2, put_rows, (late, [1, 2]))
    timer.start()
    loop = late.consume(task="t", fields=["x"], batch_size=2, batch=SharedBatch("job"))
    batch = next(loop)
    timer.join()
    assert batch.batch_number is not None
    assert batch.batch_number >= 2
    loop.close()
    with pytest.raises(TimedOut):
        next(late.consume(task="u", fields=["x"], batch_size=9, batch=SharedBatch("job"), wait_s=0))


# ---- Tasks -----------------------------------------------------------------------------------------------------------


def test_dead_letters_are_listed_and_requeued(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS, tasks={"t": Task(max_attempts=2)})
    put_rows(partition, range(5))
    for _ in range(2):
        batch = partition.claim(task="t", fields=["x"], batch_size=5)
        assert isinstance(batch, Batch)
        batch.release()
    outcome = partition.claim(task="t", fields=["x"], batch_size=1)
    assert isinstance(outcome, TimedOut)
    assert outcome.dead == 5
    assert partition.dead_letters("t") == dict.fromkeys(range(5), 2)
    tq.limits()["list_rows_max"] = 2
    assert partition.dead_letters("t", rows_max=3) == dict.fromkeys(range(3), 2)
    assert partition.requeue("t", [4, 1, 3]) == 3
    assert partition.requeue("t") == 2
    again = partition.claim(task="t", fields=["x"], batch_size=5)
    assert isinstance(again, Batch)
    assert again.attempts.tolist() == [1] * 5
    with pytest.raises(transferq.TaskUnknown):
        partition.dead_letters("nobody")
    with pytest.raises(transferq.FixRequest, match="name_invalid"):
        partition.requeue("../t")


def test_consumption_is_reset(rows: transferq.Partition) -> None:
    held = rows.claim(task="t", fields=["x"], batch_size=12)
    assert isinstance(held, Batch)
    assert [lease["ids"] for lease in rows.leases()] == [list(range(12))]
    assert rows.reset_consumption("t") == 12
    assert rows.leases() == []
    with pytest.raises(transferq.ClaimStale):
        held.ack()
    batch = rows.claim(task="t", fields=["x"], batch_size=12)
    assert isinstance(batch, Batch)
    assert batch.attempts.max() == 1


def test_versions_only_rise(rows: transferq.Partition) -> None:
    before = rows.advance(3)
    assert rows.advance(3) >= before
    assert rows.stats()["version"] == 3
    with pytest.raises(transferq.FixRequest, match="version_behind"):
        rows.advance(2)


def test_why_held(rows: transferq.Partition) -> None:
    assert rows.why_held(np.int64(3))["id"] == 3  # type: ignore[arg-type]
    with pytest.raises(transferq.RowsMissing):
        rows.why_held(99)


# ---- Changes ---------------------------------------------------------------------------------------------------------


def test_changes_are_those_since_the_watch_began(rows: transferq.Partition, tq: Client) -> None:
    tq.limits()["wait_ms_max"] = 50
    changes = rows.watch(wait_s=20)
    timer = threading.Timer(0.15, rows.tag, ([1], {"a": 1}))
    put_rows(rows, [20, 21])
    timer.start()
    first, second = next(changes), next(changes)
    timer.join()
    assert (first.change, first.ids, first.rows, first.fields) == ("put", (20, 21), 2, ("x", "r"))
    assert (second.change, second.ids, second.fields) == ("tag", (1,), ())
    assert second.lsn > first.lsn
    assert list(rows.watch(wait_s=0.01)) == []


def test_a_watch_goes_on_after_an_lsn(rows: transferq.Partition) -> None:
    first = put_rows(rows, [20])
    second = put_rows(rows, [21])
    assert [change.lsn for change in rows.watch(after_lsn=first.lsn, wait_s=0.01)] == [second.lsn]


def test_what_was_missed_is_said(rows: transferq.Partition, store: FakeStore) -> None:
    for _ in range(100):
        rows.tag([1], {"a": 1})
    changes = list(rows.watch(after_lsn=0, wait_s=0.01))
    assert changes[0].change == "missed"
    assert [change.change for change in changes[1:]] == ["tag"] * len(store.partitions["p"].changes)


def test_the_watch_of_a_dropped_partition_ends(rows: transferq.Partition) -> None:
    changes = rows.watch()
    rows.drop()
    with pytest.raises(transferq.PartitionUnknown):
        next(changes)


def test_outcomes_of_a_wait_are_told_by_their_counts() -> None:
    counts = TimedOut(details={"dead": 1, "stale": 2, "filtered": 3})
    assert (counts.dead, counts.stale, counts.filtered) == (1, 2, 3)
    assert not isinstance(counts, Drained)

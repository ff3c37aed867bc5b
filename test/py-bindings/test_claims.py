"""Claims: what consume promises about acks, releases, renewals and ends."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import pytest
import transferq
from fake_server import FakeStore
from transferq import Batch, ClaimStale, Client, Drained, Partition, Scalar, TimedOut
from transferq._renewals import RENEWALS_PER_LEASE

PATIENCE_S = 10.0


@pytest.fixture
def rows(tq: Client) -> Partition:
    """Twelve rows in groups of four."""
    partition = tq.partition("p", fields={"x": Scalar("int64"), "late": Scalar("int64")}, group_size=4)
    partition.put({"x": list(range(12))}, index_ids=range(12))
    return partition


def claimed(outcome: Any) -> Batch:
    assert isinstance(outcome, Batch)
    return outcome


def eventually(condition: Any) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def claim(rows: Partition, size: int = 4, **options: Any) -> Any:
    return rows.claim(**{"task": "t", "fields": ["x"], "batch_size": size, **options})


def test_a_claim_ends_in_one_of_three_ways(rows: Partition) -> None:
    batch = claimed(claim(rows))
    assert (batch.index_ids.tolist(), batch.attempts.tolist(), batch["x"].list()) == (
        [0, 1, 2, 3],
        [1] * 4,
        [0, 1, 2, 3],
    )
    assert batch.claim is not None
    assert batch.held
    outcome = claim(rows, 100, wait_s=0.02)
    assert isinstance(outcome, TimedOut)
    assert (outcome.ready, outcome.leased, outcome.incomplete) == (8, 4, 0)
    late = rows.claim(task="t", fields=["x", "late"], batch_size=1)
    assert isinstance(late, TimedOut)
    assert late.incomplete == 8
    batch.ack()
    rows.seal()
    claimed(claim(rows, 100)).ack()
    assert isinstance(claim(rows), Drained)


def test_release_gives_rows_back_with_a_higher_attempt(rows: Partition) -> None:
    batch = claimed(claim(rows))
    batch.release()
    batch.release()
    assert not batch.held
    with pytest.raises(transferq.FixRequest):
        batch.ack()
    assert claimed(claim(rows)).attempts.tolist() == [2] * 4


def test_ack_twice_is_one_ack(rows: Partition, store: FakeStore) -> None:
    batch = claimed(claim(rows))
    batch.ack()
    batch.ack()
    assert sum(":ack" in request for request in store.requests) == 1
    with pytest.raises(transferq.FixRequest):
        batch.release()


def test_rows_that_were_read_have_no_claim(rows: Partition) -> None:
    batch = rows.get([1], fields=["x"])
    assert batch.claim is None
    assert not batch.held
    assert batch.attempts.tolist() == [1]
    with pytest.raises(transferq.FixRequest):
        batch.ack()


def test_several_batches_may_be_held(rows: Partition) -> None:
    batches = [claimed(claim(rows)) for _ in range(3)]
    assert sorted(row for batch in batches for row in batch.index_ids.tolist()) == list(range(12))
    for batch in reversed(batches):
        batch.ack()


def test_groups_come_whole(rows: Partition) -> None:
    rows.delete([5])
    batch = claimed(claim(rows, 7, sampler="group", rows_min=4))
    assert batch.index_ids.tolist() == [0, 1, 2, 3]
    assert claimed(claim(rows, 9, sampler="group", rows_min=4)).index_ids.tolist() == [8, 9, 10, 11]


def test_auto_ack_leaves_nothing_to_do(rows: Partition, tq: Client) -> None:
    batch = claimed(claim(rows, auto_ack=True))
    assert not batch.held
    batch.ack()
    assert not tq.renewer.running
    assert claimed(claim(rows)).index_ids.tolist() == [4, 5, 6, 7]


def test_put_with_claim_is_one_step(rows: Partition, store: FakeStore) -> None:
    batch = claimed(claim(rows))
    rows.put({"late": batch["x"]}, index_ids=batch.index_ids, claim=batch)
    assert not batch.held
    batch.ack()
    assert not any(":ack" in request for request in store.requests)
    assert rows.get([2])["late"].list() == [2]
    other = claimed(claim(rows))
    store.limits["put_rows_max"] = 2
    rows.client._limits = None
    put = rows.put({"late": [0] * 4}, index_ids=other.index_ids, claim=other.claim)
    assert len(put.lsns) == 2
    with pytest.raises(transferq.FixRequest):
        rows.put({"late": [0]}, index_ids=[0], claim=rows.get([0], fields=["x"]))


# ---- consume -----------------------------------------------------------------------------------------------------


def consume(rows: Partition, **options: Any) -> Any:
    return rows.consume(**{"task": "t", "fields": ["x"], "batch_size": 5, **options})


def test_consume_gives_every_row_once_and_ends_when_drained(rows: Partition) -> None:
    rows.seal()
    seen = []
    for batch in consume(rows):
        seen.append(batch.index_ids.tolist())
        batch.ack()
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


def test_going_on_without_an_ack_releases_the_batch(rows: Partition) -> None:
    loop = consume(rows)
    first = next(loop)
    second = next(loop)
    assert not first.held
    assert second.index_ids.tolist() == first.index_ids.tolist()
    assert second.attempts.tolist() == [2] * 5
    second.ack()
    loop.close()


def test_leaving_the_loop_releases_the_batch(rows: Partition) -> None:
    kept: list[Batch] = []
    for batch in consume(rows):
        kept.append(batch)
        break
    assert not kept.pop().held

    def step() -> None:
        for batch in consume(rows):
            kept.append(batch)
            raise RuntimeError("step failed")

    with pytest.raises(RuntimeError, match="step failed"):
        step()
    assert not kept[0].held
    assert claimed(claim(rows)).attempts.tolist() == [3] * 4


def test_an_error_in_the_loop_is_not_replaced_when_the_release_fails(rows: Partition, store: FakeStore) -> None:
    loop = consume(rows)
    next(loop)
    store.claims.clear()
    with pytest.raises(KeyError, match="mine"):
        loop.throw(KeyError("mine"))


def test_a_wait_that_is_over_is_no_end(rows: Partition) -> None:
    loop = consume(rows, batch_size=100, wait_s=0.02)
    with pytest.raises(TimedOut) as caught:
        next(loop)
    assert caught.value.ready == 12


def test_consume_waits_for_rows_to_come(rows: Partition) -> None:
    loop = consume(rows, fields=["late"], batch_size=2)
    timer = threading.Timer(0.05, lambda: rows.put({"late": [1, 2]}, index_ids=[3, 4]))
    timer.start()
    assert next(loop).index_ids.tolist() == [3, 4]
    timer.join()
    loop.close()


# ---- Renewals ----------------------------------------------------------------------------------------------------


def test_a_held_batch_outlives_its_lease(rows: Partition, store: FakeStore, tq: Client) -> None:
    batch = claimed(claim(rows, lease_s=0.9))
    eventually(lambda: store.renewals.count(batch.claim) > RENEWALS_PER_LEASE)
    assert isinstance(claim(rows, 12), TimedOut)
    batch.ack()
    renewed = len(store.renewals)
    time.sleep(0.35)
    assert len(store.renewals) <= renewed + 1


def test_a_dropped_batch_is_not_renewed(rows: Partition, store: FakeStore) -> None:
    batch = claimed(claim(rows, lease_s=0.3))
    token = batch.claim
    del batch
    gc.collect()
    again = claimed(claim(rows, 12, wait_s=PATIENCE_S))
    assert again.attempts.tolist() == [2] * 4 + [1] * 8
    assert store.renewals.count(token) <= 1


def test_renewal_is_bounded_by_hold_max_s(rows: Partition) -> None:
    batch = claimed(claim(rows, lease_s=0.1, hold_max_s=0.2))
    again = claimed(claim(rows, 12, wait_s=PATIENCE_S))
    assert again.attempts.tolist()[:4] == [2] * 4
    with pytest.raises(ClaimStale):
        batch.ack()


def test_a_lost_lease_is_known_without_asking(rows: Partition, store: FakeStore) -> None:
    batch = claimed(claim(rows, lease_s=0.2))
    with store.changed:
        for row in batch.index_ids.tolist():
            store.partitions["p"].tasks["t"][row] = ("leased", 2, "other", time.monotonic() + 100)
    eventually(lambda: not batch.held)
    with pytest.raises(ClaimStale):
        batch.ack()


def test_the_thread_comes_late_and_goes_with_the_client(rows: Partition, tq: Client) -> None:
    assert not tq.renewer.running
    batch = claimed(claim(rows))
    thread = tq.renewer._thread
    assert thread is not None
    assert thread.daemon
    batch.ack()
    tq.close()
    assert not thread.is_alive()


def test_the_thread_ends_when_it_has_nothing_to_do(
    rows: Partition, tq: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transferq._renewals.LINGER_S", 0.05)
    claimed(claim(rows, lease_s=0.1)).ack()
    eventually(lambda: not tq.renewer.running)
    claimed(claim(rows, lease_s=0.1)).ack()
    assert tq.renewer._thread is not None

"""States of a loader: what they name, and who goes on from them, in time and late."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from transferq import Batch, ClaimStale, FixRequest, Partition
from transferq.torch import Settled, StreamingDataLoader, StreamingDataset, TensorBatch
from transferq.torch._link import Link
from transferq.torch._source import Reader

Numbered = Callable[..., Partition]
LEASE_S = 0.2


def loader_of(partition: Partition, ack: str = "checkpoint", **options: Any) -> StreamingDataLoader:
    words = {"task": "t", "fields": ["x"], "batch_size": 4, **options}
    return StreamingDataLoader(StreamingDataset(partition, **words), ack=ack)


def ids(batch: TensorBatch) -> list[int]:
    found: list[int] = batch.index_ids.tolist()
    return found


def counts(partition: Partition) -> tuple[int, int, int]:
    task = partition.stats()["tasks"]["t"]
    return task["ready"], task["leased"], task["consumed"]


def die(loader: StreamingDataLoader) -> None:
    """As if its process were killed: nothing is renewed any more, and the leases end."""
    client = loader.dataset.partition.client
    client.renewer.close()
    client.renewer.reset()
    time.sleep(LEASE_S + 0.1)


def taken_by_another(partition: Partition) -> Batch:
    outcome = partition.claim(task="t", fields=["x"], batch_size=1000, rows_min=1, wait_s=5.0)
    assert isinstance(outcome, Batch)
    return outcome


def test_a_state_names_what_is_not_acked(numbered: Numbered) -> None:
    partition = numbered(16)
    loader = loader_of(partition)
    stream = iter(loader)
    first, second = next(stream), next(stream)
    state = loader.state_dict()
    assert state == json.loads(json.dumps(state))
    assert state == {
        "version": 1,
        "partition": partition.name,
        "task": "t",
        "steps": 2,
        "claims": [{"claim": first.claim, "ids": ids(first)}, {"claim": second.claim, "ids": ids(second)}],
        "trained": [],
    }
    third = next(stream)
    assert counts(partition) == (4, 12, 0)
    assert loader.commit(state) == Settled(acked=2, stale_ids=())
    assert loader.commit(state) == Settled(acked=0, stale_ids=())
    assert counts(partition) == (4, 4, 8)
    assert (first.held, second.held, third.held) == (False, False, True)
    assert [entry["claim"] for entry in loader.state_dict()["claims"]] == [third.claim]


def test_a_trainer_that_died_between_save_and_commit(numbered: Numbered) -> None:
    partition = numbered(16)
    loader = loader_of(partition)
    stream = iter(loader)
    trained = ids(next(stream)) + ids(next(stream))
    state = json.loads(json.dumps(loader.state_dict()))
    lost = ids(next(stream))
    stream.close()
    again = loader_of(partition)
    assert again.load_state_dict(state) == Settled(acked=2, stale_ids=())
    assert again.load_state_dict(state) == Settled(acked=2, stale_ids=())
    assert again.steps == 2
    loader._ledger.load({**state, "claims": []})
    rest = [index_id for batch in again for index_id in ids(batch)]
    assert sorted(trained + rest) == list(range(16))
    assert set(lost) <= set(rest)


def test_an_ack_may_come_after_the_lease(numbered: Numbered) -> None:
    partition = numbered(8)
    loader = loader_of(partition, lease_s=LEASE_S)
    next(iter(loader))
    state = loader.state_dict()
    die(loader)
    assert counts(partition) == (8, 0, 0)
    assert loader_of(partition).load_state_dict(state) == Settled(acked=1, stale_ids=())
    assert counts(partition) == (4, 0, 4)


@pytest.mark.parametrize("whole", [True, False])
def test_trained_rows_that_were_granted_again_are_left_out(numbered: Numbered, whole: bool) -> None:
    partition = numbered(12)
    loader = loader_of(partition, lease_s=LEASE_S)
    trained = ids(next(iter(loader)))
    state = loader.state_dict()
    die(loader)
    taken_by_another(partition).release()
    again = loader_of(partition, batch_size=4 if whole else 6)
    assert again.load_state_dict(state) == Settled(acked=0, stale_ids=tuple(trained))
    assert again.state_dict()["trained"] == trained
    got = []
    for batch in again:
        got.append(ids(batch))
        assert batch.partial == (len(batch) < 4 if whole else len(batch) < 6)
        # A row that is left out is in the claim of the batch that it came with, so whoever goes on from here acks it.
        named = {index_id for entry in again.state_dict()["claims"] for index_id in entry["ids"]}
        assert not named & set(again.state_dict()["trained"])
    assert got == ([[4, 5, 6, 7], [8, 9, 10, 11]] if whole else [[4, 5], [6, 7, 8, 9, 10, 11]])
    again.commit(again.state_dict())
    assert again.state_dict()["trained"] == []
    assert again.drained()


def test_rows_left_out_are_remembered_by_those_who_go_on_before_their_ack(numbered: Numbered) -> None:
    partition = numbered(6)
    loader = loader_of(partition, lease_s=LEASE_S)
    trained = ids(next(iter(loader)))
    saved = loader.state_dict()
    die(loader)
    taken_by_another(partition).release()
    second = loader_of(partition, batch_size=6, lease_s=LEASE_S)
    second.load_state_dict(saved)
    batch = next(iter(second))
    assert ids(batch) == [4, 5]
    # It dies after this state was saved, and rows are granted again once more.
    saved = second.state_dict()
    die(second)
    taken_by_another(partition).release()
    third = loader_of(partition)
    assert third.load_state_dict(saved).stale_ids == (*trained, 4, 5)
    assert list(third) == []
    assert third.drained()


def test_a_batch_given_back_gives_back_only_what_was_not_trained(numbered: Numbered) -> None:
    partition = numbered(6)
    loader = loader_of(partition, lease_s=LEASE_S)
    next(iter(loader))
    saved = loader.state_dict()
    die(loader)
    taken_by_another(partition).release()
    again = loader_of(partition, batch_size=6)
    again.load_state_dict(saved)
    stream = iter(again)
    next(stream).release()
    assert again.state_dict()["trained"] == [0, 1, 2, 3]
    assert ids(next(stream)) == [4, 5]


def test_going_back_to_the_last_checkpoint_in_one_process(numbered: Numbered) -> None:
    partition = numbered(16)
    loader = loader_of(partition)
    stream = iter(loader)
    kept = ids(next(stream))
    state = loader.state_dict()
    bad = next(stream)
    loader.load_state_dict(state)
    assert not bad.held
    assert loader.steps == 1
    assert next(stream, None) is None
    rest = [index_id for batch in loader for index_id in ids(batch)]
    assert sorted(kept + rest) == list(range(16))
    assert set(ids(bad)) <= set(rest)


@pytest.mark.parametrize("ack", ["auto", "checkpoint"])
def test_a_trainer_that_slept_through_its_leases_trains_nothing_twice(numbered: Numbered, ack: str) -> None:
    partition = numbered(8)
    loader = loader_of(partition, ack, lease_s=LEASE_S)
    stream = iter(loader)
    first = ids(next(stream))
    die(loader)
    other = taken_by_another(partition)
    assert len(other) == 8
    threading.Timer(0.2, other.release).start()
    rest = [ids(batch) for batch in stream]
    assert [first, *rest] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    loader.commit(loader.state_dict())
    assert loader.drained()


def test_rows_that_lost_their_lease_in_a_queue_are_not_given_beside_their_later_claim(numbered: Numbered) -> None:
    """Two workers: one's batch lies in the queue, its lease ends, and the other one's claim overtakes it."""
    partition = numbered(4)
    loader = loader_of(partition, lease_s=LEASE_S)
    link = Link(2)
    early, late = (Reader(loader.dataset, link, worker, shares_memory=False).items() for worker in (0, 1))
    overtaken = next(early)
    die(loader)
    overtaking = next(late)
    assert isinstance(overtaken, TensorBatch)
    assert isinstance(overtaking, TensorBatch)
    assert ids(overtaken) == ids(overtaking)
    given = [loader._ledger.take(batch, link, again=False) for batch in (overtaking, overtaken)]
    assert given == [overtaking, None]
    assert (link.received(0), link.received(1)) == (1, 1)
    overtaking.ack()
    assert loader.drained()


def test_by_hand_rows_that_come_again_are_given_again(numbered: Numbered) -> None:
    partition = numbered(4)
    loader = loader_of(partition, "hand", lease_s=LEASE_S)
    stream = iter(loader)
    first = next(stream)
    die(loader)
    again = next(stream)
    assert again.attempts.tolist() == [2] * 4
    with pytest.raises(ClaimStale):
        first.ack()
    again.ack()
    assert loader.drained()


def test_commits_while_later_steps_run(numbered: Numbered) -> None:
    """A checkpoint is saved by another thread."""
    partition = numbered(80)
    loader = loader_of(partition)
    settled: list[Settled] = []
    threads = []
    for _ in loader:
        if loader.steps % 5 == 0:
            state = loader.state_dict()
            threads.append(threading.Thread(target=lambda state=state: settled.append(loader.commit(state))))
            threads[-1].start()
    for thread in threads:
        thread.join()
    assert sum(each.acked for each in settled) == 20
    assert loader.drained()


def test_the_end_waits_for_rows_that_a_dead_trainer_held(numbered: Numbered) -> None:
    partition = numbered(12)
    ghost = partition.claim(task="t", fields=["x"], batch_size=4, lease_s=0.5, hold_max_s=0.1)
    assert isinstance(ghost, Batch)
    loader = loader_of(partition, lease_s=0.5)
    assert sorted(index_id for batch in loader for index_id in ids(batch)) == list(range(12))


def test_the_end_does_not_wait_for_ever_for_others_that_live(numbered: Numbered) -> None:
    partition = numbered(12)
    other = partition.claim(task="t", fields=["x"], batch_size=4)
    assert isinstance(other, Batch)
    loader = loader_of(partition, lease_s=0.2)
    assert sum(len(batch) for batch in loader) == 8
    loader.commit(loader.state_dict())
    assert not loader.drained()
    other.release()
    assert sum(len(batch) for batch in loader) == 4
    loader.commit(loader.state_dict())
    assert loader.drained()
    assert list(loader) == []


def test_states_that_do_not_fit(numbered: Numbered) -> None:
    partition = numbered(4)
    loader = loader_of(partition)
    state = loader.state_dict()
    for change in ({"version": 2}, {"partition": "other"}, {"task": "other"}):
        with pytest.raises(FixRequest):
            loader.load_state_dict({**state, **change})


def test_a_new_row_of_an_old_id_is_not_left_out(numbered: Numbered) -> None:
    """Its attempts begin anew."""
    partition = numbered(4, sealed=False)
    loader = loader_of(partition)
    loader.load_state_dict({**loader.state_dict(), "trained": [0, 1]})
    assert ids(next(iter(loader))) == [0, 1, 2, 3]

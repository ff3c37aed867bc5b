"""Shared batches and the other words of a claim, through the loader: all ranks see the same steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import transferq
from fake_server import FakeStore
from transferq import Partition, Scalar, SharedBatch, Tokens
from transferq.torch import StreamingDataLoader, StreamingDataset
from transferq.torch import _source as source_module
from transferq.torch._link import Link

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
Numbered = Callable[..., Partition]
PATIENCE_S = 20.0
TAGGED = ["x", "tq_tags"]


def loader_of(partition: Partition, workers: int, *, ack: str = "auto", **words: Any) -> StreamingDataLoader:
    dataset = StreamingDataset(partition, **{"task": "t", "fields": ["x"], "batch_size": 8, **words})
    context = "fork" if workers else None
    return StreamingDataLoader(dataset, num_workers=workers, ack=ack, multiprocessing_context=context)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_ranks_see_the_same_steps(numbered: Numbered, workers: int) -> None:
    """Two parts, each of them trained by two processes together."""
    partition = numbered(40)
    shared = [SharedBatch("job", part=part, parts=2) for part in (0, 0, 1, 1)]
    loaders = [loader_of(partition, workers, batch=batch) for batch in shared]
    streams = [iter(loader) for loader in loaders]
    together = [threading.Barrier(2), threading.Barrier(2)]

    def train(rank: int) -> list[tuple[int | None, list[int]]]:
        steps = []
        for batch in streams[rank]:
            steps.append((batch.batch_number, batch["x"].tolist()))
            together[rank // 2].wait(PATIENCE_S)
        return steps

    with ThreadPoolExecutor(4) as pool:
        steps = list(pool.map(train, range(4)))
    assert steps[0] == steps[1]
    assert steps[2] == steps[3]
    assert [number for number, _ in steps[0]] == [number for number, _ in steps[2]] == list(range(5))
    assert all(len(rows) == 4 for rank in steps for _, rows in rank)
    assert sorted(row for rank in (steps[0], steps[2]) for _, rows in rank for row in rows) == list(range(40))
    assert all(loader.drained() for loader in loaders)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_rank_goes_on_with_the_number_of_its_checkpoint(
    numbered: Numbered, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "SHARED_WAIT_S", 0.3)
    partition = numbered(40)
    first = loader_of(partition, workers, ack="checkpoint", batch=SharedBatch("job"))
    stream = iter(first)
    next(stream), next(stream)
    state = first.state_dict()
    lost = next(stream)["x"].tolist()
    assert state["batch_number"] == 2
    # As after a crash, for the server: the prefetched batches are released, the others are held.
    first.close()
    again = loader_of(partition, workers, ack="checkpoint", batch=SharedBatch("job"))
    assert again.load_state_dict(state).acked == 2
    steps = [(batch.batch_number, batch["x"].tolist()) for batch in again]
    assert steps[0] == (2, lost)
    assert [number for number, _ in steps] == [2, 3, 4]
    assert again.steps == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_that_stay_empty_are_passed_over(
    numbered: Numbered, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "SHARED_WAIT_S", 0.05)
    partition = numbered(0, sealed=False)
    stream = iter(loader_of(partition, workers, batch=SharedBatch("job", number=7)))

    def put_late() -> None:
        while stream._link.turn < 9:
            time.sleep(0.01)
        partition.put({"x": list(range(16))}, index_ids=range(16))
        partition.seal()

    producer = threading.Thread(target=put_late)
    producer.start()
    batches = list(stream)
    producer.join()
    numbers = [batch.batch_number for batch in batches]
    assert numbers[0] is not None
    assert numbers[0] > 8
    assert numbers == [numbers[0], numbers[0] + 1]
    assert sorted(row for batch in batches for row in batch["x"].tolist()) == list(range(16))


def test_a_wait_for_a_shared_batch_ends(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "SHARED_WAIT_S", 0.05)
    partition = numbered(0, sealed=False)
    stream = iter(loader_of(partition, 0, batch=SharedBatch("job"), wait_s=0.2))
    with pytest.raises(transferq.TimedOut):
        next(stream)
    partition.put({"x": list(range(8))}, index_ids=range(8))
    assert len(next(stream)) == 8


def test_workers_end_together_when_one_of_them_sees_the_end(numbered: Numbered) -> None:
    """The trainer holds all rows that are left. Worker 1 is told so; worker 0 asks for what others asked before."""

    def claim(partition: Partition, *, batch: SharedBatch, **words: Any) -> Any:
        if batch.number == 0:
            return partition.claim(batch=batch, **words)
        time.sleep(0.01)
        counts = {"ready": 0, "leased": 4, "incomplete": 0}
        return transferq.TimedOut(details=counts if batch.number % 2 == 1 else {"empty": True})

    loader = loader_of(numbered(4), 2, ack="checkpoint", batch=SharedBatch("job"), claim=claim)
    assert [batch.batch_number for batch in loader] == [0]


@pytest.mark.parametrize("ack", ["auto", "checkpoint"])
@pytest.mark.parametrize("workers", [0, 2])
def test_shared_batches_of_several_nodes_end_when_all_nodes_have_no_more(
    cluster: tuple[transferq.Client, list[FakeStore]], monkeypatch: pytest.MonkeyPatch, workers: int, ack: str
) -> None:
    monkeypatch.setattr(source_module, "SHARED_WAIT_S", 0.1)
    tq, stores = cluster
    partition = tq.partition("p", fields={"x": Scalar("int64")})
    partition.put({"x": range(60)}, index_ids=range(60))
    partition.seal()
    # One node has fewer rows than the others, and is drained long before them.
    scarce = list(stores[1].partitions["p"].rows)[3:]
    partition.delete(scarce)
    loader = loader_of(partition, workers, ack=ack, batch=SharedBatch("job"))
    batches = list(loader)
    numbers = [batch.batch_number for batch in batches]
    assert numbers == sorted(set(numbers))
    assert sorted(row for batch in batches for row in batch["x"].tolist()) == sorted(set(range(60)) - set(scarce))


@pytest.mark.parametrize("workers", [0, 2])
def test_lingering_is_counted_over_the_claims_of_a_wait(
    numbered: Numbered, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "WAIT_S", 0.02)
    loader = loader_of(numbered(3, sealed=False), workers, linger_s=0.1, wait_s=PATIENCE_S)
    assert len(next(iter(loader))) == 3


def test_what_is_ready_is_taken_at_the_end_of_the_wait(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "WAIT_S", 0.02)
    asked: list[bool] = []

    def claim(partition: Partition, **words: Any) -> Any:
        asked.append(words.get("partial", False))
        return partition.claim(**words)

    loader = loader_of(numbered(3, sealed=False), 0, partial=True, wait_s=0.2, claim=claim)
    stream = iter(loader)
    assert len(next(stream)) == 3
    assert asked[-1]
    assert len(asked) > 1
    assert not any(asked[:-1])
    with pytest.raises(transferq.TimedOut):
        next(stream)


@pytest.mark.parametrize("workers", [0, 2])
def test_words_of_a_claim_reach_the_server(numbered: Numbered, workers: int) -> None:
    partition = numbered(20, sealed=False)
    client = partition.client
    client.partition(partition.name, numbers=["length"])
    partition.tag(range(20), [{"length": row % 5 + 1, "use": row % 2} for row in range(20)])
    loader = loader_of(partition, workers, rows_min=1, where="use == 1", tokens=Tokens(6), wait_s=1.0, fields=TAGGED)
    seen: list[int] = []

    def train() -> None:
        for batch in loader:
            assert batch["tq_tags"] == [{"length": row % 5 + 1, "use": 1} for row in batch["x"].tolist()]
            assert sum(tags["length"] for tags in batch["tq_tags"]) <= 6
            seen.extend(batch["x"].tolist())

    with pytest.raises(transferq.TimedOut):
        train()
    assert sorted(seen) == list(range(1, 20, 2))


def test_workers_tell_each_other_of_as_many_nodes_as_there_are() -> None:
    link = Link(3, nodes_max=100)
    for node in range(100):
        link.note_node(node, idle=True)
    link.receive(2, 6)
    assert (link.idle_nodes, link.received(2)) == (100, 7)
    link.note_node(99, idle=False)
    assert (link.idle_nodes, link.received(2)) == (99, 7)

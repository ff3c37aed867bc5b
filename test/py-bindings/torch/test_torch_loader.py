"""The loader against a real server: every row once, in every way of starting workers, whatever ends them."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import transferq
from torch.utils.data import DataLoader
from transferq import Batch, FixRequest, Partition, Task, TimedOut
from transferq.torch import MicroBatch, StreamingDataLoader, StreamingDataset, TensorBatch
from transferq.torch import _dataset as dataset_module
from transferq.torch import _loader as loader_module

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
Numbered = Callable[..., Partition]
PATIENCE_S = 20.0


def dataset_of(partition: Partition, **options: Any) -> StreamingDataset:
    return StreamingDataset(partition, **{"task": "t", "fields": ["x"], "batch_size": 4, **options})


def forked(dataset: StreamingDataset, workers: int, **options: Any) -> StreamingDataLoader:
    context = "fork" if workers else None
    return StreamingDataLoader(dataset, num_workers=workers, multiprocessing_context=context, **options)


def ids_of(batches: Iterable[TensorBatch]) -> list[int]:
    return [index_id for batch in batches for index_id in batch.index_ids.tolist()]


def counts(partition: Partition, task: str = "t") -> dict[str, int]:
    found: dict[str, int] = partition.stats()["tasks"].get(task, {})
    return {name: found.get(name, 0) for name in ("ready", "leased", "consumed")}


def eventually(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def tripled(fields: dict[str, Any]) -> dict[str, Any]:
    return {"x": fields["x"] * 3, "process": [os.getpid()] * len(fields["x"])}


def failing(fields: dict[str, Any]) -> dict[str, Any]:
    if 5 in fields["x"]:
        raise ArithmeticError("five")
    return fields


@pytest.mark.parametrize("ack", ["auto", "checkpoint", "hand"])
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_each_row_comes_once_and_the_end_is_clean(numbered: Numbered, workers: int, ack: str) -> None:
    partition = numbered(50)
    loader = forked(dataset_of(partition), workers, ack=ack)
    batches = []
    for batch in loader:
        assert batch["x"].tolist() == batch.index_ids.tolist()
        batches.append(batch)
        if ack == "hand":
            batch.ack()
    assert sorted(ids_of(batches)) == list(range(50))
    assert sorted(len(batch) for batch in batches) == [2] + [4] * 12
    assert all(batch.partial == (len(batch) < 4) for batch in batches)
    assert loader.steps == 13
    assert loader.drained() == (ack != "checkpoint")
    loader.commit(loader.state_dict())
    assert counts(partition) == {"ready": 0, "leased": 0, "consumed": 50}
    assert not any(batch.held for batch in batches)
    assert list(loader) == []
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("context", ["spawn"])
def test_spawned_workers_have_clients_of_their_own(numbered: Numbered, context: str) -> None:
    partition = numbered(24)
    loader = StreamingDataLoader(
        dataset_of(partition, transform=tripled), num_workers=1, multiprocessing_context=context
    )
    ids, processes = [], set()
    for batch in loader:
        assert batch["x"].tolist() == [3 * index_id for index_id in batch.index_ids]
        ids += batch.index_ids.tolist()
        processes |= set(batch["process"])
    assert sorted(ids) == list(range(24))
    assert os.getpid() not in processes
    assert counts(partition)["consumed"] == 24


def test_several_loaders_of_a_task_share_its_rows(numbered: Numbered) -> None:
    partition = numbered(60)
    loaders = [iter(forked(dataset_of(partition), workers)) for workers in [0, 2, 1]]
    # Their workers are forked by now: a process with other threads under way is no good one to fork from.
    ids = ids_of(next(loader) for loader in loaders)
    with ThreadPoolExecutor() as trainers:
        for some in trainers.map(ids_of, loaders):
            ids += some
    assert sorted(ids) == list(range(60))
    assert counts(partition)["consumed"] == 60


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_that_come_later_and_seal(numbered: Numbered, workers: int) -> None:
    partition = numbered(4, sealed=False)
    ids = []
    for batch in forked(dataset_of(partition), workers):
        ids += batch.index_ids.tolist()
        if len(ids) < 20:
            partition.put({"x": range(len(ids), len(ids) + 4)}, index_ids=range(len(ids), len(ids) + 4))
        elif not partition.stats()["sealed"]:
            partition.put({"x": [20]}, index_ids=[20])
            partition.seal()
    assert sorted(ids) == list(range(21))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_wait_that_is_over_is_told_and_may_be_repeated(numbered: Numbered, workers: int) -> None:
    partition = numbered(3, sealed=False)
    stream = iter(forked(dataset_of(partition, wait_s=0.1), workers))
    for _ in range(2):
        with pytest.raises(TimedOut) as caught:
            next(stream)
        assert (caught.value.ready, caught.value.leased) == (3, 0)
    partition.put({"x": [3]}, index_ids=[3])
    assert next(stream).index_ids.tolist() == [0, 1, 2, 3]
    partition.seal()
    assert next(stream, None) is None
    with pytest.raises(FixRequest):
        dataset_of(partition, wait_s=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_leases_are_renewed_in_queues_and_at_the_trainer(numbered: Numbered, workers: int) -> None:
    """A step takes longer than the lease: what it works on, and what waits for it, stays leased."""
    partition = numbered(40)
    loader = forked(
        dataset_of(partition, lease_s=1.0), workers, ack="checkpoint", prefetch_factor=2 if workers else None
    )
    attempts = []
    for batch in loader:
        attempts += batch.attempts.tolist()
        if len(attempts) == 8:
            time.sleep(1.3)
    assert attempts == [1] * len(attempts)
    assert loader.commit(loader.state_dict()).stale_ids == ()


@pytest.mark.parametrize("workers", [0, 2])
def test_leaving_early_releases_what_was_not_yielded(numbered: Numbered, workers: int) -> None:
    partition = numbered(40)
    loader = forked(dataset_of(partition), workers)
    for batch in loader:  # noqa: B007 - looked at after the loop
        break
    assert counts(partition) == {"ready": 36, "leased": 4, "consumed": 0}
    assert multiprocessing.active_children() == []
    assert batch.held
    assert sorted(batch.index_ids.tolist() + ids_of(loader)) == list(range(40))
    assert counts(partition)["consumed"] == 40


def test_a_time_out_that_ends_the_loop_leaves_nothing_behind(numbered: Numbered) -> None:
    loader = forked(dataset_of(numbered(3, sealed=False), wait_s=0.1), 2)
    gc.disable()
    try:
        with contextlib.suppress(TimedOut):
            list(loader)
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()


def test_an_exception_in_a_step_leaves_nothing_behind(numbered: Numbered) -> None:
    partition = numbered(40)

    def train() -> None:
        for _ in forked(dataset_of(partition), 2):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        train()
    assert counts(partition)["leased"] == 4
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_while_waiting_leaves_nothing_behind(numbered: Numbered, workers: int) -> None:
    partition = numbered(5, sealed=False)
    stream = iter(forked(dataset_of(partition), workers, ack="hand"))
    assert len(next(stream)) == 4

    def interrupt() -> None:
        # As a terminal does, to all processes.
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.3, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert multiprocessing.active_children() == []
    assert next(stream, None) is None


def test_a_killed_worker_is_told_and_its_rows_come_again(numbered: Numbered) -> None:
    partition = numbered(60)
    ids: list[int] = []

    def train() -> None:
        for batch in forked(dataset_of(partition, lease_s=0.5), 2):
            ids.extend(batch.index_ids.tolist())
            batch.ack()
            if len(ids) == 16:
                os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
                # Torch tells it wherever the trainer is, by a signal.
                time.sleep(PATIENCE_S)

    with pytest.raises(RuntimeError, match="DataLoader worker"):
        train()
    assert multiprocessing.active_children() == []
    rest = ids_of(forked(dataset_of(partition, lease_s=0.5), 2))
    assert sorted(ids + rest) == list(range(60))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_transform_reaches_the_trainer(numbered: Numbered, workers: int) -> None:
    partition = numbered(40)
    loader = forked(dataset_of(partition, transform=failing), workers)
    with pytest.raises(ArithmeticError, match="five"):
        list(loader)
    assert multiprocessing.active_children() == []
    eventually(lambda: counts(partition)["leased"] <= 4)
    partition.drop()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_server_reaches_the_trainer_as_it_is(numbered: Numbered, workers: int) -> None:
    partition = numbered(4)
    with pytest.raises(transferq.FieldUnknown) as caught:
        list(forked(dataset_of(partition, fields=["y"]), workers))
    assert caught.value.status is not None
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_micro_batches_of_whole_groups(numbered: Numbered, workers: int) -> None:
    partition = numbered(32)
    loader = forked(
        dataset_of(partition, batch_size=12, sampler="group"), workers, micro_batch_size=8, keep_groups=True
    )
    seen = []
    for part in loader:
        assert isinstance(part, MicroBatch)
        seen.append((part.index_ids.tolist(), part.last, part.partial))
        if not part.last:
            # The step with its batch is not over.
            assert part.batch.claim not in str(loader.state_dict()["claims"])
    assert sorted(index_id for ids, _, _ in seen for index_id in ids) == list(range(32))
    assert all(ids[0] % 4 == 0 and len(ids) % 4 == 0 for ids, _, _ in seen)
    assert sorted((len(ids), last, partial) for ids, last, partial in seen) == [
        (4, True, True),
        (4, True, True),
        (8, False, False),
        (8, False, False),
        (8, True, False),
    ]
    assert loader.steps == 3
    assert counts(partition)["consumed"] == 32


def test_acks_by_hand(numbered: Numbered) -> None:
    partition = numbered(12)
    loader = forked(dataset_of(partition), 0, ack="hand")
    stream = iter(loader)
    kept, given_back = next(stream), next(stream)
    kept.ack()
    kept.ack()
    given_back.release()
    with pytest.raises(FixRequest):
        given_back.ack()
    again = next(stream)
    assert again.index_ids.tolist() == given_back.index_ids.tolist()
    assert again.attempts.tolist() == [2] * 4
    part = next(stream).micro_batches(2)[0]
    part.ack()
    again.ack()
    assert counts(partition) == {"ready": 0, "leased": 0, "consumed": 12}


def test_a_plain_data_loader_reads_only_without_workers(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = numbered(8)
    for batch in DataLoader(dataset_of(partition), batch_size=None):
        batch.ack()
    assert counts(partition)["consumed"] == 8
    monkeypatch.setattr(dataset_module, "get_worker_info", lambda: "a worker")
    with pytest.raises(FixRequest, match="StreamingDataLoader"):
        next(iter(dataset_of(partition)))


def test_a_claim_of_the_users_own(numbered: Numbered) -> None:
    """The seam for other ways of claiming: the same words, and what else is bound to it."""
    asked: list[dict[str, Any]] = []

    def claim(partition: Partition, **words: Any) -> Any:
        asked.append(words)
        return partition.claim(**words)

    assert sorted(ids_of(forked(dataset_of(numbered(8), claim=claim, rows_min=2), 0))) == list(range(8))
    assert asked[0] == {
        "task": "t",
        "fields": ["x"],
        "batch_size": 4,
        "rows_min": 2,
        "sampler": "fifo",
        "wait_s": 0.5,
        "lease_s": 30.0,
        "hold_max_s": float("inf"),
    }


def test_a_partition_by_its_name(numbered: Numbered) -> None:
    partition = numbered(8)
    dataset = dataset_of(partition.name, url=partition.client.url)  # type: ignore[arg-type]
    assert sorted(ids_of(forked(dataset, 0))) == list(range(8))
    with pytest.raises(transferq.PartitionUnknown):
        dataset_of("nothing", url=partition.client.url)  # type: ignore[arg-type]
    with pytest.raises(FixRequest, match="its name with url"):
        dataset_of(partition, url=partition.client.url)
    transport = dataset.partition.client.transport
    assert not transport._closed.is_set()
    del dataset
    gc.collect()
    assert transport._closed.is_set()


def test_dead_letters_are_not_waited_for(numbered: Numbered) -> None:
    partition = numbered(8)
    partition.client.partition(partition.name, tasks={"t": Task(max_attempts=1)})
    dead = partition.claim(task="t", fields=["x"], batch_size=4)
    assert isinstance(dead, Batch)
    dead.release()
    loader = forked(dataset_of(partition), 0)
    assert not loader.drained()
    assert ids_of(loader) == [4, 5, 6, 7]
    assert loader.drained()


def test_arguments_that_cannot_be(numbered: Numbered) -> None:
    dataset = dataset_of(numbered(4))
    with pytest.raises(FixRequest):
        StreamingDataLoader(dataset, ack="never")
    with pytest.raises(FixRequest):
        dataset_of(dataset.partition, fields="x")
    assert "StreamingDataset" in repr(StreamingDataLoader(dataset))


def test_torch_is_asked_to_pin(numbered: Numbered, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be no GPU here; torch then warns, and the loader must still work."""
    options: list[dict[str, Any]] = []

    class Noting(DataLoader[Any]):
        def __init__(self, *arguments: Any, **given: Any) -> None:
            options.append(given)
            super().__init__(*arguments, **given)

    monkeypatch.setattr(loader_module, "DataLoader", Noting)
    with contextlib.nullcontext() if torch.cuda.is_available() else pytest.warns(UserWarning, match="pin_memory"):
        assert len(ids_of(forked(dataset_of(numbered(8)), 2, pin_memory=True))) == 8
    assert options[0]["pin_memory"]

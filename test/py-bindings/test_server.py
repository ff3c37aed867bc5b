"""The client against the real server: all types, claims, waits, limits, tokens, restarts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transferq
from cells import BLOBS, LENGTHS, NUMBERS, layouts_of, rows_of
from test_types import encoded
from transferq import Batch, Bytes, Client, Dense, Drained, Layout, Ragged, Scalar, Text, TimedOut
from transferq.testing import Server, start_server

LAYOUTS: dict[str, Layout] = {
    f"f{at}": layout for at, layout in enumerate([layout for dtype in NUMBERS for layout in layouts_of(dtype)] + BLOBS)
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_all_types_come_back(real: Client, lengths: list[int]) -> None:
    partition = real.partition("types", fields=LAYOUTS)
    rows = {name: rows_of(layout, lengths, seed) for seed, (name, layout) in enumerate(LAYOUTS.items())}
    ids = list(range(len(lengths)))
    partition.put(rows, index_ids=ids)
    order = ids[::-1]
    batch = partition.get(order)
    assert list(batch) == list(LAYOUTS)
    for name, layout in LAYOUTS.items():
        expected = encoded([rows[name][at] for at in order], layout, len(ids))
        assert encoded(batch[name], layout, len(ids)) == expected, layout
    batch.arrow().validate(full=True)
    single = partition.get(ids, fields=["f1"])
    assert encoded(single["f1"], LAYOUTS["f1"], len(ids)) == encoded(rows["f1"], LAYOUTS["f1"], len(ids))


def test_layouts_come_back_as_declared(real: Client) -> None:
    real.partition("declared", fields=LAYOUTS)
    assert real.partition("declared").fields == LAYOUTS
    opened = real.partition("opened", open=True)
    opened.put({"x": torch.zeros(2, 3, dtype=torch.bfloat16), "t": ["a", "b"]}, index_ids=[1, 2])
    assert real.partition("opened").fields == {"x": Dense("bfloat16", (3,)), "t": Text()}
    opened.put(pa.table({"index_id": [3], "b": [b"x"], "t": pa.array(["c"]).dictionary_encode()}))
    assert real.partition("opened").fields["b"] == Bytes()


def test_a_stage_puts_results_and_acks_in_one_step(real: Client) -> None:
    stage = real.partition("stage", fields={"x": Scalar("int64"), "y": Scalar("int64")}, group_size=2)
    stage.put({"x": np.arange(6)}, index_ids=np.arange(6))
    stage.seal()
    seen = []
    for batch in stage.consume(task="double", fields=["x"], batch_size=2, sampler="group", lease_s=5):
        seen += batch.index_ids.tolist()
        assert batch.attempts.tolist() == [1, 1]
        stage.put({"y": batch["x"].numpy() * 2}, index_ids=batch.index_ids, claim=batch)
    assert sorted(seen) == list(range(6))
    assert stage.get([3, 5], fields=["y"])["y"].list() == [6, 10]
    assert isinstance(stage.claim(task="double", fields=["x"], batch_size=1), Drained)
    stats = stage.stats()
    assert (stats["rows"], stats["sealed"], stats["tasks"]["double"]["consumed"]) == (6, True, 6)
    with pytest.raises(transferq.PartitionSealed):
        stage.put({"x": [1]}, index_ids=[7])


def test_waits_claims_and_outcomes(real: Client) -> None:
    partition = real.partition("waits", fields={"x": Scalar("int64"), "late": Scalar("int64")})
    partition.put({"x": [1, 2]}, index_ids=[1, 2])
    outcome = partition.claim(task="t", fields=["x", "late"], batch_size=1, wait_s=0.05)
    assert isinstance(outcome, TimedOut)
    assert outcome.incomplete == 2
    with pytest.raises(TimedOut):
        partition.get([1], fields=["late"], wait_s=0.05)
    timer = threading.Timer(0.05, lambda: partition.put({"late": [5]}, index_ids=[2]))
    timer.start()
    batch = partition.claim(task="t", fields=["x", "late"], batch_size=1, wait_s=10, lease_s=0.3)
    timer.join()
    assert isinstance(batch, Batch)
    assert batch.index_ids.tolist() == [2]
    assert batch.lsn > 0
    batch.release()
    again = partition.claim(task="t", fields=["x", "late"], batch_size=1, wait_s=10)
    assert isinstance(again, Batch)
    assert again.attempts.tolist() == [2]
    again.ack()
    with pytest.raises(transferq.RowsExist):
        partition.put({"late": [6]}, index_ids=[2], if_absent=True)
    with pytest.raises(transferq.FixRequest, match="ids_duplicate"):
        partition.put({"x": [6, 7]}, index_ids=[2, 2])
    newest = partition.newest(fields=["late"])
    assert newest.index_ids.tolist() == [2]
    with pytest.raises(TimedOut):
        partition.newest(fields=["late"], after_lsn=newest.lsn, wait_s=0.02)
    assert [page.index_ids.tolist() for page in partition.scan(fields=["x"], rows_max=1)] == [[1], [2]]
    assert partition.delete([1, 9]) == 1
    with pytest.raises(transferq.RowsMissing):
        partition.get([1])
    assert partition.put({"x": [8]}, index_ids=[1], ack="disk").ack == "disk"


def test_a_lease_is_renewed_while_a_batch_is_held(real: Client) -> None:
    partition = real.partition("renewed", fields={"x": Scalar("int64")})
    partition.put({"x": [1]}, index_ids=[1])
    batch = partition.claim(task="t", fields=["x"], batch_size=1, lease_s=1.0)
    assert isinstance(batch, Batch)
    other = partition.claim(task="t", fields=["x"], batch_size=1, wait_s=1.3)
    assert isinstance(other, TimedOut)
    assert other.leased == 1
    batch.ack()


def test_answers_over_a_window_and_their_checksums(real: Client) -> None:
    """Bodies of several windows, in large and in small pieces."""
    cells = {"d": Dense("float32", (4096,)), "r": Ragged("float32"), "s": Ragged("uint8")}
    partition = real.partition("large", fields=cells, ack="memory")
    rng = np.random.default_rng(0)
    dense = rng.random((256, 4096), np.float32)
    large = [rng.random(int(size), np.float32) for size in rng.integers(5_000, 20_000, 256)]
    small = [rng.integers(0, 256, int(size), np.uint8) for size in rng.integers(0, 100, 256)]
    partition.put({"d": dense, "r": large, "s": small}, index_ids=np.arange(256))
    order = rng.permutation(256)
    batch = partition.get(order)
    assert (batch["d"].numpy() == dense[order]).all()
    assert all((row == large[at]).all() for row, at in zip(batch["r"].numpy(), order, strict=True))
    assert all((row == small[at]).all() for row, at in zip(batch["s"].numpy(), order, strict=True))


def test_tokens_and_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQ_TOKEN", "correct-horse-battery-staple")
    with start_server(tmp_path, memory="64MiB") as server:
        with transferq.connect(server.url) as tq:
            assert tq.limits()["put_body_bytes_max"] <= 64 << 20
            partition = tq.partition("p", fields={"d": Dense("uint8", (1 << 20,))}, ack="memory")
            rows = tq.limits()["put_body_bytes_max"] // (1 << 20) + 2
            data = np.random.default_rng(0).integers(0, 256, (rows, 1 << 20), np.uint8)
            put = partition.put({"d": data}, index_ids=np.arange(rows))
            assert len(put.lsns) == 2
            assert (partition.get([0, rows - 1])["d"].numpy() == data[[0, -1]]).all()
        with transferq.connect(server.url, token="wrong") as stranger, pytest.raises(transferq.Unauthorized):
            stranger.partitions()
        monkeypatch.delenv("TQ_TOKEN")
        with transferq.connect(server.url) as stranger, pytest.raises(transferq.Unauthorized):
            stranger.partitions()


def test_calls_go_on_through_a_kill_and_a_restart(tmp_path: Path) -> None:
    with start_server(tmp_path) as server, transferq.connect(server.url) as tq:
        partition = tq.partition("p", fields={"x": Scalar("int64")})
        partition.put({"x": [1]}, index_ids=[1])
        batch = partition.claim(task="t", fields=["x"], batch_size=1, lease_s=30)
        assert isinstance(batch, Batch)
        server.kill()
        restarted = threading.Thread(target=server.restart)
        restarted.start()
        put = partition.put({"x": [2]}, index_ids=[2])
        restarted.join()
        assert put.rows == 1
        assert partition.get([1, 2])["x"].list() == [1, 2]
        batch.ack()
        outcome: Any = partition.claim(task="t", fields=["x"], batch_size=2)
        assert isinstance(outcome, TimedOut)
        assert outcome.ready == 1


def test_many_clients_share_a_task(server: Server) -> None:
    with transferq.connect(server.url) as tq:
        partition = tq.partition("shared", fields={"x": Scalar("int64")})
        partition.put({"x": np.arange(200)}, index_ids=np.arange(200))
        partition.seal()
    seen: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        with transferq.connect(server.url) as mine:
            for batch in mine.partition("shared").consume(task="t", fields=["x"], batch_size=7):
                with lock:
                    seen.extend(batch["x"].list())
                batch.ack()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(200))

"""Checkpoints against the real server: one moment of a busy queue, whole or not at all, on this node or another."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transferq
from transferq import Blob, Checkpoint, CheckpointInvalid, Ragged, Scalar, Text
from transferq import _checkpoints as checkpoints
from transferq.testing import Server, start_server

Pair = tuple[transferq.Client, transferq.Client]
FIELDS = {"prompt": Text(), "reward": Scalar("float32"), "tokens": Ragged("int64")}


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Server, Server]]:
    """Two servers, for tests of all that a server has."""
    with start_server() as one, start_server() as other:
        yield one, other


@pytest.fixture
def pair(nodes: tuple[Server, Server]) -> Iterator[Pair]:
    """Clients of two servers that have no partitions."""
    with transferq.connect(nodes[0].url) as source, transferq.connect(nodes[1].url) as target:
        yield source, target
        for tq in (source, target):
            for partition in tq.partitions():
                tq.partition(partition["name"]).drop()


def fill(tq: transferq.Client, name: str, rows: int = 40) -> transferq.Partition:
    partition = tq.partition(name, fields=FIELDS, tasks=["train", "log"], numbers=["version"])
    ids = np.arange(rows)[::-1].copy()
    tags = [{"version": int(row) % 3, "run": {"of": "x"}} for row in ids]
    partition.put({"prompt": [f"p{row}" for row in ids]}, index_ids=ids, tags=tags)
    some = ids[: rows // 2]
    tokens = [np.arange(row % 5) for row in some]
    partition.put({"reward": some.astype(np.float32), "tokens": tokens}, index_ids=some)
    return partition


def view(partition: transferq.Partition) -> dict[str, Any]:
    """All that a user sees of a partition, but for what is leased."""
    stats = partition.stats()
    listed = partition.list()
    rows = partition.get(listed.index_ids, fields=["prompt"])["prompt"].list()
    kept = ("fields", "group_size", "declared_tasks", "numbers", "sealed", "rows", "rows_admitted", "field_rows")
    tasks = {name: (task["consumed"], task["dead"], task["skipped"]) for name, task in stats["tasks"].items()}
    return {
        **{name: stats[name] for name in kept},
        "ids": listed.index_ids.tolist(),
        "tags": list(listed.tags),
        "tasks": tasks,
        "prompts": rows,
    }


def test_brings_rows_tags_and_consumption_to_another_node(pair: Pair, tmp_path: Path) -> None:
    source, target = pair
    partition = fill(source, "train")
    source.partition("volatile", ack="memory").put({"x": [1]}, index_ids=[1])
    partition.claim(task="train", fields=["prompt"], batch_size=7).ack()
    leased = partition.claim(task="train", fields=["prompt", "reward"], batch_size=5)
    before = view(partition)
    saved = source.save_checkpoint(tmp_path / "saved", {"step": 12})
    assert (saved.metadata, saved.partitions, saved.left_out) == ({"step": 12}, {"train": 40}, ("volatile",))
    assert Checkpoint.read(tmp_path / "saved") == saved
    loaded = target.load_checkpoint(tmp_path / "saved")
    assert loaded == saved
    found = target.partition("train")
    assert view(found) == before
    again = found.claim(task="train", fields=["prompt", "reward"], batch_size=5)
    assert again.index_ids.tolist() == leased.index_ids.tolist()
    with pytest.raises(transferq.PartitionExists):
        target.load_checkpoint(tmp_path / "saved")
    found.delete([0])
    target.load_checkpoint(tmp_path / "saved", ["train"], replace=True)
    assert view(target.partition("train")) == before
    assert [one["name"] for one in target.partitions()] == ["train"]


def test_files_have_8192_rows_at_most_however_short_these_are(pair: Pair, tmp_path: Path) -> None:
    source, target = pair
    ids = np.arange(20_000)
    source.partition("many", ack="os").put({"x": ids.astype(np.int32)}, index_ids=ids)
    saved = source.save_checkpoint(tmp_path / "saved", partitions=["many"])
    assert [file.rows for file in saved.contents[0].files] == [256, 1024, 4096, 8192, 6432]
    target.load_checkpoint(tmp_path / "saved")
    some = [19_999, 0, 9_000]
    assert target.partition("many").get(some)["x"].numpy().tolist() == some


def test_shared_blobs_are_saved_once_and_shared_again(pair: Pair, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    # Two of them fill a file.
    images = [draw.bytes(5 << 20), draw.bytes(5 << 20), draw.bytes(100), b""]
    rows = 32
    given = [images[row % len(images)] for row in range(rows)]
    source, target = pair
    fields = {"image": Blob(), "more": Blob(), "x": Scalar("int64")}
    partition = source.partition("photos", fields=fields)
    partition.put({"image": given, "x": np.arange(rows)}, index_ids=np.arange(rows))
    partition.put({"more": given[:8]}, index_ids=np.arange(8))
    source.save_checkpoint(tmp_path)
    [saved] = Checkpoint.read(tmp_path).contents
    assert [file.rows for file in saved.blobs] == [2, 2]
    assert sum(file.bytes for file in saved.all_files) < 1.1 * sum(map(len, images))

    target.load_checkpoint(tmp_path)
    found = target.partition("photos")
    assert found.get(range(rows), fields=["image"])["image"].list() == given
    assert found.get(range(8), fields=["more"])["more"].list() == given[:8]
    assert found.stats()["blobs"] == partition.stats()["blobs"]

    path = tmp_path / Checkpoint.read(tmp_path).data / saved.blobs[0].file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointInvalid):
        target.load_checkpoint(tmp_path, replace=True)
    assert found.get([0])["image"].list() == given[:1]


def test_a_save_under_load_is_of_one_moment(pair: Pair, tmp_path: Path) -> None:
    tq, target = pair
    partition = tq.partition("train", fields={"x": Scalar("int64")}, tasks=["t"])
    done = threading.Event()

    def produce() -> None:
        for at in range(0, 1_000_000, 8):
            if done.is_set():
                return
            partition.put({"x": np.arange(at, at + 8)}, index_ids=np.arange(at, at + 8))

    def consume() -> None:
        while not done.is_set():
            batch = partition.claim(task="t", fields=["x"], batch_size=4, wait_s=1.0)
            batch.ack()

    workers = [threading.Thread(target=work) for work in (produce, produce, consume)]
    for worker in workers:
        worker.start()
    try:
        for turn in range(3):
            time.sleep(0.2)
            tq.save_checkpoint(tmp_path / "saved", turn)
    finally:
        done.set()
        for worker in workers:
            worker.join()
    assert target.load_checkpoint(tmp_path / "saved").metadata == 2
    stats = target.partition("train").stats()
    # Producers put 8 at a time, the consumer took 4 at a time, from the front.
    ids = target.partition("train").list().index_ids.tolist()
    assert stats["rows"] % 8 == 0
    assert stats["tasks"]["t"]["consumed"] % 4 == 0
    if stats["rows"] > stats["tasks"]["t"]["consumed"]:
        left = target.partition("train").claim(task="t", fields=["x"], batch_size=1)
        assert left.index_ids[0] == ids[stats["tasks"]["t"]["consumed"]]
        assert left["x"].numpy()[0] == left.index_ids[0]
    assert [path.name[:4] for path in sorted((tmp_path / "saved").iterdir())] == ["data", "mani"]


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << (at % 8)
    path.write_bytes(content)


def test_a_damaged_or_foreign_checkpoint_changes_nothing(real: transferq.Client, tmp_path: Path) -> None:
    before = fill(real, "damage")
    seen = view(before)
    saved = real.save_checkpoint(tmp_path / "saved", None, ["damage"])
    rng = random.Random(5)
    files = [one.file for part in saved.contents for one in (part.state, *part.files)]
    names = ["manifest.json", *(f"{saved.data}/{file}" for file in files)]
    for name in names * 3:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / "saved", copy)
        damage(copy / name, rng.randrange(1 << 20))
        with pytest.raises(CheckpointInvalid):
            real.load_checkpoint(copy, replace=True)
    for name in names:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / "saved", copy)
        (copy / name).unlink()
        with pytest.raises(CheckpointInvalid):
            real.load_checkpoint(copy, replace=True)
    with pytest.raises(CheckpointInvalid, match="no manifest"):
        real.load_checkpoint(tmp_path / "nothing")
    assert view(before) == seen


def test_another_version_and_files_outside_are_refused(real: transferq.Client, tmp_path: Path) -> None:
    fill(real, "version")
    saved = real.save_checkpoint(tmp_path, None, ["version"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for change in ({"version": 2}, {"format": "other"}, {"data": "../elsewhere"}, {"data": f"../{saved.data}"}):
        body = json.dumps({**{k: v for k, v in manifest.items() if k != "sha256"}, **change}).encode()[:-1]
        text = body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
        (tmp_path / "manifest.json").write_bytes(text)
        with pytest.raises(CheckpointInvalid):
            real.load_checkpoint(tmp_path)


def test_names_that_are_not_there_are_refused(real: transferq.Client, tmp_path: Path) -> None:
    fill(real, "named")
    real.partition("named-memory", ack="memory")
    for name in ("no-such", "named-memory"):
        with pytest.raises(transferq.PartitionUnknown):
            real.save_checkpoint(tmp_path / "saved", None, [name])
    assert not (tmp_path / "saved").exists()
    real.save_checkpoint(tmp_path / "saved", None, ["named"])
    with pytest.raises(transferq.PartitionUnknown):
        real.load_checkpoint(tmp_path / "saved", ["other"])


def test_a_save_that_fails_once_it_is_there_keeps_its_data(
    real: transferq.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(real, "late-failure")
    real.save_checkpoint(tmp_path, "first", ["late-failure"])

    rmtree, removed = shutil.rmtree, []

    def interrupted(path: Path, **words: Any) -> None:
        # The first is what the manifest named before.
        removed.append(path)
        if len(removed) == 1:
            raise KeyboardInterrupt
        rmtree(path, **words)

    monkeypatch.setattr("transferq._checkpoint_files.shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        real.save_checkpoint(tmp_path, "second", ["late-failure"])
    assert len(removed) == 1
    saved = Checkpoint.read(tmp_path)
    assert saved.metadata == "second"
    saved.verify(tmp_path)


def test_long_calls_are_renewed_while_they_run(
    real: transferq.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(real, "long")
    monkeypatch.setattr("transferq._renewals.RENEWALS_PER_LEASE", 12_000)
    post_json, work = real.post_json, checkpoints._work
    renewed: list[str] = []

    def noted(origin: Any, target: str, body: Any) -> Any:
        answer = post_json(origin, target, body)
        if target.endswith(":renew"):
            renewed.append(target)
        return answer

    def long(client: Any, origin: Any, request: Any) -> Any:
        renewals = len(renewed)
        ends_at = time.monotonic() + 20.0
        while request.target.endswith(("/state", ":commit")) and len(renewed) < renewals + 3:
            assert time.monotonic() < ends_at
            time.sleep(0.01)
        return work(client, origin, request)

    monkeypatch.setattr(real, "post_json", noted)
    monkeypatch.setattr(checkpoints, "_work", long)
    real.save_checkpoint(tmp_path, None, ["long"])
    real.load_checkpoint(tmp_path, replace=True)


SAVER = """
    import sys, transferq
    with transferq.connect(sys.argv[1]) as tq:
        for step in range(100000):
            tq.save_checkpoint(sys.argv[2], step, ["killed"])
            print(step, flush=True)
"""
LOADER = """
    import sys, transferq
    with transferq.connect(sys.argv[1]) as tq:
        while True:
            tq.load_checkpoint(sys.argv[2], replace=True)
            print(0, flush=True)
"""


def killed(program: str, *arguments: str, after_s: float) -> int:
    """Runs a program and kills it; returns how many lines it had written."""
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        return 1 + len(process.stdout.read().splitlines())


def test_a_saver_that_is_killed_leaves_a_whole_checkpoint(real: transferq.Client, tmp_path: Path) -> None:
    fill(real, "killed")
    rng = random.Random(3)
    for _ in range(4):
        count = killed(SAVER, real.url, str(tmp_path), after_s=rng.random() / 4)
        saved = Checkpoint.read(tmp_path)
        saved.verify(tmp_path)
        assert saved.metadata in (count - 1, count)
    real.save_checkpoint(tmp_path, "last", ["killed"])
    assert len(list(tmp_path.glob("data-*"))) == 1


def test_a_loader_that_is_killed_leaves_all_or_nothing(
    nodes: tuple[Server, Server], pair: Pair, tmp_path: Path
) -> None:
    rng = random.Random(4)
    tq, _ = pair
    before = view(fill(tq, "killed"))
    tq.save_checkpoint(tmp_path, None)
    for _ in range(4):
        killed(LOADER, nodes[0].url, str(tmp_path), after_s=rng.random() / 4)
        assert view(tq.partition("killed")) == before
        assert [one["name"] for one in tq.partitions()] == ["killed"]


def test_a_server_that_is_killed_leaves_all_or_nothing(tmp_path: Path) -> None:
    rng = random.Random(6)
    with start_server(tmp_path / "data") as server, transferq.connect(server.url) as tq:
        before = view(fill(tq, "killed"))
        tq.save_checkpoint(tmp_path / "saved", None)
        for _ in range(3):
            tq.partition("killed").drop()
            begun = multiprocessing.Event()
            arguments = (server.url, str(tmp_path / "saved"), begun)
            worker = multiprocessing.get_context("fork").Process(target=_load_until_gone, args=arguments)
            worker.start()
            assert begun.wait(20.0)
            time.sleep(rng.random() / 2)
            server.kill()
            worker.kill()
            worker.join()
            server.restart()
            names = [one["name"] for one in tq.partitions()]
            assert names in ([], ["killed"])
            if names:
                assert view(tq.partition("killed")) == before
            tq.load_checkpoint(tmp_path / "saved", replace=True)
            assert view(tq.partition("killed")) == before


def _load_until_gone(url: str, directory: str, begun: Any) -> None:
    with transferq.connect(url, timeout_s=2.0) as tq:
        begun.set()
        while True:
            tq.load_checkpoint(directory, replace=True)

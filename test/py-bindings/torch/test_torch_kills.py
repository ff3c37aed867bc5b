"""Trainers killed at random points of steps, checkpoints and acks: each row is in the history exactly once."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest
import trainer
from transferq import Client, Scalar

ROWS = 24
DEATHS_MAX = 10
LIFE_S_MAX = 60.0


@pytest.mark.parametrize(("workers", "seed"), [(0, "one"), (2, "two")])
def test_each_row_is_in_one_checkpoint(real: Client, tmp_path: Path, workers: int, seed: str) -> None:
    name = f"kills.{workers}.{seed}"
    partition = real.partition(name, fields={"x": Scalar("int64")})
    partition.put({"x": range(ROWS)}, index_ids=range(ROWS))
    partition.seal()
    context = multiprocessing.get_context("forkserver")
    # One process imports torch; each life is a fork of it. It would not find `trainer` itself.
    context.set_forkserver_preload(["transferq.torch"])
    rng = random.Random(seed)
    deaths = 0
    while not (tmp_path / "done").exists():
        life = context.Process(
            target=trainer.live, args=(real.url, name, tmp_path, workers, f"{seed} {deaths}", deaths < DEATHS_MAX)
        )
        life.start()
        life.join(LIFE_S_MAX)
        assert life.exitcode is not None, "the trainer hangs"
        deaths += life.exitcode != 0
        assert deaths <= DEATHS_MAX
        if rng.random() < 0.3:
            # Long enough for leases to end; what the checkpoint holds is then granted again, and its claims stale.
            time.sleep(trainer.LEASE_S + 0.1)
            trainer.take_and_give_back(real.url, name)
    history = json.loads((tmp_path / "checkpoint.json").read_text())["history"]
    assert sorted(history) == list(range(ROWS))
    assert deaths > 0
    stats = partition.stats()["tasks"]["t"]
    assert (stats["consumed"], stats["leased"], stats["ready"]) == (ROWS, 0, 0)

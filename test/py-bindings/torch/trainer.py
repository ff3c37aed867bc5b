"""A trainer that may die at any point: its model is the list of the rows that it was trained on.

    checkpoint.json     {"history": [id, ...], "loader": state}, replaced as a whole
    done                there when the partition is trained

Run as a process by test_torch_kills.py, which starts it again until it is done.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import torch
import transferq
from transferq.torch import StreamingDataLoader, StreamingDataset

# The chance to die at each point of a step or a checkpoint.
DEATH_RATE = 0.06
LEASE_S = 0.4


def dataset_of(url: str, name: str) -> StreamingDataset:
    return StreamingDataset(name, url=url, task="t", fields=["x"], batch_size=4, lease_s=LEASE_S)


class Trainer:
    def __init__(self, url: str, name: str, folder: Path, workers: int, rng: random.Random, death_rate: float) -> None:
        self._rng = rng
        self._death_rate = death_rate
        self._checkpoint = folder / "checkpoint.json"
        self._done = folder / "done"
        dataset = dataset_of(url, name)
        context = "fork" if workers else None
        self._loader = StreamingDataLoader(
            dataset, ack="checkpoint", num_workers=workers, multiprocessing_context=context
        )
        self._history: list[int] = []
        end_claim = dataset.partition.client.end_claim

        def deadly_end_claim(*arguments: Any) -> None:
            self._may_die()
            end_claim(*arguments)

        dataset.partition.client.end_claim = deadly_end_claim  # type: ignore[method-assign]

    def run(self) -> None:
        if self._checkpoint.exists():
            checkpoint = json.loads(self._checkpoint.read_text())
            self._history = checkpoint["history"]
            self._loader.load_state_dict(checkpoint["loader"])
        while not self._loader.drained():
            for batch in self._loader:
                self._history += batch["x"].tolist()
                self._may_die()
                if self._rng.random() < 0.4:
                    self._save()
            self._save()
        self._done.touch()

    def _save(self) -> None:
        state = self._loader.state_dict()
        partial = self._checkpoint.with_suffix(".partial")
        partial.write_text(json.dumps({"history": self._history, "loader": state}))
        self._may_die()
        os.replace(partial, self._checkpoint)
        self._may_die()
        self._loader.commit(state)
        self._may_die()

    def _may_die(self) -> None:
        if self._rng.random() < self._death_rate:
            os.kill(os.getpid(), signal.SIGKILL)


def live(url: str, name: str, folder: Path, workers: int, seed: str, mortal: bool) -> None:
    """One life of a trainer."""
    torch.set_num_threads(1)
    rng = random.Random(seed)
    if mortal and rng.random() < 0.5:
        # Between any two instructions, too.
        threading.Timer(rng.uniform(0.05, 1.0), os.kill, [os.getpid(), signal.SIGKILL]).start()
    Trainer(url, name, folder, workers, rng, DEATH_RATE if mortal else 0.0).run()
    os._exit(0)


def take_and_give_back(url: str, name: str) -> None:
    """Another consumer gets what the dead trainer held, and trains nothing of it."""
    with transferq.connect(url) as client:
        partition = client.partition(name)
        batch = partition.claim(task="t", fields=["x"], batch_size=1000, rows_min=1, wait_s=0.05)
        if isinstance(batch, transferq.Batch):
            batch.release()

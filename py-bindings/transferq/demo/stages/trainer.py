"""The trainer: one GRPO step per batch of whole groups, then its checkpoint, then the new policy version for all.

    batch -> update -> checkpoint -> commit -> publish version + 1 -> advance -> (each few steps) held-out accuracy

The version counts the steps. `advance` moves the window of this task and lets the prompts go on. A trainer that was
killed goes on from its checkpoint: it commits and publishes that version once more, which changes nothing if it was
done before.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from transferq.demo import checkpoint
from transferq.demo.checkpoint import Checkpoint
from transferq.demo.columns import Jagged, Rows
from transferq.demo.data import load_split, strips_of_all
from transferq.demo.grpo import Learner, Samples
from transferq.demo.intake import Intake
from transferq.demo.policy import Policy, Strips, new_policy, parameter_vector, sample
from transferq.demo.schema import train_door, train_partition, weights_door

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.history import History
    from transferq.demo.intake import Taken
    from transferq.demo.settings import Settings
    from transferq.torch import TensorBatch


def run(store: Client, settings: Settings, history: History) -> None:
    trainer = Trainer(store, settings, history)
    trainer.start()
    for taken in trainer.intake.batches():
        trainer.step(taken)
    trainer.finish()


class Trainer:
    """The policy that learns, its version, and what tells the others."""

    def __init__(self, store: Client, settings: Settings, history: History) -> None:
        self._settings = settings
        self._history = history
        self._file = history.folder.parent / "checkpoint.pt"
        self._train, self._weights = train_door(store, settings, history), weights_door(store, history)
        self._examination = Examination(settings.seed)
        self._policy = new_policy(settings.seed)
        self._learner = Learner(self._policy, steps=settings.steps)
        self._version = 0
        self.intake = Intake(train_partition(store, settings), settings, history)

    def start(self) -> None:
        """From the checkpoint where there is one, else from an untrained policy."""
        found = checkpoint.load(self._file)
        if found is None:
            self._publish()
            self._examine()
            return
        self._version = found["version"]
        self._learner.load_state_dict(found["learner"])
        self._history.fact("step", **found["step"])
        self.intake.resume(found["intake"])
        self._publish()

    def step(self, taken: Taken) -> None:
        """One update, saved, committed and published. What was learned stands, whatever became of the claim."""
        facts = self._learner.update(_samples(taken.batch))
        staleness = Counter(self._version - version for version in taken.versions)
        self._version += 1
        step = {
            "version": self._version,
            "reward": taken.batch["reward"].values().mean().item(),
            "staleness": {str(age): rows for age, rows in sorted(staleness.items())},
            "loss": facts.loss,
            "kl": facts.kl,
            "clipped_share": facts.clipped_share,
        }
        state = self.intake.state(taken)
        saved = Checkpoint(version=self._version, learner=self._learner.state_dict(), intake=state, step=step)
        checkpoint.save(saved, self._file)
        self._history.fact("step", **step)
        self.intake.commit(state)
        self._publish()
        if self._version % self._settings.evaluate_every == 0:
            self._examine()

    def finish(self) -> None:
        """After the last step."""
        if self._version % self._settings.evaluate_every != 0:
            self._examine()
        self._note_store()

    def _publish(self) -> None:
        """The parameters first: who sees the version can have them."""
        version = self._version
        parameters = Jagged.of_rows([parameter_vector(self._policy).numpy()])
        self._weights.put(Rows(parameters=parameters, version=np.array([version], np.int64)), [version])
        # Version 0 stays, for the reference worker.
        if version > 1:
            self._weights.delete([version - 1])
        self._train.advance(version)

    def _examine(self) -> None:
        self._history.fact("accuracy", version=self._version, accuracy=self._examination.accuracy(self._policy))
        self._note_store()

    def _note_store(self) -> None:
        self._history.fact("store", **self.intake.store_facts())


class Examination:
    """The held-out digits, each in one strip, answered greedily."""

    def __init__(self, seed: int) -> None:
        _, held_out = load_split(seed)
        strips = strips_of_all(held_out, seed)
        self._strips = Strips.of(Jagged.of_rows([strip.pixels for strip in strips]))
        self._labels = torch.from_numpy(np.concatenate([strip.labels for strip in strips]))

    def accuracy(self, policy: Policy) -> float:
        """The share of held-out digits that the policy writes right."""
        tokens = sample(policy, self._strips, generator=None).tokens
        return float((tokens == self._labels).float().mean())


def _samples(batch: TensorBatch) -> Samples:
    """The tensors of the batch as they came: views of shared memory."""
    strips = Strips(torch.cat(batch["prompt"]), batch["response"].offsets())
    return Samples(strips, *(batch[name].values() for name in ("response", "old_logp", "ref_logp", "advantage")))

"""The trainer: one GRPO step per batch of whole groups, then the ack, then the new policy version into the store.

    claim -> update -> ack -> publish version + 1 -> (each few steps) held-out accuracy

The version counts the batches that were acked. A batch whose ack is refused, since its lease was lost, comes again in a
later claim; its update stands, and is published with the next version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from transferq.demo.columns import Jagged, Rows
from transferq.demo.data import load_split, strips_of_all
from transferq.demo.grpo import Learner, Samples
from transferq.demo.policy import Policy, Strips, new_policy, parameter_vector, sample
from transferq.demo.schema import TRAINED_FIELDS, train_door, weights_door

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.door import Door
    from transferq.demo.history import History
    from transferq.demo.settings import Settings


def run(store: Client, settings: Settings, history: History) -> None:
    train, weights = train_door(store, history), weights_door(store, history)
    examination = Examination(settings.seed)
    policy = new_policy(settings.seed)
    learner = Learner(policy, steps=settings.steps)
    version = 0
    _publish(weights, policy, version)
    history.fact("accuracy", version=version, accuracy=examination.accuracy(policy))
    for held in train.claims(
        "actor_update",
        TRAINED_FIELDS,
        rows_max=settings.rows_per_step,
        rows_min=settings.rows_per_step,
        sampler="group",
        settings=settings,
    ):
        facts = learner.update(_samples(held.rows))
        if not train.finish(held):
            continue
        staleness = version - held.rows.array("version")
        version += 1
        _publish(weights, policy, version)
        history.fact(
            "step",
            version=version,
            reward=float(held.rows.jagged("reward").values.mean()),
            staleness_mean=float(staleness.mean()),
            staleness_max=int(staleness.max()),
            loss=facts.loss,
            kl=facts.kl,
            clipped_share=facts.clipped_share,
        )
        if version % settings.evaluate_every == 0:
            history.fact("accuracy", version=version, accuracy=examination.accuracy(policy))
    if version % settings.evaluate_every != 0:
        history.fact("accuracy", version=version, accuracy=examination.accuracy(policy))


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


def _samples(rows: Rows) -> Samples:
    return Samples(
        Strips.of(rows.jagged("prompt")),
        *(torch.from_numpy(rows.jagged(name).values) for name in ("response", "old_logp", "ref_logp", "advantage")),
    )


def _publish(weights: Door, policy: Policy, version: int) -> None:
    parameters = Jagged.of_rows([parameter_vector(policy).numpy()])
    weights.put(Rows(parameters=parameters, version=np.array([version], np.int64)), [version])

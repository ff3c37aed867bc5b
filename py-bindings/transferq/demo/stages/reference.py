"""The reference worker: the log-probability that the untrained policy, version 0, gives to each response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transferq.demo.columns import Rows
from transferq.demo.policy import Policy, Strips, load_parameters, log_probs
from transferq.demo.schema import train_door, weights_door
from transferq.demo.settings import GROUP_SIZE

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.history import History
    from transferq.demo.settings import Settings


def run(store: Client, settings: Settings, history: History) -> None:
    train, weights = train_door(store, settings, history), weights_door(store, history)
    policy = Policy()
    untrained = weights.row(0, ["parameters"], silence_s_max=settings.silence_s_max)
    load_parameters(policy, torch.from_numpy(untrained.jagged("parameters").values))
    for held in train.claims(
        "reference",
        ["prompt", "response"],
        rows_max=settings.rows_per_step,
        rows_min=GROUP_SIZE,
        sampler="fifo",
        settings=settings,
    ):
        response = held.rows.jagged("response")
        with torch.no_grad():
            logp = log_probs(policy, Strips.of(held.rows.jagged("prompt")), torch.from_numpy(response.values))
        train.finish(held, Rows(ref_logp=response.like(logp.numpy())))

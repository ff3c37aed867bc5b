"""A rollout worker: answers prompts with the newest policy that the trainer has published.

It claims groups whole, so that all siblings of a group come from one policy version, and tags them with that version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from transferq.demo.columns import Rows
from transferq.demo.policy import Policy, Strips, load_parameters, sample
from transferq.demo.schema import train_door, weights_door
from transferq.demo.settings import GROUP_SIZE, ROLLOUT_WORKERS

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.history import History
    from transferq.demo.settings import Settings

PUBLISHED = ["parameters", "version"]


def run(store: Client, settings: Settings, history: History) -> None:
    train, weights = train_door(store, settings, history), weights_door(store, history)
    policy = Policy()
    version = _load(policy, weights.newest_within(PUBLISHED, silence_s_max=settings.silence_s_max))
    for held in train.claims(
        "rollout",
        ["prompt"],
        rows_max=settings.rows_per_step // ROLLOUT_WORKERS,
        rows_min=GROUP_SIZE,
        sampler="group",
        settings=settings,
    ):
        newer = weights.newest(PUBLISHED, wait_s=0)
        if newer is not None:
            version = _load(policy, newer)
        prompt = held.rows.jagged("prompt")
        # The draw depends on the rows and the version, not on which worker has them or how often it was restarted.
        draw = np.random.SeedSequence([settings.seed, version, held.ids[0]]).generate_state(1, np.uint64)
        written = sample(policy, Strips.of(prompt), torch.Generator().manual_seed(int(draw[0] >> np.uint64(1))))
        results = Rows(
            response=prompt.like(written.tokens.numpy()),
            old_logp=prompt.like(written.logp.numpy()),
        )
        train.finish(held, results, version=version)


def _load(policy: Policy, published: Rows) -> int:
    """Take over published parameters; returns their version."""
    load_parameters(policy, torch.from_numpy(published.jagged("parameters").values))
    return int(published.array("version")[0])

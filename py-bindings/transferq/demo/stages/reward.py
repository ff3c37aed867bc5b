"""The reward worker: a reward per token, advantages normalised within the group. The only reader of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transferq.demo.advantages import group_advantages, token_rewards
from transferq.demo.columns import Rows
from transferq.demo.schema import train_door
from transferq.demo.settings import GROUP_SIZE

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.history import History
    from transferq.demo.settings import Settings


def run(store: Client, settings: Settings, history: History) -> None:
    train = train_door(store, settings, history)
    for held in train.claims(
        "reward",
        ["label", "response"],
        rows_max=settings.rows_per_step,
        rows_min=GROUP_SIZE,
        sampler="group",
        settings=settings,
    ):
        response = held.rows.jagged("response")
        rewards = token_rewards(response.values, held.rows.jagged("label").values)
        advantages = group_advantages(rewards, response.offsets, group_size=GROUP_SIZE)
        train.finish(held, Rows(reward=response.like(rewards), advantage=response.like(advantages)))

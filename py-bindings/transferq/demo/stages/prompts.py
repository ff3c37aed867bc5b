"""The prompt source: writes strips and their labels, 8 rows per group; then seals.

Backpressure is the store's: the partition has a pace, so each put waits until the trainer's version is near enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transferq.demo.columns import Jagged, Rows
from transferq.demo.data import load_split, strip_of_group
from transferq.demo.schema import train_door
from transferq.demo.settings import GROUP_SIZE

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.history import History
    from transferq.demo.settings import Settings


def run(store: Client, settings: Settings, history: History) -> None:
    digits, _ = load_split(settings.seed)
    train = train_door(store, settings, history)
    for step in range(settings.steps):
        groups = range(step * settings.groups_per_step, (step + 1) * settings.groups_per_step)
        strips = [strip for group in groups for strip in [strip_of_group(digits, settings.seed, group)] * GROUP_SIZE]
        prompts = Jagged.of_rows([strip.pixels for strip in strips])
        labels = Jagged.of_rows([strip.labels for strip in strips])
        first_id = step * settings.rows_per_step
        ids = range(first_id, first_id + len(strips))
        train.put(Rows(prompt=prompts, label=labels), ids, wait_s=settings.silence_s_max)
    train.seal()

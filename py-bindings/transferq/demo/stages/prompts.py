"""The prompt source: writes strips and their labels, 8 rows per group, in step with the trainer; then seals.

Backpressure: it follows the trainer's version and never writes for more than `versions_ahead` beyond it, which bounds
the rows in flight and, with them, how old a sample can be when it is trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transferq.demo.columns import Jagged, Rows
from transferq.demo.data import load_split, strip_of_group
from transferq.demo.schema import train_door, weights_door
from transferq.demo.settings import GROUP_SIZE

if TYPE_CHECKING:
    from transferq import Client
    from transferq.demo.history import History
    from transferq.demo.settings import Settings


def run(store: Client, settings: Settings, history: History) -> None:
    digits, _ = load_split(settings.seed)
    train, weights = train_door(store, history), weights_door(store, history)
    version = -1
    for step in range(settings.steps):
        while step > version + settings.versions_ahead:
            newest = weights.newest_within(["version"], silence_s_max=settings.silence_s_max)
            version = int(newest.array("version")[0])
        groups = range(step * settings.groups_per_step, (step + 1) * settings.groups_per_step)
        strips = [strip for group in groups for strip in [strip_of_group(digits, settings.seed, group)] * GROUP_SIZE]
        prompts = Jagged.of_rows([strip.pixels for strip in strips])
        labels = Jagged.of_rows([strip.labels for strip in strips])
        first_id = step * settings.rows_per_step
        train.put(Rows(prompt=prompts, label=labels), range(first_id, first_id + len(strips)))
    train.seal()

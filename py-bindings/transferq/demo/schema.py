"""The two partitions of the demo: who writes which field, and which task waits for which fields.

    train    one row per sample; index_id = group * 8 + sibling
             prompts    prompt, label                        task rollout       prompt              (whole groups)
             rollout    response, old_logp, tag `version`    task reference     prompt, response
             reference  ref_logp                             task reward        label, response     (whole groups)
             reward     reward, advantage                    task actor_update  TRAINED_FIELDS      (whole groups)
             The window of actor_update goes by `version`, and so does the pace of the prompts. A row that all four
             tasks consumed is released: the store holds what is in flight, not what was trained.
    weights  one row per policy version; index_id = version; written by the trainer, read as newest row;
             the trainer keeps version 0 and the newest one

Only the reward worker claims `label`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transferq import Pace, Ragged, Scalar
from transferq.demo.data import PIXEL_COUNT
from transferq.demo.door import Door
from transferq.demo.settings import GROUP_SIZE, VERSION

if TYPE_CHECKING:
    from transferq import Client, Layout, Partition
    from transferq.demo.history import History
    from transferq.demo.settings import Settings

LAST_TASK: Final = "actor_update"
TASKS: Final = ("rollout", "reference", "reward", LAST_TASK)
TRAIN_FIELDS: Final[dict[str, Layout]] = {
    "prompt": Ragged("float32", (None, PIXEL_COUNT)),
    "label": Ragged("int64"),
    "response": Ragged("int64"),
    "old_logp": Ragged("float32"),
    "ref_logp": Ragged("float32"),
    "reward": Ragged("float32"),
    "advantage": Ragged("float32"),
}
WEIGHTS_FIELDS: Final[dict[str, Layout]] = {"parameters": Ragged("float32"), "version": Scalar("int64")}
TRAINED_FIELDS: Final = ["prompt", "response", "old_logp", "ref_logp", "reward", "advantage"]


def train_door(store: Client, settings: Settings, history: History) -> Door:
    return Door(train_partition(store, settings), history)


def train_partition(store: Client, settings: Settings) -> Partition:
    """Every stage declares it, so that none has to be the first."""
    return store.partition(
        "train",
        fields=TRAIN_FIELDS,
        group_size=GROUP_SIZE,
        tasks=TASKS,
        release="consumed",
        numbers=[VERSION],
        pace=Pace(rows_per_version=settings.rows_per_step, max_ahead=settings.max_ahead),
    )


def weights_door(store: Client, history: History) -> Door:
    return Door(store.partition("weights", fields=WEIGHTS_FIELDS), history)

"""The two partitions of the demo: who writes which field, and which task waits for which fields.

    train    one row per sample; index_id = group * 8 + sibling
             prompts    prompt, label                        task rollout       prompt              (whole groups)
             rollout    response, old_logp, version          task reference     prompt, response
             reference  ref_logp                             task reward        label, response     (whole groups)
             reward     reward, advantage                    task actor_update  TRAINED_FIELDS      (whole groups)
    weights  one row per policy version; index_id = version; written by the trainer, read as newest row

Only the reward worker claims `label`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transferq import Ragged, Scalar
from transferq.demo.data import PIXEL_COUNT
from transferq.demo.door import Door
from transferq.demo.settings import GROUP_SIZE

if TYPE_CHECKING:
    from transferq import Client, Layout
    from transferq.demo.history import History

TRAIN_FIELDS: Final[dict[str, Layout]] = {
    "prompt": Ragged("float32", (None, PIXEL_COUNT)),
    "label": Ragged("int64"),
    "response": Ragged("int64"),
    "old_logp": Ragged("float32"),
    "version": Scalar("int64"),
    "ref_logp": Ragged("float32"),
    "reward": Ragged("float32"),
    "advantage": Ragged("float32"),
}
WEIGHTS_FIELDS: Final[dict[str, Layout]] = {"parameters": Ragged("float32"), "version": Scalar("int64")}
TRAINED_FIELDS: Final = ["prompt", "response", "old_logp", "version", "ref_logp", "reward", "advantage"]


def train_door(store: Client, history: History) -> Door:
    return Door(store.partition("train", fields=TRAIN_FIELDS, group_size=GROUP_SIZE), history)


def weights_door(store: Client, history: History) -> Door:
    return Door(store.partition("weights", fields=WEIGHTS_FIELDS), history)

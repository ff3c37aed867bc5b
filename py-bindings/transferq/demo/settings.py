"""Settings of one run, as plain data: made by the command line, written to `out/settings.json`, read by every worker.

out/settings.json   out/history/<worker>.jsonl   out/logs/<process>.log   out/accuracy.png   out/stages.png
out/checkpoint.pt
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

GROUP_SIZE = 8
VERSION = "version"  # the tag that says by which version of the policy a sample was written
ROLLOUT_WORKERS = 2


@dataclass(frozen=True)
class Settings:
    """What a run does. A step trains on `groups_per_step` prompts, each answered by 8 siblings.

    `steps` times as many prompts are written; each skipped one is one less to train on, so there are fewer steps then.
    """

    seed: int = 7
    steps: int = 400
    groups_per_step: int = 16
    max_ahead: int = 2  # prompts are admitted for at most this many versions beyond the trainer's
    max_staleness: int = 3  # samples of an older version than this are not drawn any more, but skipped
    loader_workers: int = 1  # processes that claim for the trainer while it trains
    evaluate_every: int = 10  # steps between two measurements of held-out accuracy
    lease_s: float = 8.0
    silence_s_max: float = 60.0  # nobody waits longer than this for a sign of life
    run_s_max: float = 600.0
    accuracy_goal: float = 0.8
    kill: bool = False

    @property
    def rows_per_step(self) -> int:
        return self.groups_per_step * GROUP_SIZE

    @property
    def row_count(self) -> int:
        return self.steps * self.rows_per_step

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Settings:
        return Settings(**json.loads(path.read_text(encoding="utf-8")))


# A run that proves delivery, not learning.
QUICK = Settings(steps=30, groups_per_step=8, evaluate_every=5, lease_s=2.0, accuracy_goal=0.0)

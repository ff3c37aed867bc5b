"""The trainer's checkpoint: policy, optimiser, and which rows they have learned from, in one file that is never torn.

out/checkpoint.pt = {"version", "learner", "intake", "step"}      "step": what the history says of the last step
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypedDict

import torch

if TYPE_CHECKING:
    from pathlib import Path


class Checkpoint(TypedDict):
    """Everything that a trainer needs to go on after a step."""

    version: int
    learner: dict[str, Any]
    intake: dict[str, Any]
    step: dict[str, Any]


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Written beside the old one, then put in its place: survives `kill -9` at any moment."""
    beside = path.with_suffix(".new")
    torch.save(checkpoint, beside)
    os.replace(beside, path)


def load(path: Path) -> Checkpoint | None:
    """The last one that was saved; None when there is none yet."""
    if not path.exists():
        return None
    checkpoint: Checkpoint = torch.load(path, weights_only=True)
    return checkpoint

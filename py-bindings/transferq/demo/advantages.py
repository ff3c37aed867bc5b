"""Reward and advantage of a token: right or wrong, compared with what the siblings wrote at the same position.

    reward [t]      1 where the token is the digit of its image, else 0
    advantage [t]   (reward - mean) / (deviation + epsilon) over the 8 siblings of a group, position by position

All siblings of a group answer the same strip, so they have equal lengths and a group is a [8, k] block of the flat
rewards. Where all siblings agree the advantage is 0: there is nothing to learn from that token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-4


def token_rewards(tokens: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """1 for each right token, 0 for each wrong one."""
    rewards: NDArray[np.float32] = (tokens == labels).astype(np.float32)
    return rewards


def group_advantages(
    rewards: NDArray[np.float32], offsets: NDArray[np.int64], *, group_size: int
) -> NDArray[np.float32]:
    """Advantages [t] of whole groups that stand one after the other; raises ValueError when one is not whole."""
    lengths = np.diff(offsets)
    if len(lengths) % group_size != 0:
        raise ValueError(f"{len(lengths)} rows are not whole groups of {group_size}")
    groups = lengths.reshape(-1, group_size)
    if (groups != groups[:, :1]).any():
        raise ValueError("siblings of a group differ in length")
    advantages = np.empty_like(rewards)
    for start, length in zip(offsets[:-1:group_size], groups[:, 0], strict=True):
        end = start + group_size * length
        block = rewards[start:end].reshape(group_size, length)
        normalised = (block - block.mean(axis=0)) / (block.std(axis=0) + EPSILON)
        advantages[start:end] = normalised.ravel()
    return advantages

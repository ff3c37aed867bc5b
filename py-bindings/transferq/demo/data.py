"""The handwritten digits of scikit-learn, cut into strips of two to six images: the prompts of the demo.

    digits   1,797 images of 8x8 pixels      pixels [n, 64] float32 in 0..1, labels [n] int64
    split    80 % to train on, 20 % held out by image, fixed by the seed
    strip    k images side by side           prompt [k, 64], label [k], 2 <= k <= 6

A strip never mixes the two halves of the split, so no held-out pixel is ever seen by a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

PIXEL_COUNT = 64
PIXEL_MAX = 16.0
STRIP_MIN = 2
STRIP_MAX = 6
HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Digits:
    """Images and their labels: `pixels` [n, 64] float32, `labels` [n] int64."""

    pixels: Floats
    labels: Ints


@dataclass(frozen=True)
class Strip:
    """One prompt: `pixels` [k, 64] float32 and the `labels` [k] int64 that only the reward may see."""

    pixels: Floats
    labels: Ints


def load_split(seed: int) -> tuple[Digits, Digits]:
    """The digits as (train, held out), shuffled once by `seed`."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    pixels = (bunch.data / PIXEL_MAX).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    held_count = round(len(labels) * HELD_OUT_SHARE)
    held, train = order[:held_count], order[held_count:]
    return Digits(pixels[train], labels[train]), Digits(pixels[held], labels[held])


def strip_of_group(digits: Digits, seed: int, group: int) -> Strip:
    """The strip of prompt group number `group`: the same one whoever asks, and however often."""
    rng = np.random.default_rng([seed, group])
    length = int(rng.integers(STRIP_MIN, STRIP_MAX + 1))
    picked = rng.integers(0, len(digits.labels), size=length)
    return Strip(digits.pixels[picked], digits.labels[picked])


def strips_of_all(digits: Digits, seed: int) -> list[Strip]:
    """Every image exactly once, in strips of two to six: what held-out accuracy is measured on."""
    rng = np.random.default_rng(seed)
    strips: list[Strip] = []
    start, count = 0, len(digits.labels)
    while start < count:
        length = int(rng.integers(STRIP_MIN, STRIP_MAX + 1))
        strips.append(Strip(digits.pixels[start : start + length], digits.labels[start : start + length]))
        start += length
    return strips

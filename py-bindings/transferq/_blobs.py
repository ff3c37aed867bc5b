"""Blobs by their names: bytes that many cells share, of which a cell holds the SHA-256.

    values --SHA-256, each object once--> digests, and a source that has their bytes
    digests of a column --source--> bytes, one object for all cells that name the same blob

Where the bytes come from that nobody gave: _blob_calls.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transferq._protocol import BLOB_DIGEST_SIZE


class BlobSource(Protocol):
    """Where the bytes of blobs come from."""

    def fetch(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        """The bytes of each digest."""
        ...


class GivenBlobs:
    """Blobs whose bytes the caller gave."""

    def __init__(self, given: Mapping[str, bytes]) -> None:
        self._given = given

    def fetch(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        return {digest: self._given[digest] for digest in digests}


class JoinedBlobs:
    """The blobs of a column that several answers make up; each knows its own."""

    def __init__(self, parts: Sequence[tuple[BlobSource, Iterable[str]]]) -> None:
        self._parts = [(source, frozenset(digests)) for source, digests in parts]

    def fetch(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        lacking = dict.fromkeys(digests)
        found: dict[str, bytes] = {}
        for source, theirs in self._parts:
            mine = [digest for digest in lacking if digest in theirs and digest not in found]
            found.update(source.fetch(mine))
        return found


def digests_of(values: NDArray[Any]) -> list[str]:
    """The digests of a column, one per row, in hexadecimal; the same string for rows that name the same blob."""
    digits = values.tobytes().hex()
    width = 2 * BLOB_DIGEST_SIZE
    known: dict[str, str] = {}
    rows = (digits[at : at + width] for at in range(0, len(digits), width))
    return [known.setdefault(digest, digest) for digest in rows]


def hash_blobs(cells: Sequence[Any], bytes_of: Callable[[Any], bytes]) -> tuple[NDArray[np.uint8], GivenBlobs]:
    """The digests of cells, one after the other, and the bytes of the blobs. Cells that are one object are hashed once,
    which is why they are wanted as a sequence that keeps them."""
    by_object: dict[int, bytes] = {}
    given: dict[str, bytes] = {}
    for cell in cells:
        if id(cell) in by_object:
            continue
        data = bytes_of(cell)
        digest = hashlib.sha256(data)
        by_object[id(cell)] = digest.digest()
        given.setdefault(digest.hexdigest(), data)
    joined = b"".join(by_object[id(cell)] for cell in cells)
    return np.frombuffer(joined, np.uint8), GivenBlobs(given)

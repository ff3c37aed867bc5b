"""Shared blobs in a checkpoint: each that rows of a partition name is in it once.

    save:  digests of the rows --several at a time, each once--> bytes --> files of about `FILE_SIZE`
    load:  files --> uploads to the hidden partition, before its rows

A file is an Arrow IPC stream, as those of rows are: index_id counts, `digest` has the SHA-256s, `bytes` the blobs.

Invariants: what is saved has the digest that the rows name; a file is larger than `FILE_SIZE` by one blob at most. The
snapshot of a save keeps the server from releasing blobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from transferq._batch import Part
from transferq._blob_calls import AT_ONCE_MAX, at_once, download, upload
from transferq._checkpoint_files import FILE_SIZE
from transferq._encode import Outgoing, encode_body
from transferq._http import Answer, Origin
from transferq._layouts import Blob, Bytes
from transferq._read import Wait
from transferq.errors import AnswerInvalid

if TYPE_CHECKING:
    from transferq._client import Client

DIGEST: Final = "digest"
BYTES: Final = "bytes"


def named_blobs(answer: Answer) -> Iterator[str]:
    """The digests that the rows of an answer name."""
    part = Part(answer)
    for column in map(part.column, part.names):
        if isinstance(column.layout, Blob):
            yield from column.digests


def read_blobs(client: Client, origin: Origin, target: str, digests: Sequence[str]) -> Iterator[tuple[bytes, int]]:
    """The content of files, each with its number of blobs."""
    piece: dict[str, bytes] = {}
    size = 0
    for start in range(0, len(digests), AT_ONCE_MAX):
        some = digests[start : start + AT_ONCE_MAX]
        fetched = at_once(lambda digest: download(client, origin, target, digest), some)
        for digest, data in zip(some, fetched, strict=True):
            piece[digest] = data
            size += len(data)
            if size >= FILE_SIZE:
                yield _encode(piece), len(piece)
                piece, size = {}, 0
    if piece:
        yield _encode(piece), len(piece)


def upload_blobs(client: Client, origin: Origin, target: str, content: bytes) -> None:
    """Sends what a file holds."""
    at_once(lambda blob: upload(client, origin, target, *blob, Wait(0)), _decode(content))


def _encode(blobs: dict[str, bytes]) -> bytes:
    digests = [bytes.fromhex(digest) for digest in blobs]
    columns = [(DIGEST, _column(Blob(), digests)), (BYTES, _column(Bytes(), list(blobs.values())))]
    return b"".join(encode_body(np.arange(len(blobs)), columns).pieces)


def _column(layout: Blob | Bytes, cells: list[bytes]) -> Outgoing:
    offsets = np.cumsum([0, *map(len, cells)]).astype(np.int32)
    return Outgoing(layout, len(cells), [np.frombuffer(cell, np.uint8) for cell in cells], offsets)


def _decode(content: bytes) -> list[tuple[str, bytes]]:
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(content).read_all()
        digests, blobs = (table.column(name).to_pylist() for name in (DIGEST, BYTES))
        return [(digest.hex(), data) for digest, data in zip(digests, blobs, strict=True)]
    except (pa.ArrowException, KeyError, AttributeError) as error:
        raise AnswerInvalid("A file of blobs is not understood.") from error

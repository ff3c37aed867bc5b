"""Blobs on the wire: they are sent once and fetched once.

    put    which are missing? --> upload of those, several at a time --> rows with the digests
    read   had by the batch, else in the cache of the client, else fetched, several at a time

Invariants: bytes that came have the digest that they were asked for by; a blob is kept by the cache while there is
room, by a batch as long as the batch is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from numpy.typing import NDArray

from transferq._blobs import BlobSource, digests_of
from transferq._cancel import current_cancellation
from transferq._http import Origin
from transferq._protocol import MEDIA_TYPES
from transferq._room import call_for_room
from transferq._transport import Request
from transferq.errors import ChecksumMismatch

if TYPE_CHECKING:
    from transferq._client import Client
    from transferq._read import Wait

# Blobs that one call sends or fetches at the same time.
AT_ONCE_MAX: Final = 8
CACHE_BYTES_MAX: Final = 256 << 20

Item = TypeVar("Item")
Result = TypeVar("Result")


class BlobCache:
    """The blobs that a client used last, up to so many bytes. A blob is the same in all partitions."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.reset()

    def reset(self) -> None:
        """Forgets all of them: a forked child shares no lock with its parent."""
        self._lock = threading.Lock()
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, digest: str) -> bytes | None:
        with self._lock:
            found = self._blobs.get(digest)
            if found is not None:
                self._blobs.move_to_end(digest)
            return found

    def add(self, digest: str, data: bytes) -> None:
        with self._lock:
            if digest in self._blobs or len(data) > self._bytes_max:
                return
            self._blobs[digest] = data
            self._bytes += len(data)
            while self._bytes > self._bytes_max:
                _, oldest = self._blobs.popitem(last=False)
                self._bytes -= len(oldest)


class FetchedBlobs:
    """The blobs that the rows of one answer name, each fetched once."""

    def __init__(self, client: Client, origin: Origin, target: str) -> None:
        self._client = client
        self._origin = origin
        self._target = target
        self._lock = threading.Lock()
        self._have: dict[str, bytes] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return (FetchedBlobs, (self._client, self._origin, self._target))

    def fetch(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        wanted = dict.fromkeys(digests)
        with self._lock:
            lacking = [digest for digest in wanted if digest not in self._have]
            self._have.update(zip(lacking, at_once(self._load, lacking), strict=True))
            return {digest: self._have[digest] for digest in wanted}

    def _load(self, digest: str) -> bytes:
        cache = self._client.blob_cache
        data = cache.get(digest)
        if data is None:
            data = download(self._client, self._origin, self._target, digest)
            cache.add(digest, data)
        return data


def download(client: Client, origin: Origin, target: str, digest: str) -> bytes:
    """The bytes of a blob."""
    data = client.transport.call(origin, Request("GET", f"{target}/blobs/{digest}")).body.tobytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ChecksumMismatch(details={"digest": digest})
    return data


def upload(client: Client, origin: Origin, target: str, digest: str, data: bytes, wait: Wait) -> None:
    """Sends a blob; one that is there already changes nothing."""
    request = Request("PUT", f"{target}/blobs/{digest}", data, media=MEDIA_TYPES["raw"])
    call_for_room(client, origin, request, wait)


def upload_missing(
    client: Client, origin: Origin, target: str, columns: Sequence[tuple[NDArray[Any], BlobSource]], wait: Wait
) -> None:
    """Sends the blobs that rows are about to name and that the node does not have; all of them share the wait."""
    sources = {digest: source for values, source in columns for digest in dict.fromkeys(digests_of(values))}
    digests = list(sources)
    rows_max = client.limits()["list_rows_max"]

    def send(digest: str) -> None:
        upload(client, origin, target, digest, sources[digest].fetch([digest])[digest], wait)

    for start in range(0, len(digests), rows_max):
        asked = {"digests": digests[start : start + rows_max]}
        at_once(send, client.post_json(origin, f"{target}/blobs:missing", asked)["missing"])


def at_once(act: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results in the order of the items, of which several are under way at a time; all of them are cancelled with
    the call."""
    cancellation = current_cancellation()

    def act_for_call(item: Item) -> Result:
        with cancellation or contextlib.nullcontext():
            return act(item)

    if len(items) < 2:
        return [act(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE_MAX, len(items)), thread_name_prefix="transferq-blobs") as threads:
        return list(threads.map(act_for_call, items))

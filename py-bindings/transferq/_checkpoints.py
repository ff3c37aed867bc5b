"""Saves the queues of a server into a directory, and loads them from there.

    save:  snapshot with state --per partition--> state, rows by ids at its LSN, blobs --> files --> manifest
    load:  manifest, every file checked --> load of the server: state, blobs, rows --per partition--> commit

Invariants: what is saved is the state of one LSN, while producers and consumers go on; a load that fails, or whose
process dies, leaves the server as it was. Claims are no part of a checkpoint: their rows are unclaimed in it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferq._checkpoint_blobs import named_blobs, read_blobs, upload_blobs
from transferq._checkpoint_files import FILE_SIZE, Checkpoint, CheckpointWriter, SavedFile, SavedPartition
from transferq._encode import Body
from transferq._http import Answer, Origin
from transferq._protocol import MEDIA_TYPES
from transferq._renewals import Renewed, Renewer
from transferq._transport import Request
from transferq.errors import AnswerInvalid, AnswerTooLarge, FixRequest, PartitionUnknown, TransferQueueError

if TYPE_CHECKING:
    from transferq._client import Client

ROWS_FIRST: Final = 256
# A file becomes one put of a load, which happens in one turn of the server's loop: so many rows take a few ms.
ROWS_MAX: Final = 8_192
# What is held or staged at the server goes this long after a client died.
LEASE_S: Final = 120.0
# The server makes a checkpoint of its own before it answers, or compares all rows with a state.
WORK_S: Final = 600.0
STATE_MAGIC: Final = b"TQSTATE\n"


@dataclass(frozen=True)
class RowSet:
    """Rows that have the same fields, in the order of their arrival."""

    fields: list[str]
    ids: NDArray[np.int64]


class Kept:
    """A snapshot or a load of the server, renewed until it is closed: also while a call takes longer than its lease."""

    def __init__(self, client: Client, origin: Origin, target: str) -> None:
        self._client, self._origin, self.target = client, origin, target
        self._lease = Renewed(token=target, lease_s=LEASE_S, hold_max_s=math.inf)
        # Where this fails, the next call finds that it is gone.
        self._renewer = Renewer[Renewed](lambda kept: client.post_json(origin, f"{kept.token}:renew", _lease()))
        self._renewer.watch(self._lease)

    def close(self) -> None:
        self._renewer.close()
        # Where this fails the lease ends by itself.
        with contextlib.suppress(TransferQueueError):
            self._client.transport.call(self._origin, Request("POST", f"{self.target}:close"))


def save_checkpoint(
    client: Client, directory: str | os.PathLike[str], metadata: Any, partitions: Iterable[str] | None
) -> Checkpoint:
    json.dumps(metadata)
    wanted = None if partitions is None else _names(partitions)
    origin = _only_node(client)
    held = _work(client, origin, Request("POST", "/v1/snapshots", _json({**_lease(), "state": True}))).json()
    snapshot = Kept(client, origin, f"/v1/snapshots/{held['snapshot']}")
    try:
        missing = [name for name in wanted or () if name not in held["partitions"]]
        if missing:
            reason = "of ack level memory" if missing[0] in held["left_out"] else "unknown"
            raise PartitionUnknown(details={"partitions": missing, "reason": reason})
        writer = CheckpointWriter(directory)
        try:
            saved = [
                _save_partition(client, origin, snapshot, writer, (place, name), held["lsn"])
                for place, name in enumerate(held["partitions"] if wanted is None else wanted)
            ]
            return writer.commit(metadata, held["lsn"], held["left_out"] if wanted is None else [], saved)
        except BaseException:
            writer.discard()
            raise
    finally:
        snapshot.close()


def _save_partition(
    client: Client, origin: Origin, snapshot: Kept, writer: CheckpointWriter, numbered: tuple[int, str], lsn: int
) -> SavedPartition:
    place, name = numbered
    answer = _work(client, origin, Request("GET", f"{snapshot.target}/partitions/{name}/state"))
    sets = row_sets(answer.body)
    state = writer.write(f"{place}.state", answer.body)
    files: list[SavedFile] = []
    digests: dict[str, None] = {}
    for rows in sets:
        for piece, count in _read_pieces(client, origin, name, rows, lsn):
            files.append(writer.write(f"{place}-{len(files)}.arrow", piece.body, count))
            digests.update(dict.fromkeys(named_blobs(piece)))
    blobs: list[SavedFile] = []
    for content, count in read_blobs(client, origin, f"/v1/partitions/{name}", list(digests)):
        blobs.append(writer.write(f"{place}-b{len(blobs)}.arrow", content, count))
    return SavedPartition(name, sum(len(rows.ids) for rows in sets), state, tuple(files), tuple(blobs))


def _read_pieces(
    client: Client, origin: Origin, partition: str, rows: RowSet, lsn: int
) -> Iterator[tuple[Answer, int]]:
    """The rows in answers of about `FILE_SIZE` bytes, each with its number of rows."""
    count, at = ROWS_FIRST, 0
    rows_max = min(ROWS_MAX, client.limits()["read_rows_max"])
    while at < len(rows.ids):
        ids = rows.ids[at : at + count].tolist()
        body = _json({"ids": ids, "fields": rows.fields, "lsn": lsn})
        try:
            request = Request("POST", f"/v1/partitions/{partition}/rows:read", body, reads=True)
            answer = client.transport.call(origin, request)
        except AnswerTooLarge:
            if len(ids) == 1:
                raise
            count = len(ids) // 2
            continue
        yield answer, len(ids)
        at += len(ids)
        fitting = FILE_SIZE * len(ids) // max(1, answer.body.nbytes)
        count = max(1, min(fitting, 4 * count, rows_max))


def load_checkpoint(
    client: Client, directory: str | os.PathLike[str], partitions: Iterable[str] | None, *, replace: bool
) -> Checkpoint:
    checkpoint = Checkpoint.read(directory)
    wanted = list(checkpoint.partitions) if partitions is None else _names(partitions)
    missing = [name for name in wanted if name not in checkpoint.partitions]
    if missing:
        raise PartitionUnknown("The checkpoint has no partition of this name.", details={"partitions": missing})
    checkpoint.verify(directory)
    if not wanted:
        return checkpoint
    origin = _only_node(client)
    opened = client.post_json(origin, "/v1/loads", _lease())
    load = Kept(client, origin, f"/v1/loads/{opened['load']}")
    try:
        for saved in checkpoint.contents:
            if saved.name not in wanted:
                continue
            _stage(client, origin, load, (checkpoint, directory), saved)
        _work(client, origin, Request("POST", f"{load.target}:commit", _json({"replace": replace})))
    finally:
        load.close()
    return checkpoint


def _stage(
    client: Client, origin: Origin, load: Kept, source: tuple[Checkpoint, str | os.PathLike[str]], saved: SavedPartition
) -> None:
    """Sends a partition to where nobody sees it: its blobs before the rows that name them."""
    checkpoint, directory = source
    state = checkpoint.load_file(directory, saved.state)
    stage = Request("PUT", f"{load.target}/partitions/{saved.name}", state, media=MEDIA_TYPES["raw"])
    target = f"/v1/partitions/{_work(client, origin, stage).json()['staging']}"
    for file in saved.blobs:
        upload_blobs(client, origin, target, checkpoint.load_file(directory, file))
    for file in saved.files:
        content = checkpoint.load_file(directory, file)
        put = Request("POST", f"{target}/rows", Body([memoryview(content)], len(content)))
        client.transport.call(origin, put)


def row_sets(state: NDArray[np.uint8]) -> list[RowSet]:
    """Which rows have which fields, as a state says."""
    try:
        if state[:8].tobytes() != STATE_MAGIC:
            raise ValueError("no state")
        at = 12 + int.from_bytes(state[8:12].tobytes(), "little")
        sets: list[RowSet] = []
        for one in json.loads(state[12:at].tobytes())["sets"]:
            end = at + 8 * int(one["rows"])
            ids = np.frombuffer(state[at:end].tobytes(), "<i8")
            sets.append(RowSet(list(one["fields"]), ids))
            at = end
        return sets
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerInvalid("The state of a partition is not understood.") from error


def _only_node(client: Client) -> Origin:
    origins = client.shards.current.origins
    if len(origins) > 1:
        raise FixRequest("Checkpoints are of one node; connect to each node by itself.", code="json_invalid")
    return origins[0]


def _names(partitions: Iterable[str]) -> list[str]:
    if isinstance(partitions, str):
        raise FixRequest(f"partitions must be a list of names: [{partitions!r}].", code="json_invalid")
    return list(dict.fromkeys(partitions))


def _work(client: Client, origin: Origin, request: Request) -> Any:
    return client.transport.call(origin, request, wait_s=WORK_S)


def _lease() -> dict[str, int]:
    return {"lease_ms": round(LEASE_S * 1000)}


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()

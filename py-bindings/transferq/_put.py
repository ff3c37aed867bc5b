"""Puts: a call's rows, split by node and by the server's limits, each part one atomic request.

Invariants: parts are put in the order of the rows; the claim of a put-with-ack goes with the last part, when all the
others are in; each part has its own request id and its own deadline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from transferq._arrow import is_arrow
from transferq._batch import Batch
from transferq._blob_calls import upload_missing
from transferq._encode import Body, Outgoing, encode_body, encode_column, encode_ids
from transferq._http import Answer, Origin
from transferq._infer import infer_layout
from transferq._layouts import Layout, Text
from transferq._protocol import INDEX_COLUMN, TAGS_COLUMN, TAIL_SIZE
from transferq._read import Wait
from transferq._room import call_for_room
from transferq._shards import Positions
from transferq._tags import Tags, patch_texts
from transferq._transport import Request
from transferq.errors import BlobMissing, BodyTooLarge, FieldMismatch, FixRequest

if TYPE_CHECKING:
    from transferq._partition import Partition

# Upper bound of the metadata of one column in a body: names, Arrow types, and paddings of its buffers.
METADATA_SIZE_PER_COLUMN: Final = 2048

Columns = Sequence[tuple[str, Outgoing]]


@dataclass(frozen=True)
class Put:
    """What a put did.

    Attributes:
        lsn: LSN of the last part; everything up to it is in.
        lsns: LSN of each part, in the order of the rows; one unless the call exceeded a limit or concerned several
            nodes.
        index_ids: int64 ``[rows]``, the ids that were put.
        rows: number of rows.
        ack: how far the rows are: ``"memory"``, ``"os"`` or ``"disk"``.
    """

    lsn: int
    lsns: tuple[int, ...]
    index_ids: NDArray[np.int64]
    rows: int
    ack: str


def columns_and_ids(
    partition: Partition, data: Any, index_ids: Any, tags: Tags | Sequence[Tags | None] | None
) -> tuple[Columns, NDArray[np.int64]]:
    """The outgoing columns of what a user gave, and the ids of its rows. Tags are a column too."""
    given = _by_name(data)
    own_ids = given.pop(INDEX_COLUMN, None)
    if index_ids is None:
        index_ids = own_ids
    if index_ids is None:
        raise FieldMismatch("A put needs index_ids, or a table with a column index_id, or a batch.")
    ids = encode_ids(index_ids)
    if not given:
        raise FieldMismatch("A put needs at least one field.")
    if tags is not None:
        given[TAGS_COLUMN] = patch_texts(tags, len(ids))
    layouts = _layouts(partition, given)
    columns = [(name, encode_column(values, layouts[name], name)) for name, values in given.items()]
    wrong = next(((name, column.rows) for name, column in columns if column.rows != len(ids)), None)
    if wrong is not None:
        raise FieldMismatch(f"Field {wrong[0]!r} has {wrong[1]} rows, but there are {len(ids)} ids.")
    return columns, ids


def _by_name(data: Any) -> dict[str, Any]:
    if is_arrow(data):
        return {name: data.column(index) for index, name in enumerate(data.schema.names)}
    if isinstance(data, Batch):
        return {INDEX_COLUMN: data.index_ids, **dict(data)}
    if isinstance(data, Mapping):
        return {str(name): data[name] for name in data}
    raise FieldMismatch(
        f"A put takes a dict of fields, a pyarrow table or a record batch, not a {type(data).__name__}."
    )


def _layouts(partition: Partition, given: Mapping[str, Any]) -> dict[str, Layout]:
    """The layout of each field: the declared one, else what an open partition will take from this put."""
    declared = partition.fields
    if any(name not in declared for name in given if name != TAGS_COLUMN):
        # Another process may have declared more since.
        declared = partition.refresh().fields
    declared = {**declared, TAGS_COLUMN: Text()}
    return {name: declared.get(name) or infer_layout(values, name) for name, values in given.items()}


def put(
    partition: Partition,
    columns: Columns,
    ids: NDArray[np.int64],
    *,
    query: Mapping[str, str],
    claim: str | None,
    wait_s: float | None,
) -> Put:
    """Puts all rows, part by part; the parts share the wait."""
    wait = Wait(wait_s)
    limits = partition.client.limits()
    lsns: list[int] = []
    acks: list[str] = []

    def share_blobs(origin: Origin, mine: Columns) -> None:
        named = [(column.values[0], column.blobs) for _, column in mine if column.blobs is not None]
        if named:
            upload_missing(partition.client, origin, partition.target, named, wait)

    def on_node(origin: Origin, positions: Positions) -> None:
        if claim is not None and positions is not None and len(positions) < len(ids):
            raise FixRequest(
                "Rows of a put that acks a claim must be on one node, as the rows of a claim are.", code="claim_unknown"
            )
        mine = ids if positions is None else ids[positions]
        theirs = columns if positions is None else [(name, column.take(positions)) for name, column in columns]
        ranges = list(
            _ranges(theirs, rows_max=limits["put_rows_max"], size_max=limits["put_body_bytes_max"] - TAIL_SIZE)
        )
        share_blobs(origin, theirs)
        for start, stop in ranges:
            body = encode_body(mine[start:stop], [(name, column.slice(start, stop)) for name, column in theirs])
            last = {"claim": claim} if claim is not None and stop == len(mine) else {}
            try:
                answer = _send(partition, origin, body, {**query, **last}, wait)
            except BlobMissing:
                # It was released since: nobody named it for too long.
                share_blobs(origin, theirs)
                answer = _send(partition, origin, body, {**query, **last}, wait)
            lsns.append(answer.value("lsn", int))
            acks.append(answer.value("ack", str))

    partition.client.shards.on_nodes(ids, partition.group_size, on_node)
    return Put(max(lsns), tuple(lsns), ids, len(ids), acks[-1])


def _send(partition: Partition, origin: Origin, body: Body, query: Mapping[str, str], wait: Wait) -> Answer:
    """One part, which waits for room in the budgets; nothing of it is there when it raises OverBudget."""
    target = f"{partition.target}/rows"
    request = Request("POST", f"{target}?{urlencode(query)}" if query else target, body)
    return call_for_room(partition.client, origin, request, wait)


def _ranges(columns: Columns, *, rows_max: int, size_max: int) -> Iterator[tuple[int, int]]:
    """Row ranges of parts within the limits: halves of halves, so that parts are alike in size."""
    rows = columns[0][1].rows
    metadata = METADATA_SIZE_PER_COLUMN * (len(columns) + 1)

    def halves(start: int, stop: int) -> Iterator[tuple[int, int]]:
        size = metadata + 8 * (stop - start) + sum(column.size(start, stop) for _, column in columns)
        if stop - start <= rows_max and size <= size_max:
            yield start, stop
        elif stop - start <= 1:
            raise BodyTooLarge(details={"row": start, "bytes": size, "limit": size_max})
        else:
            middle = (start + stop) // 2
            yield from halves(start, middle)
            yield from halves(middle, stop)

    yield from halves(0, rows)

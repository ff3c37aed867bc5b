"""Batches: rows that came in one answer or in several parts, and the claim that they may be held under.

    part     one answer: index_id and columns over one received body
    batch    parts, in the order asked; a column over several parts is joined when it is first asked for (a copy)

Invariants: columns are views over the received bytes while the batch is one part; a batch under a claim is acked or
released at most once, and its lease is renewed while the batch is referenced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transferq._blobs import BlobSource
from transferq._columns import Column, join_columns, read_column
from transferq._http import Answer
from transferq._ipc import Frame, read_frame
from transferq._layouts import Blob, Dense, Layout, Ragged, Scalar
from transferq._protocol import ATTEMPT_COLUMN, INDEX_COLUMN, TAGS_COLUMN
from transferq._renewals import Lease
from transferq.errors import AnswerInvalid, ClaimStale, FixRequest

# How long an abandoned batch is tried to be released (seconds); its lease ends by itself anyway.
ABANDON_WITHIN_S: Final = 2.0
# Columns of an answer that are no fields.
OUR_COLUMNS: Final = (INDEX_COLUMN, ATTEMPT_COLUMN, TAGS_COLUMN)

# Acks or releases: lease, verb, time-out in seconds (None: the client's).
EndClaim: TypeAlias = Callable[[Lease, str, float | None], None]


class Part:
    """The rows of one answer; a column is made when it is first asked for."""

    __slots__ = ("_blobs", "_body", "_columns", "_frame", "_places", "lsn")

    def __init__(self, answer: Answer, blobs: BlobSource | None = None) -> None:
        self._blobs = blobs
        self._body = answer.body
        self._frame: Frame = read_frame(answer.body.data)
        self._columns: dict[str, Column] = {}
        self._places = _places_of(self._frame)
        self.lsn = answer.number("lsn")
        if self._places.get(INDEX_COLUMN, (None,))[0] != Scalar("int64"):
            raise AnswerInvalid("The answer has no column index_id of int64.")

    def __len__(self) -> int:
        return self._frame.rows

    @property
    def names(self) -> list[str]:
        return list(self._places)

    def column(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            layout, first, count = self._places[name]
            buffers = _data_buffers(layout, self._frame.buffers[first : first + count])
            try:
                column = read_column(self._body, layout, self._frame.rows, buffers, self._blobs)
            except (TypeError, ValueError) as error:
                raise AnswerInvalid(f"Column {name!r} of the answer does not fit its buffers.") from error
            self._columns[name] = column
        return column


def _places_of(frame: Frame) -> dict[str, tuple[Layout, int, int]]:
    """Per column its layout, its first buffer and how many it has."""
    places = {}
    at = 0
    for name, layout in frame.columns:
        count = _buffer_count(layout)
        places[name] = (layout, at, count)
        at += count
    if at != len(frame.buffers):
        raise AnswerInvalid("The answer has another number of buffers than its schema says.")
    return places


def _buffer_count(layout: Layout) -> int:
    """Validity buffers included: they are empty, but they stand in the list."""
    if isinstance(layout, Scalar):
        return 2
    if isinstance(layout, Dense):
        return 3
    if isinstance(layout, Ragged):
        return 4 if layout.shape is None else 8
    return 3


def _data_buffers(layout: Layout, buffers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The buffers that hold something: values; offsets and values; or offsets, values and shapes."""
    if isinstance(layout, Scalar):
        return [buffers[1]]
    if isinstance(layout, Dense):
        return [buffers[2]]
    if isinstance(layout, Ragged):
        # struct, data, offsets, values' validity, values, shape, shape's values' validity, shape's values
        return [buffers[1], buffers[3]] if layout.shape is None else [buffers[2], buffers[4], buffers[7]]
    return [buffers[1], buffers[2]]


class Batch:
    """Rows with their columns, as ``get``, ``scan``, ``newest``, ``claim`` and ``consume`` return them.

    As in a data frame, ``batch[name]`` is a column, ``len(batch)`` the number of rows, and iteration gives field names;
    ``dict(batch)`` is a dict of columns.

    Attributes:
        fields: names of the fields, in the order asked.
        index_ids: int64 ``[rows]``, the ids of the rows.
        lsn: highest LSN among the cells returned.
        claim: token of the claim that the rows are held under; None for rows that were read.
        partial: whether a claim gave fewer rows than it asked for, as ``partial`` or ``linger_s`` allowed.
        batch_number: number of the shared batch that the rows are of; None for other rows.
        row_keys: the key of each row, for rows that were read by key; else None.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        order: NDArray[np.int64] | None = None,
        lease: Lease | None = None,
        end_claim: EndClaim | None = None,
        partial: bool = False,
        batch_number: int | None = None,
    ) -> None:
        self._parts = parts
        # Where several nodes answered: the place of each row among the rows of all parts.
        self._order = order
        self._lease = lease
        self._end_claim = end_claim
        self._joined: dict[str, Column] = {}
        self.fields = [name for name in parts[0].names if name not in OUR_COLUMNS]
        self.lsn: int = max(part.lsn for part in parts)
        self.claim: str | None = None if lease is None else lease.token
        self.partial = partial
        self.batch_number = batch_number
        self.row_keys: list[str] | None = None

    def __getitem__(self, name: str) -> Column:
        if name not in self.fields:
            raise KeyError(name)
        return self._column(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def keys(self) -> list[str]:
        """Names of the fields, so that ``dict(batch)`` works."""
        return self.fields

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __repr__(self) -> str:
        held = f", claim={self.claim!r}" if self.claim else ""
        return f"Batch(rows={len(self)}, fields={self.fields}{held})"

    @property
    def index_ids(self) -> NDArray[np.int64]:
        return self._column(INDEX_COLUMN).values

    @property
    def attempts(self) -> NDArray[np.int32]:
        """int32 ``[rows]``: how often each row was claimed for the task, this time included (1 = the first time)."""
        if ATTEMPT_COLUMN not in self._parts[0].names:
            return np.ones(len(self), np.int32)
        return self._column(ATTEMPT_COLUMN).values

    @property
    def tags(self) -> list[dict[str, Any]]:
        """The tags of each row, numbers included, for rows that came by key, or with ``"tq_tags"`` among the fields."""
        if TAGS_COLUMN not in self._parts[0].names:
            raise FixRequest(f'The rows came without tags: ask for them with "{TAGS_COLUMN}" among the fields.')
        return [json.loads(text) for text in self._column(TAGS_COLUMN).list()]

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(self[name].nbytes for name in self)

    def arrow(self) -> Any:
        """A ``pyarrow.RecordBatch`` of ``index_id`` and the fields, over the same memory."""
        import pyarrow as pa

        from transferq._arrow_fields import arrow_field

        index = pa.field(INDEX_COLUMN, pa.int64(), nullable=False)
        arrays = [pa.array(self.index_ids), *(self[name].arrow() for name in self)]
        fields = [index]
        for name, array in zip(self, arrays[1:], strict=True):
            declared = arrow_field(name, self[name].layout)
            keyed = {key: value for key, value in (declared.metadata or {}).items() if not key.startswith(b"ARROW:")}
            fields.append(pa.field(name, array.type, nullable=False, metadata=keyed))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def fetch_blobs(self) -> None:
        """Fetches the blobs that the rows name. ``list()`` of a column does so by itself, when it is first asked."""
        for name in self:
            if isinstance(self[name].layout, Blob):
                self[name].fetch_blobs()

    def with_keys(self, keys: Sequence[str]) -> Batch:
        """Notes the keys of the rows."""
        self.row_keys = list(keys)
        return self

    # ---- Claims --------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether the claim is neither acked, released nor known to be lost."""
        return self._lease is not None and self._lease.state == "held"

    @property
    def lease(self) -> Lease | None:
        """The lease of the claim, for code that keeps the claim but not the rows: it is renewed while referenced."""
        return self._lease

    def ack(self) -> None:
        """Ends the claim: its rows are consumed for the task. A second call does nothing.

        Raises ClaimStale when the lease ended and rows went to another consumer: drop the results then.
        """
        self._end("ack", "acked")

    def release(self) -> None:
        """Gives the rows back, for any consumer of the task to take. A second call does nothing."""
        self._end("release", "released")

    def abandon(self) -> None:
        """Releases the rows where they are still held, and by this process: a forked child has a copy of the batch."""
        lease = self._lease
        if lease is None or lease.state != "held" or lease.pid != os.getpid() or self._end_claim is None:
            return
        # An exception may be on its way out; it must not wait for a server that does not answer.
        self._end_claim(lease, "release", ABANDON_WITHIN_S)
        lease.state = "released"

    def acked_by_put(self) -> None:
        """Notes that a put acked the claim in the same step."""
        if self._lease is not None:
            self._lease.state = "acked"

    def _end(self, verb: str, state: str) -> None:
        lease = self._lease
        if lease is None or self._end_claim is None:
            raise FixRequest(f"These rows were read, not claimed: there is nothing to {verb}.", code="claim_unknown")
        if lease.state == state:
            return
        if lease.state == "lost":
            raise lease.error or ClaimStale()
        if lease.state != "held":
            raise FixRequest(f"The claim was {lease.state} before; it cannot be {state} too.", code="claim_unknown")
        self._end_claim(lease, verb, None)
        lease.state = state

    def _column(self, name: str) -> Column:
        if len(self._parts) == 1 and self._order is None:
            return self._parts[0].column(name)
        column = self._joined.get(name)
        if column is None:
            column = join_columns([part.column(name) for part in self._parts])
            self._joined[name] = column = column if self._order is None else column.take(self._order)
        return column

"""A partition as its users see it: put, get, claim, consume, and what can be done with the whole of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transferq._batch import Batch
from transferq._claims import ClaimRequest, claim, consume
from transferq._encode import encode_ids
from transferq._layouts import Layout, layout_from_json
from transferq._protocol import DEFAULTS, ID_END
from transferq._put import Put, columns_and_ids, put
from transferq._read import Wanted, field_names, read_ids, read_newest, read_pages
from transferq._transport import Request
from transferq.errors import AnswerInvalid, Drained, FixRequest, TimedOut

if TYPE_CHECKING:
    from transferq._client import Client
    from transferq._snapshots import Snapshot

SCAN_ROWS_MAX = int(DEFAULTS["range_rows_max"])
HOLD_MAX_S = 600.0


class Partition:
    """A named set of rows; made by `Client.partition`, and cheap to make.

    A handle may be used by several threads, lives through ``fork``, and pickles as client and name.

    Attributes:
        client: the client that it belongs to.
        name: its name.
    """

    def __init__(self, client: Client, name: str, settings: Mapping[str, Any]) -> None:
        self.client = client
        self.name = name
        self.target = f"/v1/partitions/{name}"
        self._settings = dict(settings)
        self._fields = _layouts_of(settings)

    def __repr__(self) -> str:
        return f"Partition({self.name!r}, fields={self._fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {
            name: self._settings[name] for name in ("fields", "group_size", "ack", "open") if name in self._settings
        }
        return (Partition, (self.client, self.name, kept))

    @property
    def fields(self) -> dict[str, Layout]:
        """Declared fields and their layouts, as last heard from the server."""
        return dict(self._fields)

    @property
    def group_size(self) -> int:
        """Rows of one prompt; siblings have ids with the same ``id // group_size``."""
        return int(self._settings.get("group_size", DEFAULTS["group_size"]))

    @property
    def ack(self) -> str:
        """How far a put is when it is acknowledged: ``"memory"``, ``"os"`` or ``"disk"``."""
        return str(self._settings.get("ack", DEFAULTS["ack"]))

    def refresh(self) -> Partition:
        """Asks the server for the fields again, which other processes may have declared."""
        self.stats()
        return self

    # ---- Writing -------------------------------------------------------------------------------------------------

    def put(
        self,
        data: Any,
        *,
        index_ids: Any = None,
        if_absent: bool = False,
        ack: str | None = None,
        claim: Batch | str | None = None,
    ) -> Put:
        """Puts fields of rows: all of a part or nothing of it. A cell that is there already is overwritten.

        Rows may get their fields by several puts, in any order and from several processes.

        Args:
            data: dict from field names to values, one per row; or a pyarrow table or record batch; or a `Batch`.
                dense: array or tensor ``[rows, *shape]``. scalar: array or tensor ``[rows]``. ragged: list of arrays or
                tensors, a jagged nested tensor, an Arrow list array, or one array of equal rows. text, json: list.
                dtypes must be the declared ones; Python numbers are converted. Tensors must be on the host.
            index_ids: int64 ``[rows]``, 0 <= id < 2^53, each once; default: the ids of the table or batch.
            if_absent: refuse the part when one of its cells is there already (RowsExist).
            ack: ``"os"`` or ``"disk"``, for more than the partition's own level, never less.
            claim: a claimed batch (or its token) that this put acks in the same step: results and ack together or not
                at all.

        Returns:
            LSNs, ids and ack level; see `Put`.

        Raises:
            FieldMismatch: values do not have the declared layout.
            FieldUnknown: the partition declares its fields, and not this one.
            PartitionSealed: the partition takes no new rows.
            ClaimStale: the claim's lease ended; nothing was put.

        Calls over the server's limits are split by rows, each part atomic by itself.

        >>> put = train.put({"response": [np.array([1, 2, 3]), np.array([4])]}, index_ids=[8, 9])
        >>> put.rows, put.index_ids.tolist(), put.ack
        (2, [8, 9], 'os')
        """
        columns, ids = columns_and_ids(self, data, index_ids)
        query = {name: value for name, value in (("ack", ack), ("if_absent", "1" if if_absent else None)) if value}
        token = claim.claim if isinstance(claim, Batch) else claim
        if claim is not None and token is None:
            raise FixRequest("The batch given as claim was read, not claimed.", code="claim_unknown")
        done = put(self, columns, ids, query=query, claim=token)
        if isinstance(claim, Batch):
            claim.acked_by_put()
        for name, column in columns:
            self._fields.setdefault(name, column.layout)
        return done

    def delete(self, ids: Any) -> int:
        """Deletes rows; ids that are not there are passed over. Returns how many rows were there."""
        ids = encode_ids(ids)
        rows_max = self.client.limits()["read_rows_max"] // 2
        deleted = 0
        for start in range(0, len(ids), rows_max):
            some = ids[start : start + rows_max]
            results = self.client.shards.on_nodes(
                some,
                self.group_size,
                lambda origin, at, some=some: self.client.post_json(  # type: ignore[misc]
                    origin, f"{self.target}/rows:delete", {"ids": (some if at is None else some[at]).tolist()}
                ),
            )
            deleted += sum(int(answer["deleted"]) for _, answer in results)
        return deleted

    # ---- Reading -------------------------------------------------------------------------------------------------

    def get(
        self,
        ids: Any,
        *,
        fields: Sequence[str] | None = None,
        wait_s: float = 0.0,
        lsn: int | Snapshot | None = None,
    ) -> Batch:
        """The rows of these ids, in this order.

        Args:
            ids: int64 ``[rows]``.
            fields: names of the fields to read; default: all that the partition declares.
            wait_s: how long to wait until all rows have all the fields (seconds); 0 does not wait.
            lsn: the state to read, which a snapshot holds (see `Client.snapshot`); default: that of now. Not with
                ``wait_s``.

        Returns:
            A batch whose columns are views of the bytes received. Reads over the server's limits come in several parts,
            whose columns are joined (a copy) when they are first asked for.

        Raises:
            RowsMissing: some are not there and ``wait_s`` is 0.
            TimedOut: some were not there within ``wait_s``.
            Drained: some are not there, and the partition is sealed, so that they will never be.
            LsnUnknown: no snapshot holds the state of ``lsn``.

        >>> batch = train.get([9, 8], fields=["response"])
        >>> batch.index_ids.tolist(), batch["response"].list()
        ([9, 8], [[4], [1, 2, 3]])
        """
        return read_ids(self, encode_ids(ids), Wanted(field_names(fields), lsn), wait_s)

    def scan(
        self,
        start: int = 0,
        end: int = ID_END,
        *,
        fields: Sequence[str] | None = None,
        rows_max: int = SCAN_ROWS_MAX,
        lsn: int | Snapshot | None = None,
    ) -> Iterator[Batch]:
        """The rows with ``start <= id < end`` that have the fields, in batches of at most ``rows_max`` rows.

        Each batch is the state of its moment; with ``lsn`` all are that of one snapshot, as for `get`.

        >>> [batch.index_ids.tolist() for batch in train.scan(0, 100, fields=["response"], rows_max=1)]
        [[8], [9]]
        """
        return read_pages(self, start, end, Wanted(field_names(fields), lsn), rows_max)

    def newest(self, *, fields: Sequence[str] | None = None, after_lsn: int = 0, wait_s: float = 0.0) -> Batch:
        """The row put last that has the fields, as a batch of one row; `Batch.lsn` is its LSN.

        Args:
            fields: names of the fields to read; default: all that the partition declares.
            after_lsn: only a row with a higher LSN; with ``wait_s``, waits for the next version.
            wait_s: how long to wait for it (seconds).

        Raises RowsMissing, TimedOut or Drained as `get` does.

        >>> train.newest(fields=["response"]).lsn == put.lsn
        True
        """
        return read_newest(self, field_names(fields), after_lsn, wait_s)

    # ---- Consuming -----------------------------------------------------------------------------------------------

    def claim(
        self,
        *,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int | None = None,
        sampler: str = "fifo",
        wait_s: float | None = 0.0,
        lease_s: float = 30.0,
        hold_max_s: float = HOLD_MAX_S,
        auto_ack: bool = False,
    ) -> Batch | TimedOut | Drained:
        """Takes rows that have all the fields, and that the task has not consumed, under a lease.

        Args:
            task: name of the consumer group; each task gets each row once, whatever other tasks do.
            fields: the fields that a row must have, and that come with it.
            batch_size: rows to take, at most.
            rows_min: rows to take, at least; default ``batch_size``. The last batch of a sealed partition may be
                smaller.
            sampler: ``"fifo"``, or ``"group"`` for whole groups of ``group_size`` rows.
            wait_s: how long to wait for them (seconds); None waits without an end.
            lease_s: how long the rows are kept from other consumers without a sign of life (seconds).
            hold_max_s: how long the lease is renewed at most (seconds). Renewal goes on while the batch is referenced.
            auto_ack: consume the rows as they are granted: at most once, no lease.

        Returns:
            Batch: rows; end them with ``ack()`` or ``release()``. Several batches may be held at a time.
            TimedOut: too few rows were ready; it says how many were ready, leased to others, or incomplete.
            Drained: the partition is sealed, and the task has consumed all rows.

        >>> batch = train.claim(task="look", fields=["response"], batch_size=2)
        >>> batch.index_ids.tolist(), batch.attempts.tolist()
        ([8, 9], [1, 1])
        >>> batch.release()
        """
        request = ClaimRequest(
            task=task,
            fields=field_names(fields) or [],
            rows_max=batch_size,
            rows_min=rows_min,
            sampler=sampler,
            lease_s=lease_s,
            hold_max_s=hold_max_s,
            auto_ack=auto_ack,
        )
        return claim(self, request, wait_s)

    def consume(
        self,
        *,
        task: str,
        fields: Sequence[str],
        batch_size: int,
        rows_min: int | None = None,
        sampler: str = "fifo",
        wait_s: float | None = None,
        lease_s: float = 30.0,
        hold_max_s: float = HOLD_MAX_S,
        auto_ack: bool = False,
    ) -> Generator[Batch, None, None]:
        """Claims batch after batch, until the partition is sealed and drained. Arguments as for `claim`.

        The lease of the batch at hand renews itself. Ask for the next one only after ``batch.ack()``: a batch that is
        neither acked nor released by then is released, as it is when the loop is left by ``break`` or an exception.
        ``wait_s`` bounds the wait for each batch; when it is over TimedOut is raised (default: wait without an end).

        >>> train.seal() > 0
        True
        >>> for batch in train.consume(task="step", fields=["response"], batch_size=1):
        ...     print(batch["response"].list())
        ...     batch.ack()
        [[1, 2, 3]]
        [[4]]
        """
        request = ClaimRequest(
            task=task,
            fields=field_names(fields) or [],
            rows_max=batch_size,
            rows_min=rows_min,
            sampler=sampler,
            lease_s=lease_s,
            hold_max_s=hold_max_s,
            auto_ack=auto_ack,
        )
        return consume(self, request, wait_s)

    # ---- The whole partition -------------------------------------------------------------------------------------

    def seal(self) -> int:
        """Says that no more rows come; rows that are there may still get fields. Returns the LSN."""
        return self._lsn_of("POST", f"{self.target}:seal")

    def drop(self) -> int:
        """Drops the partition with its rows and claims. Returns the LSN."""
        return self._lsn_of("DELETE", self.target)

    def stats(self) -> dict[str, Any]:
        """What the server says: fields, settings, rows, bytes, LSN, rows per field; leased and consumed rows per
        task."""
        stats: dict[str, Any] = self.client.get_json(self.target)
        self._settings = dict(stats)
        self._fields = _layouts_of(stats)
        return stats

    def _lsn_of(self, method: str, target: str) -> int:
        lsn = 0
        for origin in self.client.shards.current.origins:
            answer = self.client.transport.call(origin, Request(method, target)).json()
            lsn = max(lsn, int(answer["lsn"]))
        return lsn


def _layouts_of(settings: Mapping[str, Any]) -> dict[str, Layout]:
    fields = settings.get("fields") or {}
    if not isinstance(fields, Mapping):
        raise AnswerInvalid("The fields of the partition are not understood.")
    return {name: layout_from_json(layout) for name, layout in fields.items()}

"""A partition as its users see it: put and get here; claims, tags, keys, tasks and changes in modules of their own.

A method that another module makes is assigned here by its name: a function whose first argument is the partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transferq import _consuming, _kv, _tags, _tasks, _watch
from transferq._batch import Batch
from transferq._encode import encode_ids
from transferq._layouts import Layout, layout_from_json
from transferq._protocol import DEFAULTS, ID_END, TAGS_COLUMN
from transferq._put import Put, columns_and_ids, put
from transferq._read import Wanted, field_names, read_ids, read_newest, read_pages
from transferq._tags import Tags
from transferq._transport import Request
from transferq.errors import AnswerInvalid, FixRequest

if TYPE_CHECKING:
    from transferq._client import Client
    from transferq._snapshots import Snapshot

SCAN_ROWS_MAX = int(DEFAULTS["range_rows_max"])


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
        tags: Tags | Sequence[Tags | None] | None = None,
        if_absent: bool = False,
        ack: str | None = None,
        claim: Batch | str | None = None,
        wait_s: float | None = 0.0,
    ) -> Put:
        """Puts fields of rows: all of a part or nothing of it. A cell that is there already is overwritten.

        Rows may get their fields by several puts, in any order and from several processes.

        Args:
            data: dict from field names to values, one per row; or a pyarrow table or record batch; or a `Batch`.
                dense: array or tensor ``[rows, *shape]``. scalar: array or tensor ``[rows]``. ragged: list of arrays or
                tensors, a jagged nested tensor, an Arrow list array, or one array of equal rows. text, json: list.
                dtypes must be the declared ones; Python numbers are converted. Tensors must be on the host.
            index_ids: int64 ``[rows]``, 0 <= id < 2^53, each once; default: the ids of the table or batch.
            tags: one dict for all rows, or a list of one (or None) per row, merged into the tags of the rows as `tag`
                does; they are there no later than the fields.
            if_absent: refuse the part when one of its cells is there already (RowsExist).
            ack: ``"os"`` or ``"disk"``, for more than the partition's own level, never less.
            claim: a claimed batch (or its token) that this put acks in the same step: results and ack together or not
                at all.
            wait_s: how long new rows wait for room in the budgets and the pace of the partition (seconds); 0 does not
                wait, None waits without an end. Rows that are there get their fields without a wait.

        Returns:
            LSNs, ids and ack level; see `Put`.

        Raises:
            FieldMismatch: values do not have the declared layout.
            FieldUnknown: the partition declares its fields, and not this one.
            PartitionSealed: the partition takes no new rows.
            TagsInvalid: tags are not what `tag` takes.
            ClaimStale: the claim's lease ended; nothing was put.
            OverBudget: there was no room for new rows within ``wait_s``; parts before this one are put.

        Calls over the server's limits are split by rows, each part atomic by itself.

        >>> put = train.put({"response": [np.array([1, 2, 3]), np.array([4])]}, index_ids=[8, 9])
        >>> put.rows, put.index_ids.tolist(), put.ack
        (2, [8, 9], 'os')
        """
        columns, ids = columns_and_ids(self, data, index_ids, tags)
        query = {name: value for name, value in (("ack", ack), ("if_absent", "1" if if_absent else None)) if value}
        token = claim.claim if isinstance(claim, Batch) else claim
        if claim is not None and token is None:
            raise FixRequest("The batch given as claim was read, not claimed.", code="claim_unknown")
        done = put(self, columns, ids, query=query, claim=token, wait_s=wait_s)
        if isinstance(claim, Batch):
            claim.acked_by_put()
        for name, column in columns:
            if name != TAGS_COLUMN:
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
            fields: names of the fields to read; default: all that the partition declares. ``"tq_tags"`` among them
                brings the tags, see `Batch.tags`; not with ``lsn``.
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

    # ---- What other modules do -----------------------------------------------------------------------------------

    claim = _consuming.claim
    consume = _consuming.consume

    tag = _tags.tag
    list = _tags.list_rows
    watch = _watch.watch

    kv_put = _kv.kv_put
    kv_batch_put = _kv.kv_batch_put
    kv_get = _kv.kv_get
    kv_batch_get = _kv.kv_batch_get
    kv_list = _kv.kv_list
    kv_clear = _kv.kv_clear

    leases = _tasks.leases
    dead_letters = _tasks.dead_letters
    requeue = _tasks.requeue
    reset_consumption = _tasks.reset_consumption
    advance = _tasks.advance
    why_held = _tasks.why_held

    # ---- The whole partition -------------------------------------------------------------------------------------

    def seal(self) -> int:
        """Says that no more rows come; rows that are there may still get fields. Returns the LSN."""
        return self._lsn_of("POST", f"{self.target}:seal")

    def drop(self) -> int:
        """Drops the partition with its rows and claims. Returns the LSN."""
        return self._lsn_of("DELETE", self.target)

    def stats(self) -> dict[str, Any]:
        """What the server says: fields, settings, rows, bytes, LSN, rows per field, version, evicted rows; leased,
        consumed, dead and skipped rows per task."""
        stats: dict[str, Any] = self.client.get_json(self.target)
        self._settings = dict(stats)
        self._fields = _layouts_of(stats)
        return stats

    def _lsn_of(self, method: str, target: str) -> int:
        lsn = 0
        for origin in self.client.shards.current.origins:
            lsn = max(lsn, self.client.transport.call(origin, Request(method, target)).value("lsn", int))
        return lsn


def _layouts_of(settings: Mapping[str, Any]) -> dict[str, Layout]:
    fields = settings.get("fields") or {}
    if not isinstance(fields, Mapping):
        raise AnswerInvalid("The fields of the partition are not understood.")
    return {name: layout_from_json(layout) for name, layout in fields.items()}

"""Tags and numbers of rows: merged into them, and listed.

    tag    a JSON patch per row, or one for all --requests within the server's limits--> merged on the server
    list   where, ready for a task, or by ids --page by page--> Listing

Invariants: each request is merged whole or not at all, once, however often it is sent; nothing is read back to be
merged here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transferq._encode import encode_ids
from transferq._http import Origin
from transferq._protocol import INDEX_COLUMN
from transferq._read import ID_JSON_SIZE_MAX, JSON_MARGIN, field_names
from transferq._shards import Positions
from transferq._transport import Request
from transferq.errors import AnswerInvalid, FieldMismatch, FixRequest, TagsInvalid

if TYPE_CHECKING:
    from transferq._partition import Partition

Tags: TypeAlias = Mapping[str, Any]

NO_PATCH: Final = ""


@dataclass(frozen=True)
class Listing:
    """Rows without their fields, in the order of their coming, as `Partition.list` gives them.

    Attributes:
        index_ids: int64 ``[n]``, the ids of the rows.
        tags: list of n dicts, the tags of each row; declared numbers are not among them.
        numbers: declared number -> float64 ``[n]``; NaN where a row has none.
        attempts: int32 ``[n]``, of each row, the one that the next claim would be, from 1; None unless the list is of a
            task's ready rows.
    """

    index_ids: NDArray[np.int64]
    tags: list[dict[str, Any]]
    numbers: dict[str, NDArray[np.float64]]
    attempts: NDArray[np.int32] | None

    def __len__(self) -> int:
        return len(self.index_ids)

    def arrow(self) -> Any:
        """A ``pyarrow.Table`` of n rows: ``index_id`` (int64), ``tags`` (utf8: their JSON text, in ASCII), ``attempts``
        (int32) unless they are None, and the numbers (float64), null where a row has none.

        >>> train.list().arrow().column("index_id").to_pylist()
        [8, 9]
        """
        import pyarrow as pa

        columns: dict[str, Any] = {
            INDEX_COLUMN: pa.array(self.index_ids),
            "tags": pa.array([text_of(tags) for tags in self.tags], pa.utf8()),
        }
        if self.attempts is not None:
            columns["attempts"] = pa.array(self.attempts)
        # A number may have any name, also one of these.
        names = [*columns, *self.numbers]
        arrays = [*columns.values(), *(pa.array(values, from_pandas=True) for values in self.numbers.values())]
        return pa.Table.from_arrays(arrays, names=names)


def tag(self: Partition, ids: Any, tags: Tags | Sequence[Tags]) -> int:
    """Merges tags into those of rows, on the server: writers of different tags never undo each other.

    A value replaces the one of the same name, None removes it, and nested objects are merged (RFC 7396). Tags that the
    partition declares as ``numbers`` are kept as float64, and take numbers or None.

    Args:
        ids: int64 ``[rows]``.
        tags: one dict for all rows, or a list of one per row: JSON values under names of letters, digits, ``_`` and
            ``-``; at most 4 KiB per row, as JSON text.

    Returns:
        The LSN.

    Raises:
        RowsMissing: some rows are not there.
        TagsInvalid: a name, a value or the size of tags is not allowed.

    Calls over the server's limits are split by rows, each part atomic by itself.

    >>> train.tag([8, 9], {"status": "finished"}) > put.lsn
    True
    >>> lsn = train.tag([8, 9], [{"judge": {"score": 7}}, {"status": None}])
    >>> train.list().tags
    [{'status': 'finished', 'judge': {'score': 7}}, {}]
    """
    numbers = encode_ids(ids)
    texts = [text or "{}" for text in patch_texts(tags, len(numbers))]
    lsns = [0]

    def on_node(origin: Origin, positions: Positions) -> None:
        mine = numbers if positions is None else numbers[positions]
        theirs = texts if positions is None else [texts[at] for at in positions.tolist()]
        for start, stop in _parts(self, theirs):
            # One text for all rows is sent once.
            alike = len(set(theirs[start:stop])) == 1
            patches = theirs[start] if alike else f"[{','.join(theirs[start:stop])}]"
            body = f'{{"ids":{json.dumps(mine[start:stop].tolist())},"tags":{patches}}}'
            request = Request("POST", f"{self.target}/rows:tag", body.encode())
            lsns.append(self.client.transport.call(origin, request).value("lsn", int))

    self.client.shards.on_nodes(numbers, self.group_size, on_node)
    return max(lsns)


def _parts(partition: Partition, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Row ranges that fit into one request."""
    limits = partition.client.limits()
    room = limits["json_body_bytes_max"] - JSON_MARGIN
    start = size = 0
    for at, text in enumerate(texts):
        needed = ID_JSON_SIZE_MAX + len(text) + 1
        if at > start and (size + needed > room or at - start == limits["list_rows_max"]):
            yield start, at
            start, size = at, 0
        size += needed
    if texts:
        yield start, len(texts)


def patch_texts(tags: Any, rows: int) -> list[str]:
    """The JSON text of each row's tags, which are one dict for all or a list of them; NO_PATCH where one is None."""
    if isinstance(tags, Mapping):
        return [text_of(tags)] * rows
    if not isinstance(tags, list | tuple):
        raise FieldMismatch(f"tags are one dict for all rows, or a list of one per row; not a {type(tags).__name__}.")
    if len(tags) != rows:
        raise FieldMismatch(f"There are tags for {len(tags)} rows, but {rows} ids.")
    return [NO_PATCH if patch is None else text_of(patch) for patch in tags]


def text_of(tags: Any) -> str:
    """Tags as JSON text, all of it ASCII; raises TagsInvalid for what JSON does not have."""
    if not isinstance(tags, Mapping):
        raise TagsInvalid(f"The tags of a row are a dict, not a {type(tags).__name__}.")
    try:
        return json.dumps(dict(tags), separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise TagsInvalid(f"Tags are JSON values: {error}.") from error


def _plain(value: Any) -> Any:
    """Numbers of NumPy and torch, as Python ones."""
    item = getattr(value, "item", None)
    if item is None or getattr(value, "ndim", 1) != 0:
        raise TypeError(f"a {type(value).__name__} is none")
    return item()


def list_rows(
    self: Partition,
    ids: Any = None,
    *,
    where: str | None = None,
    task: str | None = None,
    fields: Sequence[str] | None = None,
    rows_max: int | None = None,
) -> Listing:
    """The rows with their tags and numbers, in the order of their coming. It asks for as many pages as there are.

    Args:
        ids: int64 ``[n]``: only these, as far as they are there; default: all.
        where: only those of a filter: ``'status == "finished" and reward > 0.5'``.
        task: only those that this task could claim now, with ``fields``. So samplers are written: list, choose, and
            claim the ``ids`` that were chosen.
        fields: the fields that rows must have for the task.
        rows_max: at most so many, the oldest ones; default: all.

    Returns:
        Ids, tags, numbers and attempts; see `Listing`. Each page is the state of its moment.

    Raises:
        FilterInvalid: ``where`` is not understood.

    >>> lsn = train.tag([8, 9], [{"reward": 0.25}, {"reward": 0.75}])
    >>> train.list(where="reward > 0.5").index_ids
    array([9])
    >>> ready = train.list(task="best", fields=["response"])
    >>> best = max(range(len(ready)), key=lambda row: ready.tags[row]["reward"])
    >>> batch = train.claim(task="best", fields=["response"], ids=ready.index_ids[[best]])
    >>> batch["response"].list()
    [[4]]
    """
    if (task is None) != (fields is None):
        raise FixRequest("The ready rows of a task are those that have the fields: give both.", code="json_invalid")
    body: dict[str, Any] = {} if where is None else {"where": where}
    if task is not None:
        body["ready"] = {"task": task, "fields": field_names(fields)}
    if ids is None:
        pages = [page for origin in self.client.shards.current.origins for page in _pages(self, origin, body, rows_max)]
        return _joined(pages, rows_max)
    numbers = encode_ids(ids)

    def on_node(origin: Origin, positions: Positions) -> list[dict[str, Any]]:
        mine = numbers if positions is None else numbers[positions]
        some = self.client.limits()["list_rows_max"]
        parts = (mine[start : start + some].tolist() for start in range(0, len(mine), some))
        return [page for part in parts for page in _pages(self, origin, {**body, "ids": part}, rows_max)]

    results = self.client.shards.on_nodes(numbers, self.group_size, on_node)
    return _joined([page for _, pages in results for page in pages], rows_max)


def _pages(
    partition: Partition, origin: Origin, body: dict[str, Any], rows_max: int | None
) -> Iterator[dict[str, Any]]:
    """The pages of one node, until there are rows_max rows."""
    page_rows = partition.client.limits()["list_rows_max"]
    after: int | None = None
    left = rows_max
    while left is None or left > 0:
        rows = page_rows if left is None else min(page_rows, left)
        cursor = {} if after is None else {"after": after}
        page = partition.client.post_json(origin, f"{partition.target}/rows:list", {**body, **cursor, "rows_max": rows})
        try:
            found, after = len(page["ids"]), page["next"]
        except (KeyError, TypeError) as error:
            raise AnswerInvalid("The answer to a list is not understood.") from error
        yield page
        left = None if left is None else left - found
        if after is None:
            return


def _joined(pages: Sequence[Mapping[str, Any]], rows_max: int | None) -> Listing:
    try:
        ids = [index_id for page in pages for index_id in page["ids"]][:rows_max]
        tags = [row for page in pages for row in page["tags"]][:rows_max]
        names = pages[0]["numbers"] if pages else ()
        numbers = {name: [value for page in pages for value in page["numbers"][name]][:rows_max] for name in names}
        counts = [count for page in pages for count in page.get("attempts", ())][:rows_max]
        attempts = np.array(counts, np.int32) if pages and "attempts" in pages[0] else None
        # None becomes NaN.
        columns = {name: np.array(values, np.float64) for name, values in numbers.items()}
        return Listing(np.array(ids, np.int64), tags, columns, attempts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerInvalid("The answer to a list is not understood.") from error

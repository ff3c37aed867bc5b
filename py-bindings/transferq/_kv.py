"""The key-value door: rows by string keys, on the same rows as all else.

    key --53 low bits of xxh64 of its UTF-8--> index_id;  the row's tag tq_key holds the key itself

Invariants: a key never finds the row of another one with the same hash: what is read or deleted by key has that key in
its tag, and a put of the other key is refused with KeyCollision; a key that is missing is an error, unless the caller
says that it may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from transferq._batch import Batch
from transferq._core import core
from transferq._protocol import ID_END, KEY_TAG, TAGS_COLUMN
from transferq._read import field_names
from transferq._tags import Listing, Tags
from transferq.errors import FieldMismatch, FixRequest, KeyCollision, KeysMissing, RowsMissing

if TYPE_CHECKING:
    from transferq._partition import Partition
    from transferq._put import Put

RAISE: Final = "raise"
DROP: Final = "drop"
# Keys that an error names.
KEYS_SHOWN_MAX: Final = 10


def key_id(key: str) -> int:
    """The row id of a key: the 53 low bits of the xxh64 of its UTF-8 bytes, in every language.

    >>> transferq.key_id("prompt-7/0")
    7897639791963416
    """
    try:
        name = key.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise FieldMismatch(f"A key is a string of valid Unicode, not {key!r}.") from error
    if not name:
        raise FieldMismatch("A key has one character at least.")
    return core().xxh64(name) & (ID_END - 1)


def kv_put(
    self: Partition,
    key: str,
    values: Mapping[str, Any],
    *,
    tags: Tags | None = None,
    if_absent: bool = False,
    ack: str | None = None,
    wait_s: float | None = 0.0,
) -> Put:
    """Puts fields of the row of one key; the others of its fields and tags stay.

    Args:
        key: one character at least; it lies in the row's tags, which hold 4 KiB at most.
        values: field -> value of this row: array, tensor, number, text, bytes or JSON value, by the field's layout.
        tags: merged into the row's, see `Partition.tag`.
        if_absent: as for `Partition.put`; so are ``ack`` and ``wait_s``.
        ack: see there.
        wait_s: see there.

    Raises:
        KeyCollision: another key has the same hash, and a row.

    >>> put = train.kv_put("prompt-7/0", {"response": [1, 2]}, tags={"status": "finished"})
    >>> train.kv_get("prompt-7/0")
    {'response': array([1, 2])}
    """
    columns = {name: [value] for name, value in values.items()}
    return kv_batch_put(self, [key], columns, tags=tags, if_absent=if_absent, ack=ack, wait_s=wait_s)


def kv_batch_put(
    self: Partition,
    keys: Sequence[str],
    data: Any,
    *,
    tags: Tags | Sequence[Tags | None] | None = None,
    if_absent: bool = False,
    ack: str | None = None,
    wait_s: float | None = 0.0,
) -> Put:
    """Puts fields of the rows of these keys, each key once. Arguments as for `Partition.put`, errors as for `kv_put`.

    >>> put = train.kv_batch_put(["a", "b"], {"response": [[1], [2, 3]]}, tags=[{"step": 1}, {"step": 2}])
    >>> train.kv_batch_get(["b", "a"])["response"].list()
    [[2, 3], [1]]
    """
    names = _names(keys)
    ids = _distinct_ids(names)
    if tags is None or isinstance(tags, Mapping):
        tags = [tags] * len(names)
    if len(tags) != len(names):
        raise FieldMismatch(f"tags are one dict for all keys, or a list of one for each of {len(names)}.")
    owned = [{**(patch or {}), KEY_TAG: key} for key, patch in zip(names, tags, strict=True)]
    return self.put(data, index_ids=ids, tags=owned, if_absent=if_absent, ack=ack, wait_s=wait_s)


def kv_get(self: Partition, key: str, *, fields: Sequence[str] | None = None, wait_s: float = 0.0) -> dict[str, Any]:
    """The fields of the row of one key.

    Args:
        key: the key.
        fields: names of the fields to read; default: all that the partition declares.
        wait_s: how long to wait until the row has all of them (seconds).

    Returns:
        Field -> value: a NumPy view (bfloat16 as uint16), a NumPy number for scalars, a str, bytes or JSON value.

    Raises:
        KeysMissing: there is no such row, or it lacks fields, and ``wait_s`` is 0.
        TimedOut: it was not there within ``wait_s``.
        Drained: it is not there, and the partition is sealed, so that it will never be.
    """
    batch = kv_batch_get(self, [key], fields=fields, wait_s=wait_s)
    return {name: column.numpy()[0] for name, column in dict(batch).items()}


def kv_batch_get(
    self: Partition,
    keys: Sequence[str],
    *,
    fields: Sequence[str] | None = None,
    missing: str = RAISE,
    wait_s: float = 0.0,
) -> Batch:
    """The rows of these keys, in this order; `Batch.row_keys` are their keys, `Batch.tags` their tags.

    Args:
        keys: the keys.
        fields: names of the fields to read; default: all that the partition declares.
        missing: ``"raise"``, or ``"drop"`` to leave out keys that have no row, or one that lacks fields.
        wait_s: how long to wait until all rows have all the fields (seconds). Not with ``missing="drop"``.

    Raises:
        KeysMissing: some are missing; ``details`` say which.
        TimedOut: some were not there within ``wait_s``.
        Drained: some are not there, and the partition is sealed, so that they will never be.

    >>> put = train.kv_put("a", {"response": [1]})
    >>> batch = train.kv_batch_get(["b", "a"], missing="drop")
    >>> batch.row_keys, batch["response"].list()
    (['a'], [[1]])
    """
    names = _names(keys)
    if missing not in (RAISE, DROP) or (missing == DROP and wait_s > 0):
        raise FixRequest(f'missing is "{RAISE}" or, without a wait, "{DROP}".', code="json_invalid")
    # The tags of the same state tell whose rows they are.
    wanted = [*(self.refresh().fields if fields is None else field_names(fields) or ()), TAGS_COLUMN]
    if missing == DROP:
        return _get_what_is_there(self, names, wanted)
    ids = _ids(names)
    try:
        batch = self.get(ids, fields=wanted, wait_s=wait_s)
    except RowsMissing as error:
        lacking = set(error.details.get("missing", ()))
        shown = [name for name, index_id in zip(names, ids.tolist(), strict=True) if index_id in lacking]
        raise _missing(shown, int(error.details.get("missing_count", len(shown)))) from error
    others = [name for name, tags in zip(names, batch.tags, strict=True) if tags.get(KEY_TAG) != name]
    if others:
        raise _missing(others, len(others))
    return batch.with_keys(names)


def kv_list(self: Partition, *, where: str | None = None) -> dict[str, dict[str, Any]]:
    """The keys and the tags of their rows, declared numbers included; rows that have no key are left out.

    Args:
        where: only rows of a filter: ``'status == "finished" and reward > 0.5'``.

    >>> put = train.kv_batch_put(["a", "b"], {"response": [[1], [2]]}, tags={"status": "finished"})
    >>> lsn = train.tag([transferq.key_id("b")], {"status": "judged"})
    >>> train.kv_list(where='status == "judged"')
    {'b': {'status': 'judged'}}
    """
    listing = _with_key(self, where)
    return {tags[KEY_TAG]: _all_tags(listing, row) for row, tags in enumerate(listing.tags)}


def kv_clear(self: Partition, keys: Sequence[str] | None = None) -> int:
    """Deletes the rows of these keys, or of all keys; those that are not there are passed over. Returns how many there
    were. Rows that have no key stay.

    >>> put = train.kv_batch_put(["a", "b"], {"response": [[1], [2]]})
    >>> train.kv_clear(["b", "c"]), train.kv_clear(), train.kv_list()
    (1, 1, {})
    """
    if keys is None:
        return self.delete(_with_key(self, None).index_ids)
    names = list(dict.fromkeys(_names(keys)))
    return self.delete(_ids(names)[np.array(_owned(self, names), np.bool_)])


def _get_what_is_there(partition: Partition, keys: list[str], fields: list[str]) -> Batch:
    there = [key for key, owned in zip(keys, _owned(partition, keys), strict=True) if owned]
    while True:
        ids = _ids(there)
        try:
            return partition.get(ids, fields=fields).with_keys(there)
        except RowsMissing as error:
            # Rows that lack some of the fields, or were deleted just now. The error names the first of them.
            lacking = set(error.details.get("missing", ()))
            left = [key for key, index_id in zip(there, ids.tolist(), strict=True) if index_id not in lacking]
            if len(left) == len(there):
                raise
            there = left


def _owned(partition: Partition, keys: Sequence[str]) -> list[bool]:
    """Whether the row of each key's id is that of the key."""
    ids = _ids(keys)
    listing = partition.list(np.unique(ids))
    owners = {
        index_id: tags.get(KEY_TAG) for index_id, tags in zip(listing.index_ids.tolist(), listing.tags, strict=True)
    }
    return [owners.get(index_id) == key for key, index_id in zip(keys, ids.tolist(), strict=True)]


def _with_key(partition: Partition, where: str | None) -> Listing:
    """The rows that have keys."""
    return partition.list(where=f"exists {KEY_TAG}" if where is None else f"exists {KEY_TAG} and ({where})")


def _all_tags(listing: Listing, row: int) -> dict[str, Any]:
    numbers = {name: float(values[row]) for name, values in listing.numbers.items() if not np.isnan(values[row])}
    return {**{name: value for name, value in listing.tags[row].items() if name != KEY_TAG}, **numbers}


def _names(keys: Iterable[str]) -> list[str]:
    if isinstance(keys, str):
        raise FieldMismatch(f"keys are a list: [{keys!r}], not {keys!r}.")
    return list(keys)


def _ids(keys: Iterable[str]) -> NDArray[np.int64]:
    return np.fromiter(map(key_id, keys), np.int64)


def _distinct_ids(keys: Sequence[str]) -> NDArray[np.int64]:
    """The ids of keys of one put, which would otherwise fail without naming the keys."""
    ids = _ids(keys)
    owners: dict[int, str] = {}
    for key, index_id in zip(keys, ids.tolist(), strict=True):
        other = owners.setdefault(index_id, key)
        if other != key:
            raise KeyCollision(details={"keys": [other, key]})
    if len(owners) < len(keys):
        raise FieldMismatch("A put takes each key once.", code="ids_duplicate")
    return ids


def _missing(keys: Sequence[str], count: int) -> KeysMissing:
    return KeysMissing(details={"missing": list(keys[:KEYS_SHOWN_MAX]), "missing_count": count})

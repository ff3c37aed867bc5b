"""Typed errors: one class per kind (what the caller should do) and one per code that programs commonly catch.

    TransferQueueError                        code, kind, message, details, status
    ├── RetryLater        kind retry          the same call again later; the client has already tried several times
    │   ├── ConnectionFailed  DeadlineExceeded  AnswerInvalid  ChecksumMismatch
    ├── FixRequest        kind fix_request    it can never work as it is
    │   ├── PartitionUnknown  PartitionConflict  FieldUnknown  FieldMismatch  LayoutInvalid  RowsExist
    │   ├── TagsInvalid  FilterInvalid  KeyCollision  TaskUnknown  BlobMissing
    │   ├── PartitionExists  CheckpointInvalid
    │   ├── BodyTooLarge  AnswerTooLarge  Unauthorized  ClientClosed
    ├── WaitForOthers     kind wait           rows or space must come first
    │   ├── RowsMissing (KeysMissing)  TimedOut  OverBudget  DiskFull  MemoryFull
    └── GiveUp            kind give_up        what was asked for is gone
        ├── PartitionSealed  ClaimUnknown  ClaimStale  BatchUnknown  DataCorrupt  LsnUnknown  Drained

Invariants: every code is in the catalogue of the wire contract or in CLIENT_ERRORS below; a class has the kind of
its code.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from transferq._protocol import ERRORS

# Codes that only a client can raise: code -> (kind, message).
CLIENT_ERRORS: Final[dict[str, tuple[str, str]]] = {
    "connection_failed": ("retry", "The server could not be reached, or the connection broke."),
    "deadline_exceeded": ("retry", "The call did not end within timeout_s."),
    "answer_invalid": ("retry", "The answer is not what this version of the protocol allows."),
    "client_closed": ("fix_request", "The client is closed; connect again."),
    "checkpoint_invalid": ("fix_request", "The directory holds no whole checkpoint of a version that is read here."),
    "keys_missing": ("wait", "Some keys have no row, or one that lacks some of the fields."),
    "timed_out": ("wait", "The rows were not there within wait_s."),
    "drained": ("give_up", "The partition is sealed and no more rows come."),
}


class TransferQueueError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: stable name, as in the catalogue of docs/API.md, e.g. ``"rows_missing"``.
        kind: ``"retry"``, ``"fix_request"``, ``"wait"`` or ``"give_up"``: what the caller should do.
        message: one sentence that says what is wrong and what to do about it.
        details: facts about this occurrence, JSON values.
        status: HTTP status of the answer; None when no server was involved.
    """

    _by_code: ClassVar[dict[str, type[TransferQueueError]]] = {}
    _default_code: ClassVar[str] = "internal"
    _default_kind: ClassVar[str] = "retry"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        kind: str = "",
        details: dict[str, Any] | None = None,
        status: int | None = None,
    ) -> None:
        self.code = code or self._default_code
        known = ERRORS.get(self.code)
        local = CLIENT_ERRORS.get(self.code)
        self.kind = kind or (known[0] if known else local[0] if local else self._default_kind)
        self.message = message or (known[2] if known else local[1] if local else self.code)
        self.details: dict[str, Any] = details or {}
        self.status = status
        super().__init__(self.message)

    def __init_subclass__(cls, *, code: str = "", kind: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if kind:
            cls._default_kind = kind
        if code:
            cls._default_code = code
            TransferQueueError._by_code[code] = cls

    def __str__(self) -> str:
        details = ", ".join(f"{name}={value!r}" for name, value in self.details.items())
        return f"{self.code}: {self.message}" + (f" ({details})" if details else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.kind, self.details, self.status))


class RetryLater(TransferQueueError, kind="retry"):
    """The same call may work later; the client has already tried again within its limits."""


class FixRequest(TransferQueueError, kind="fix_request"):
    """The call can never work as it is."""

    _default_code = "json_invalid"


class WaitForOthers(TransferQueueError, kind="wait"):
    """Rows or space must come first; ask again, or wait with ``wait_s``."""

    _default_code = "rows_missing"


class GiveUp(TransferQueueError, kind="give_up"):
    """What was asked for is gone."""

    _default_code = "claim_unknown"


class ConnectionFailed(RetryLater, code="connection_failed"):
    """The server could not be reached, or the connection broke, in every attempt."""


class DeadlineExceeded(RetryLater, code="deadline_exceeded"):
    """The call did not end within ``timeout_s``. A put or claim may still have happened."""


class AnswerInvalid(RetryLater, code="answer_invalid"):
    """The answer is not what this version of the protocol allows."""


class ChecksumMismatch(RetryLater, code="checksum_mismatch"):
    """Bytes changed on the way, in every attempt."""


class ClientClosed(FixRequest, code="client_closed"):
    """The client was closed before or during the call."""


class PartitionUnknown(FixRequest, code="partition_unknown"):
    """There is no partition of this name."""


class PartitionConflict(FixRequest, code="partition_conflict"):
    """The partition exists with other settings that cannot be changed."""


class PartitionExists(FixRequest, code="partition_exists"):
    """A load brings a partition of a name that is there; nothing was loaded."""


class CheckpointInvalid(FixRequest, code="checkpoint_invalid"):
    """The directory holds no checkpoint, a damaged one, or one of another version."""


class FieldUnknown(FixRequest, code="field_unknown"):
    """The partition does not declare this field."""


class FieldMismatch(FixRequest, code="field_mismatch"):
    """Values do not have the layout that the partition declares for their field."""


class LayoutInvalid(FixRequest, code="layout_invalid"):
    """A field layout is not valid."""


class RowsExist(FixRequest, code="rows_exist"):
    """Some of the cells are there already, and the put asked for ``if_absent``."""


class TagsInvalid(FixRequest, code="tags_invalid"):
    """Tags are small JSON objects with names of letters, digits, ``_`` and ``-``; declared numbers are numbers."""


class FilterInvalid(FixRequest, code="filter_invalid"):
    """The filter of ``where`` is not understood; ``details`` say at which character."""


class KeyCollision(FixRequest, code="key_collision"):
    """Two keys have the same hash; one of them needs another name."""


class BlobMissing(FixRequest, code="blob_missing"):
    """Rows name a blob that the partition does not have, or has no more. ``details``: ``digests``, ``count``."""


class TaskUnknown(FixRequest, code="task_unknown"):
    """No task of this name was declared, and none has claimed."""


class BodyTooLarge(FixRequest, code="body_too_large"):
    """One row alone is larger than a put may be."""


class AnswerTooLarge(FixRequest, code="answer_too_large"):
    """One row alone, or one claim, is larger than an answer may be."""


class Unauthorized(FixRequest, code="unauthorized"):
    """The server wants a token: give ``token=`` or set ``TQ_TOKEN``."""


class RowsMissing(WaitForOthers, code="rows_missing"):
    """Some rows are not there, or lack some of the fields. ``details``: ``missing`` (first ids), ``missing_count``."""


class KeysMissing(RowsMissing, code="keys_missing"):
    """Some keys have no row, or one that lacks some of the fields. ``details``: ``missing`` (first keys),
    ``missing_count``."""


class TimedOut(WaitForOthers, code="timed_out"):
    """A wait ended before the rows were there. Raised by reads, returned by ``Partition.claim``.

    Attributes:
        ready: rows that the task could have had, fewer than it asked for (claims).
        leased: rows of the task that other consumers hold (claims).
        incomplete: rows that still lack some of the fields, or siblings of their group (claims).
        dead: dead letters of the task (claims).
        stale: rows that are too old for the version window (claims with ``window``).
        filtered: rows that the filter leaves out (claims with ``where``).
        missing: rows that are not there or lack some of the fields (reads).
    """

    @property
    def ready(self) -> int:
        return self._count("ready")

    @property
    def leased(self) -> int:
        return self._count("leased")

    @property
    def incomplete(self) -> int:
        return self._count("incomplete")

    @property
    def dead(self) -> int:
        return self._count("dead")

    @property
    def stale(self) -> int:
        return self._count("stale")

    @property
    def filtered(self) -> int:
        return self._count("filtered")

    @property
    def missing(self) -> int:
        return self._count("missing")

    def _count(self, name: str) -> int:
        value = self.details.get(name, 0)
        return len(value) if isinstance(value, list) else int(value)


class OverBudget(WaitForOthers, code="over_budget"):
    """A budget, or the pace, had no room for new rows within ``wait_s``. ``details``: ``budget``, ``limit``, ``used``,
    ``asked``."""


class DiskFull(WaitForOthers, code="disk_full"):
    """The disk of the server is full; reads, claims and acks go on."""


class MemoryFull(WaitForOthers, code="memory_full"):
    """The memory budget of the server is in use, in every attempt."""


class PartitionSealed(GiveUp, code="partition_sealed"):
    """The partition takes no new rows."""


class ClaimUnknown(GiveUp, code="claim_unknown"):
    """There is no such claim, or it ended long ago."""


class ClaimStale(GiveUp, code="claim_stale"):
    """The lease ended and rows of the claim went to another consumer: drop the results."""


class BatchUnknown(GiveUp, code="batch_unknown"):
    """The shared batch was drawn too long ago to be remembered: ask for a later number."""


class DataCorrupt(GiveUp, code="data_corrupt"):
    """Stored bytes fail their checksum; they are not served."""


class LsnUnknown(GiveUp, code="lsn_unknown"):
    """No snapshot holds the state that was asked for: it was closed, its lease is over, or the server was started
    anew."""


class Drained(GiveUp, code="drained"):
    """The partition is sealed and no more rows come. Raised by reads, returned by ``Partition.claim``."""


_BY_KIND: Final[dict[str, type[TransferQueueError]]] = {
    "retry": RetryLater,
    "fix_request": FixRequest,
    "wait": WaitForOthers,
    "give_up": GiveUp,
}


def error_of(
    code: str, *, message: str = "", kind: str = "", details: dict[str, Any] | None = None, status: int | None = None
) -> TransferQueueError:
    """The error of a code: its own class where there is one, else the class of its kind."""
    if not kind:
        kind = ERRORS[code][0] if code in ERRORS else CLIENT_ERRORS[code][0] if code in CLIENT_ERRORS else "retry"
    made_by = TransferQueueError._by_code.get(code) or _BY_KIND.get(kind, TransferQueueError)
    return made_by(message, code=code, kind=kind, details=details, status=status)


def _rebuild(
    made_by: type[TransferQueueError], message: str, code: str, kind: str, details: dict[str, Any], status: int | None
) -> TransferQueueError:
    return made_by(message, code=code, kind=kind, details=details, status=status)

"""Snapshots: the state of one moment, held under a lease, so that many reads see the same rows.

    open, one per node --> reads that name it --> close | lease over: what only it held is given back

Invariants: a read at a snapshot sees all rows as they were when it was opened, or raises LsnUnknown; nothing renews a
lease but `renew`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from transferq._http import Origin
from transferq._protocol import ROUTES
from transferq._transport import Request
from transferq.errors import AnswerInvalid, FixRequest, LsnUnknown, TransferQueueError

if TYPE_CHECKING:
    from transferq._client import Client

PATH: Final = ROUTES["openSnapshot"][1]


@dataclass(frozen=True)
class Held:
    """What one node holds."""

    token: str
    lsn: int


class Snapshot:
    """The state of all partitions when it was opened; made by `Client.snapshot`.

    Reads see it by naming it: ``partition.get(ids, lsn=snapshot.lsn)``. It is held until `close`, until the end of its
    ``with`` block, or until its lease is over. Rows of partitions of ack level ``"memory"`` are not held.

    May be used by several threads and in forked children, and pickles as a handle: whoever reads with it sees the same
    rows. Closing it closes it for all.

    Attributes:
        lease_s: how long it is held without a renewal (seconds).
    """

    def __init__(self, client: Client, held: Mapping[Origin, Held], lease_s: float) -> None:
        self.lease_s = lease_s
        self._client = client
        self._held = dict(held)
        self._closed = False

    def __repr__(self) -> str:
        return f"Snapshot(lsn={self.lsn})"

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Where this fails the lease ends by itself, and an exception on its way out must not be replaced.
        with contextlib.suppress(TransferQueueError):
            self.close()

    @property
    def lsn(self) -> int:
        """LSN of the last change that it sees. With several nodes, whose LSNs differ, the highest; reads then take the
        snapshot itself: ``lsn=snapshot``."""
        return max(held.lsn for held in self._held.values())

    def renew(self, lease_s: float | None = None) -> None:
        """Lets the lease end ``lease_s`` from now (seconds; default: as long as it was opened for).

        Raises LsnUnknown when it was closed, its lease was over, or the server was started anew.

        >>> with tq.snapshot(lease_s=10) as snapshot:
        ...     snapshot.renew(lease_s=60)
        """
        lease_s = self.lease_s if lease_s is None else lease_s
        for origin, held in self._held.items():
            self._client.post_json(origin, f"{PATH}/{held.token}:renew", _lease(lease_s))
        self.lease_s = lease_s

    def close(self) -> None:
        """Lets go of it. A second call does nothing, nor does one after the end of its lease."""
        if self._closed:
            return
        self._closed = True
        for origin, held in self._held.items():
            with contextlib.suppress(LsnUnknown):
                self._client.transport.call(origin, Request("POST", f"{PATH}/{held.token}:close"))

    def lsn_at(self, origin: Origin) -> int:
        """LSN of its state at one node."""
        held = self._held.get(origin)
        if held is None:
            raise LsnUnknown("The snapshot was opened before this node was there.", details={"node": origin.url})
        return held.lsn


def open_snapshot(client: Client, lease_s: float) -> Snapshot:
    """Holds the state of now at every node: at each of them that of the moment when it is asked."""
    snapshot = Snapshot(client, {}, lease_s)
    try:
        for origin in client.shards.current.origins:
            answer = client.post_json(origin, PATH, _lease(lease_s))
            snapshot._held[origin] = _held_of(answer)
    except TransferQueueError:
        with contextlib.suppress(TransferQueueError):
            snapshot.close()
        raise
    return snapshot


def lsn_for(lsn: int | Snapshot, origin: Origin, nodes: int) -> int:
    """The LSN that a read at one of so many nodes names."""
    if isinstance(lsn, Snapshot):
        return lsn.lsn_at(origin)
    if nodes > 1:
        raise FixRequest("Each node has LSNs of its own; give the snapshot itself as lsn.", code="json_invalid")
    return lsn


def _lease(lease_s: float) -> dict[str, int]:
    return {"lease_ms": round(lease_s * 1000)}


def _held_of(answer: Any) -> Held:
    try:
        return Held(str(answer["snapshot"]), int(answer["lsn"]))
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerInvalid("The answer to a snapshot is not understood.") from error

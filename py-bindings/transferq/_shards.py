"""Which node holds a row: every call about rows goes through this map, so that a cluster changes no caller.

    id --floor(id / group_size)--> xxh64 % shards --rendezvous--> node

Invariants: siblings of a group are on one node; a node that answers wrong_node makes the map be read again, once per
call; with one node nothing is hashed, and the URL that the user gave is used, whatever the node calls itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from transferq._core import core
from transferq._http import Answer, Origin
from transferq._transport import WRONG_NODE, Request, Transport
from transferq.errors import AnswerInvalid, TransferQueueError

Result = TypeVar("Result")
Ids = NDArray[np.int64]
# Positions of some rows among the rows of a call; None means all of them, in order.
Positions = NDArray[np.int64] | None


@dataclass(frozen=True)
class ShardMap:
    """One state of the cluster."""

    epoch: int
    # For each shard the place of its node in `origins`.
    owners: NDArray[np.int64]
    origins: tuple[Origin, ...]

    def split(self, ids: Ids, group_size: int) -> Iterator[tuple[Origin, Positions]]:
        """The nodes that hold these rows, each with the positions of its rows."""
        if len(self.origins) == 1 or len(ids) == 0:
            yield self.origins[0], None
            return
        shards = core().shards_of_ids(ids, group_size=group_size, shards=len(self.owners))
        owners = self.owners[np.frombuffer(shards, np.uint32)]
        for owner in np.unique(owners).tolist():
            yield self.origins[owner], np.flatnonzero(owners == owner)


class Shards:
    """Reads the map when it is first needed, and again when it is stale."""

    def __init__(self, transport: Transport, home: Origin) -> None:
        self.home = home
        self._transport = transport
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._map: ShardMap | None = None

    @property
    def current(self) -> ShardMap:
        found = self._map
        return self._refresh(None) if found is None else found

    def call_owner(self, row: int, group_size: int, request: Request, *, timeout_s: float | None = None) -> Answer:
        """The answer of the node that holds this row."""

        def act() -> Answer:
            (origin, _), *_ = self.current.split(np.array([row], np.int64), group_size)
            return self._transport.call(origin, request, timeout_s=timeout_s)

        return self.retrying_moves(act)

    def retrying_moves(self, act: Callable[[], Result]) -> Result:
        """Acts by the map; once more by a new map when a node says that it is the wrong one."""
        known = self.current
        try:
            return act()
        except TransferQueueError as error:
            if error.code != WRONG_NODE:
                raise
        self._refresh(known)
        return act()

    def on_nodes(
        self, ids: Ids, group_size: int, act: Callable[[Origin, Positions], Result]
    ) -> list[tuple[Positions, Result]]:
        """Acts on each node that holds some of the rows; the results come with the positions of their rows."""
        results: list[tuple[Positions, Result]] = []
        known = self.current
        for origin, positions in known.split(ids, group_size):
            try:
                results.append((positions, act(origin, positions)))
            except TransferQueueError as error:
                if error.code != WRONG_NODE:
                    raise
                results.extend(self._again(known, ids, group_size, positions, act))
        return results

    def _again(
        self,
        stale: ShardMap,
        ids: Ids,
        group_size: int,
        positions: Positions,
        act: Callable[[Origin, Positions], Result],
    ) -> Iterator[tuple[Positions, Result]]:
        """The part of a call that went to the wrong node, by the new map."""
        moved = self._refresh(stale)
        for origin, among in moved.split(ids if positions is None else ids[positions], group_size):
            where = positions if among is None else among if positions is None else positions[among]
            yield where, act(origin, where)

    def _refresh(self, stale: ShardMap | None) -> ShardMap:
        with self._lock:
            # Another thread may have read it while this one waited.
            if self._map is stale or self._map is None:
                self._map = self._read()
            return self._map

    def _read(self) -> ShardMap:
        cluster = self._transport.call(self.home, Request("GET", "/v1/cluster")).json()
        try:
            epoch, shards = int(cluster["epoch"]), int(cluster["shards"])
            nodes = [(str(node["id"]), str(node["url"])) for node in cluster["nodes"]]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerInvalid("The shard map of the server is not understood.") from error
        if not nodes or shards < 1:
            raise AnswerInvalid("The shard map of the server names no node.")
        if len(nodes) == 1:
            return ShardMap(epoch, np.zeros(shards, np.int64), (self.home,))
        ranks = core().rendezvous(range(shards), [name for name, _ in nodes], count=1)
        owners = np.array([best for (best,) in ranks], np.int64)
        return ShardMap(epoch, owners, tuple(Origin.of(url) for _, url in nodes))

"""The snapshots of the fake server: copies of its partitions, by token."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any


class FakeSnapshots:
    def __init__(self) -> None:
        # token -> (LSN, partitions by name)
        self.held: dict[str, tuple[int, dict[str, Any]]] = {}
        self.leases_ms: list[int] = []
        self._tokens = itertools.count(1)

    def open(self, lsn: int, partitions: Mapping[str, Any], lease_ms: int) -> dict[str, Any]:
        token = f"1-{next(self._tokens)}"
        copies = {name: copy.copy(partition) for name, partition in partitions.items()}
        for partition in copies.values():
            partition.rows = {row: dict(cells) for row, cells in partition.rows.items()}
        self.held[token] = (lsn, copies)
        self.leases_ms.append(lease_ms)
        return {"snapshot": token, "lsn": lsn, "lease_ms": lease_ms}

    def act(self, token: str, verb: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Renews or closes; None when there is no such snapshot."""
        if token not in self.held:
            return None
        lsn, _ = self.held[token]
        if verb == "close":
            del self.held[token]
            return {"lsn": lsn}
        self.leases_ms.append(request["lease_ms"])
        return {"lsn": lsn, "lease_ms": request["lease_ms"]}

    def at(self, name: str, lsn: int) -> Any:
        """The partition as it was; None when no snapshot holds that."""
        return next((copies.get(name) for held, copies in self.held.values() if held == lsn), None)

"""The calls of a run, rebuilt from the histories: each call from the line before it and the line after it.

    lines of a worker --Tail--> WorkerCalls.read --> Call(op, ids, began_at, ended_at, end, ...)

A claim and the call that ends it point at each other: `finish` and `claim`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transferq.demo.history import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Call:
    """One call to the store; `end` is "unknown" as long as there is no line after it."""

    worker: str
    op: str
    partition: str
    began_at: float
    task: str
    lease_s: float
    ids: list[int]
    digests: dict[str, list[int]]
    byte_count: int
    claim: Call | None  # the claim that this call acks
    version: int | None  # what this call advances to
    end: str = "unknown"
    asked_at: float = math.inf  # when the store was asked, at the earliest: a loader asks before it is waited for
    ended_at: float = math.inf
    attempts: list[int] = field(default_factory=list)
    finish: Call | None = None  # the call that acks this claim

    @property
    def is_prompt_put(self) -> bool:
        """Whether it brings new rows to train on; such a put waits for the pace."""
        return self.op == "put" and self.partition == "train" and self.claim is None

    @property
    def latency_ms(self) -> float:
        return (self.ended_at - self.began_at) * 1000


class WorkerCalls:
    """The calls of one worker so far; `read` takes in what its history has gained since."""

    def __init__(self, path: Path, on_fact: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.worker = path.stem
        self.calls: dict[int, Call] = {}
        self._tail = Tail(path)
        self._on_fact = on_fact

    def read(self) -> list[Call]:
        """Take in new lines; returns the calls that ended in them."""
        ended: list[Call] = []
        for line in self._tail.lines():
            if "op" in line:
                self._begin(line)
            elif "end" in line:
                ended.append(self._end(line))
            elif self._on_fact is not None:
                self._on_fact(line)
        return ended

    def holds_claim(self) -> bool:
        """Whether this worker has rows that it has not begun to ack."""
        return any(call.op == "claim" and call.end == "ok" and call.finish is None for call in self.calls.values())

    def _begin(self, line: dict[str, Any]) -> None:
        claim = self.calls[line["acks"]] if "acks" in line else None
        call = Call(
            worker=self.worker,
            op=line["op"],
            partition=line["partition"],
            began_at=line["at"],
            task=line.get("task", claim.task if claim else ""),
            lease_s=line.get("lease_s", 0.0),
            ids=line.get("ids", claim.ids if claim else []),
            digests=line.get("digests", {}),
            byte_count=line.get("bytes", 0),
            claim=claim,
            version=line.get("version"),
            asked_at=line["at"],
        )
        # A trainer that goes on from a checkpoint acks what its former life may have acked already.
        if claim is not None and (claim.finish is None or claim.finish.end != "ok"):
            claim.finish = call
        self.calls[line["call"]] = call

    def _end(self, line: dict[str, Any]) -> Call:
        call = self.calls[line["call"]]
        call.end, call.ended_at = line["end"], line["at"]
        call.ids = line.get("ids", call.ids)
        call.digests = line.get("digests", call.digests)
        call.byte_count = line.get("bytes", call.byte_count)
        call.asked_at = line.get("asked_at", call.asked_at)
        call.attempts = line.get("attempts", [])
        return call

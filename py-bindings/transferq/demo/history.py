"""The history of one worker: a line before each call to the store and a line after it, each written at once.

    {"at":T,"call":4,"op":"claim","partition":"train","task":"rollout","lease_s":8}              before
    {"at":T,"call":4,"end":"ok","ids":[..],"attempts":[..],"digests":{field:[..]},"bytes":N}     after
    {"at":T,"call":5,"op":"put","partition":"train","acks":4,"ids":[..],"digests":{..},"bytes":N}
    {"at":T,"call":5,"end":"ok"}                     end: ok, refused, drained, or no line at all: outcome unknown
    {"at":T,"call":9,"end":"ok","asked_at":T,...}    a claim that was asked for before it was waited for
    {"at":T,"fact":"step","version":3,...}           something worth showing that is not a call

`at` is the monotonic clock, which all processes of one host share. A line is one write to the operating system, so
`kill -9` of the worker keeps all lines before it and at most tears the last one. The digest of a row's version, which
is a tag, is that number.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class History:
    """Appends the calls of one worker to its file."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        tail = Tail(path)
        # A worker that is started again under its name counts on; a line that its former life tore is cut off.
        self._calls = max((line["call"] for line in tail.lines() if "call" in line), default=0)
        os.ftruncate(self._file, tail.offset)

    def invoke(self, op: str, **about: Any) -> int:
        """Note that a call begins; returns its number."""
        self._calls += 1
        self._write({"at": time.monotonic(), "call": self._calls, "op": op, **about})
        return self._calls

    def answer(self, call: int, end: str, **about: Any) -> None:
        """Note how call number `call` ended."""
        self._write({"at": time.monotonic(), "call": call, "end": end, **about})

    def fact(self, name: str, **about: Any) -> None:
        """Note something that is not a call."""
        self._write({"at": time.monotonic(), "fact": name, **about})

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if os.write(self._file, data) != len(data):
            raise OSError("a line of the history was written in part: is the disk full?")


class Tail:
    """Reads what a history file has gained since the last look; a torn last line waits for its rest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.offset = 0

    def lines(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self.offset += whole
        for line in data[:whole].splitlines():
            yield json.loads(line)

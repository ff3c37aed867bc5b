"""The partitions of the fake server: their rows, tags and tasks, and what filters mean to them."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import pyarrow as pa

WORD = re.compile(r"""("[^"]*"|'[^']*')|exists\s+([A-Za-z_][\w-]*)|\b([A-Za-z_][\w-]*)\b""")
OPERATORS = {"and": "and", "or": "or", "not": "not", "in": "in", "true": "True", "false": "False", "null": "None"}
CHANGES_KEPT = 64


class Refused(Exception):
    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def storage(array: Any) -> Any:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


class FakePartition:
    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.fields: dict[str, dict[str, Any]] = {}
        self.group_size = settings.get("group_size", 1)
        self.ack = settings.get("ack", "os")
        self.open = settings.get("open", "fields" not in settings)
        self.sealed = False
        self.lsn = 0
        self.version = 0
        self.settings: dict[str, Any] = {}
        self.declare(settings)
        # Tags and numbers by id.
        self.tags: dict[int, dict[str, Any]] = {}
        self.changes: deque[dict[str, Any]] = deque(maxlen=CHANGES_KEPT)
        # (task, name, number) -> one outcome per part: ids, or None for a wait that timed out.
        self.batches: dict[tuple[str, str, int], list[tuple[str, list[int]] | None]] = {}
        # id -> field -> (one-row array, LSN)
        self.rows: dict[int, dict[str, tuple[Any, int]]] = {}
        # task -> id -> (state, attempt, token, deadline)
        self.tasks: dict[str, dict[int, tuple[str, int, str, float]]] = {}

    def declare(self, settings: dict[str, Any]) -> None:
        for name in ("tasks", "numbers", "release", "rows_max", "bytes_max", "pace", "retention"):
            if name not in settings:
                continue
            known = self.settings.get(name)
            if name == "tasks":
                self.settings[name] = {**(known or {}), **settings[name]}
            elif name == "numbers":
                self.settings[name] = list(dict.fromkeys([*(known or []), *settings[name]]))
            else:
                self.settings[name] = settings[name]

    def merge(self, row: int, patch: dict[str, Any]) -> None:
        """RFC 7396; a key that a row has cannot change."""
        tags = self.tags.setdefault(row, {})
        if tags.get("tq_key", patch.get("tq_key")) != patch.get("tq_key", tags.get("tq_key")):
            raise Refused("key_collision", row=row)
        self.tags[row] = merged(tags, patch)

    def matches(self, where: str | None) -> Any:
        """Whether a row fits the filter, as a function of its id. Only for filters that tests write."""
        if where is None:
            return lambda row: True

        def as_python(found: re.Match[str]) -> str:
            text, exists, word = found.groups()
            if exists:
                return f"('{exists}' in tags)"
            return text or OPERATORS.get(word) or f"tags.get('{word}')"

        code = compile(WORD.sub(as_python, where), where, "eval")

        def fits(row: int) -> bool:
            try:
                return bool(eval(code, {}, {"tags": self.tags.get(row, {})}))
            except TypeError:
                return False

        return fits

    def note(self, change: str, ids: list[int], **rest: Any) -> None:
        self.changes.append({"lsn": self.lsn, "change": change, "rows": len(ids), "ids": ids[:256], **rest})

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fields": self.fields,
            "group_size": self.group_size,
            "ack": self.ack,
            "open": self.open,
            "sealed": self.sealed,
            "rows": len(self.rows),
            "lsn": self.lsn,
            "version": self.version,
            **self.settings,
            "tasks": {},
        }


def merged(tags: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in tags.items() if patch.get(name, name) is not None}
    for name, value in patch.items():
        if isinstance(value, dict):
            known = result.get(name)
            result[name] = merged(known if isinstance(known, dict) else {}, value)
        elif value is not None:
            result[name] = value
    return result

"""Tags, lists, changes and tasks of the fake server."""

from __future__ import annotations

import json
import time
from typing import Any

import fake_claims
from fake_partition import FakePartition, Refused


def tag(store: Any, partition: FakePartition, _: Any, request: dict[str, Any]) -> dict[str, Any]:
    ids, tags = request["ids"], request["tags"]
    store.check_owner(partition, ids)
    if len(ids) > store.limits["list_rows_max"]:
        raise Refused("json_invalid")
    missing = [row for row in ids if row not in partition.rows]
    if missing:
        raise Refused("rows_missing", missing=missing[:10], missing_count=len(missing))
    for row, patch in zip(ids, tags if isinstance(tags, list) else [tags] * len(ids), strict=True):
        partition.merge(row, patch)
    partition.lsn = next(store.lsns)
    partition.note("tag", ids)
    return {"lsn": partition.lsn, "rows": len(ids)}


def list_rows(store: Any, partition: FakePartition, _: Any, request: dict[str, Any]) -> dict[str, Any]:
    store.check_owner(partition, request.get("ids", []))
    fits = partition.matches(request.get("where"))
    found = [row for row in request.get("ids", partition.rows) if row in partition.rows and fits(row)]
    if "ready" in request:
        asked = {"task": request["ready"]["task"], "fields": request["ready"]["fields"]}
        task = partition.tasks.setdefault(asked["task"], {})
        free, _counts = fake_claims.ready(partition, asked)
        found = [row for row in found if row in free]
    start = request.get("after", 0)
    page = found[start : start + request["rows_max"]]
    numbers = partition.settings.get("numbers", [])
    tags = [partition.tags.get(row, {}) for row in page]
    answer: dict[str, Any] = {
        "ids": page,
        "tags": [{name: value for name, value in some.items() if name not in numbers} for some in tags],
        "numbers": {name: [some.get(name) for some in tags] for name in numbers},
        "next": start + len(page) if start + len(page) < len(found) else None,
    }
    if "ready" in request:
        answer["attempts"] = [task.get(row, fake_claims.UNCLAIMED)[1] + 1 for row in page]
    return answer


def advance(store: Any, partition: FakePartition, request: dict[str, Any]) -> dict[str, Any]:
    if request["version"] < partition.version:
        raise Refused("version_behind", version=partition.version)
    partition.version = request["version"]
    partition.lsn = next(store.lsns)
    return {"lsn": partition.lsn, "version": partition.version}


def watch(store: Any, partition: FakePartition, query: dict[str, str]) -> dict[str, Any]:
    after = int(query.get("after_lsn", partition.lsn))
    for last in store.wait(int(query.get("wait_ms", "0"))):
        newer = [change for change in partition.changes if change["lsn"] > after]
        if newer or last:
            kept_from = partition.changes[0]["lsn"] if len(partition.changes) == partition.changes.maxlen else 0
            return {"lsn": max(after, partition.lsn), "changes": newer, "missed": after + 1 < kept_from}
    raise AssertionError


def act(store: Any, partition: FakePartition, parts: list[str], query: dict[str, str], body: bytes) -> dict[str, Any]:
    if parts == ["leases"]:
        return {"leases": _leases(store, partition)}
    if parts[0] == "rows":
        row = int(parts[1].removesuffix(":held"))
        if row not in partition.rows:
            raise Refused("rows_missing", missing=[row], missing_count=1)
        return {"id": row, "fields": {}, "tasks": {}, "because": "Nobody has deleted it."}
    name, _, verb = parts[1].partition(":")
    if name not in partition.tasks and name not in partition.settings.get("tasks", {}):
        raise Refused("task_unknown", task=name)
    task = partition.tasks.setdefault(name, {})
    dead = [row for row, (state, *_) in task.items() if state == "dead"]
    if parts[2:] == ["dead-letters"]:
        start, rows_max = int(query.get("after", "0")), int(query.get("rows_max", "1024"))
        page = dead[start : start + rows_max]
        rows = [{"id": row, "attempts": task[row][1]} for row in page]
        return {"rows": rows, "next": start + len(page) if start + len(page) < len(dead) else None}
    if verb == "requeue":
        chosen = [row for row in json.loads(body).get("ids", dead) if row in dead]
        task.update((row, fake_claims.UNCLAIMED) for row in chosen)
        return {"lsn": next(store.lsns), "rows": len(chosen)}
    rows = len(task)
    task.clear()
    return {"lsn": next(store.lsns), "rows": rows}


def _leases(store: Any, partition: FakePartition) -> list[dict[str, Any]]:
    found = []
    for token, (owner, task, ids) in store.claims.items():
        state, attempt, held_by, deadline = owner.tasks[task].get(ids[0], fake_claims.UNCLAIMED)
        if owner is partition and state == "leased" and held_by == token:
            left_ms = round((deadline - time.monotonic()) * 1000)
            found.append({"claim": token, "task": task, "rows": len(ids), "ids": ids[:16], "attempts_max": attempt})
            found[-1]["left_ms"] = left_ms
    return found

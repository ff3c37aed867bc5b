"""The claims of the fake server: granted, shared, renewed, ended."""

from __future__ import annotations

import json
import time
from typing import Any

from fake_partition import FakePartition, Refused

UNCLAIMED = ("unclaimed", 0, "", 0.0)


def claim(store: Any, partition: FakePartition, _: Any, request: dict[str, Any]) -> Any:
    partition.tasks.setdefault(request["task"], {})
    began = time.monotonic()
    shared = request.get("batch")
    rows_max = len(request["ids"]) if "ids" in request else request["rows_max"]
    group = partition.group_size if request.get("sampler") == "group" else 1
    for last in store.wait(request.get("wait_ms", 0)):
        if shared is not None and _batch_key(request) in partition.batches:
            return _share(store, partition, request)
        lingered = "linger_ms" in request and time.monotonic() - began >= request["linger_ms"] / 1000
        easy = lingered or (last and request.get("partial", False))
        rows_min = 1 if easy or "ids" in request else request.get("rows_min", rows_max)
        free, counts = ready(partition, request)
        if group > 1:
            whole = [row // group for row in free]
            free = [row for row in free if whole.count(row // group) == group]
        taken = free[: rows_max - rows_max % group]
        enough = bool(taken) and (len(taken) >= rows_min or partition.sealed)
        if shared is not None and (enough or last):
            parts = shared.get("parts", 1)
            size = len(taken) // parts if enough else 0
            partition.batches[_batch_key(request)] = [
                _grant(store, partition, request, taken[part * size : (part + 1) * size]) if size else None
                for part in range(parts)
            ]
            # Who asked first hears why it is empty.
            return _share(store, partition, request) if enough else _timed_out({"ready": len(free), **counts})
        if enough:
            token, ids = _grant(store, partition, request, taken)
            return _answer(store, partition, request, token, ids, partial=easy and len(taken) < rows_max)
        if partition.sealed and not any(counts.values()) and not free:
            return 200, {"tq-outcome": "drained"}, b'{"outcome":"drained"}'
        if last:
            return _timed_out({"ready": len(free), **counts})
    raise AssertionError


def ready(partition: FakePartition, request: dict[str, Any]) -> tuple[list[int], dict[str, int]]:
    task, fits, now = partition.tasks[request["task"]], partition.matches(request.get("where")), time.monotonic()
    free, counts = [], {"leased": 0, "incomplete": 0, "dead": 0}
    for row, cells in partition.rows.items():
        state, _attempt, _token, deadline = task.get(row, UNCLAIMED)
        if state == "dead":
            counts["dead"] += 1
        elif state == "leased" and deadline > now:
            counts["leased"] += 1
        elif state == "consumed" or not fits(row) or row not in request.get("ids", [row]):
            continue
        elif all(name in cells for name in request["fields"]):
            free.append(row)
        else:
            counts["incomplete"] += 1
    return free, counts


def _batch_key(request: dict[str, Any]) -> tuple[str, str, int]:
    return request["task"], request["batch"]["name"], request["batch"]["number"]


def _share(store: Any, partition: FakePartition, request: dict[str, Any]) -> Any:
    outcome = partition.batches[_batch_key(request)][request["batch"].get("part", 0)]
    return _timed_out({"ready": 0}) if outcome is None else _answer(store, partition, request, *outcome)


def _timed_out(counts: dict[str, int]) -> Any:
    return 200, {"tq-outcome": "timed_out"}, json.dumps({"outcome": "timed_out", **counts}).encode()


def _grant(store: Any, partition: FakePartition, request: dict[str, Any], ids: list[int]) -> tuple[str, list[int]]:
    token = f"c{next(store.tokens)}"
    state = "consumed" if request.get("auto_ack") else "leased"
    task = partition.tasks[request["task"]]
    for row in ids:
        attempt = task.get(row, UNCLAIMED)[1] + 1
        task[row] = (state, attempt, token, time.monotonic() + request["lease_ms"] / 1000)
    store.claims[token] = (partition, request["task"], ids)
    return token, ids


def _answer(
    store: Any, partition: FakePartition, request: dict[str, Any], token: str, ids: list[int], *, partial: bool = False
) -> Any:
    headers = {"tq-claim": token, "tq-lease-ms": str(request["lease_ms"]), **({"tq-partial": "1"} if partial else {})}
    attempts = [partition.tasks[request["task"]][row][1] for row in ids]
    return store.answer(partition, ids, request["fields"], headers, attempts)


def end(store: Any, token: str, verb: str, body: bytes) -> dict[str, Any]:
    if token not in store.claims:
        raise Refused("claim_unknown")
    partition, task, ids = store.claims[token]
    states = partition.tasks[task]
    if any(states.get(row, UNCLAIMED)[2] != token for row in ids):
        raise Refused("claim_stale")
    attempts_max = partition.settings.get("tasks", {}).get(task, {}).get("max_attempts")
    lease_ms = json.loads(body)["lease_ms"] if verb == "renew" else 0
    for row in ids:
        _, attempt, _, deadline = states[row]
        if verb == "renew":
            states[row] = ("leased", attempt, token, time.monotonic() + lease_ms / 1000)
        elif verb == "ack":
            states[row] = ("consumed", attempt, token, deadline)
        else:
            states[row] = ("dead" if attempt == attempts_max else "unclaimed", attempt, token, deadline)
    if verb == "renew":
        store.renewals.append(token)
        return {"lease_ms": lease_ms}
    if verb == "release":
        del store.claims[token]
    return {"lsn": next(store.lsns)}

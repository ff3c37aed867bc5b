"""What a partition's tasks stand at, and what can be done about them: leases, dead letters, versions, held bytes.

Invariants: on several nodes each is asked, and the answers are joined; a change is made at each of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

from transferq._encode import encode_ids
from transferq._http import Answer
from transferq._protocol import NAME_PATTERN
from transferq._transport import Request
from transferq.errors import AnswerInvalid, error_of

if TYPE_CHECKING:
    from transferq._partition import Partition

# Inside Partition the name `list` is a method.
Leases: TypeAlias = list[dict[str, Any]]


def advance(self: Partition, version: int) -> int:
    """Publishes the version of the policy that is trained now, which windows and the pace count from. Returns the LSN.

    Args:
        version: 0 <= version < 2^53, and not below the one before (FixRequest, code ``version_behind``).

    >>> train.advance(3) > put.lsn
    True
    >>> train.stats()["version"]
    3
    """
    body = json.dumps({"version": version}).encode()
    return max(answer.value("lsn", int) for answer in _everywhere(self, "POST", f"{self.target}:advance", body))


def leases(self: Partition) -> Leases:
    """The claims under a lease, the oldest first, and 1,024 at most.

    Returns:
        Per claim: ``claim``, its number; ``task``; ``rows``, how many; ``ids``, the first 16; ``attempts_max``, the
        highest attempt of a row; ``lease_ms`` and ``left_ms``, how long the lease is and still runs; ``fields``.

    >>> batch = train.claim(task="look", fields=["response"], batch_size=2)
    >>> [(lease["task"], lease["ids"], lease["attempts_max"]) for lease in train.leases()]
    [('look', [8, 9], 1)]
    """
    answers = _everywhere(self, "GET", f"{self.target}/leases")
    try:
        return [lease for answer in answers for lease in answer.json()["leases"]]
    except (KeyError, TypeError) as error:
        raise AnswerInvalid("The leases of the partition are not understood.") from error


def dead_letters(self: Partition, task: str, *, rows_max: int | None = None) -> dict[int, int]:
    """The dead letters of a task: rows that came back from the last of ``max_attempts`` attempts (see `Task`).

    Args:
        task: a task that was declared, or that has claimed.
        rows_max: at most so many; default: all.

    Returns:
        Row id -> attempts.

    Raises:
        TaskUnknown: there is no such task.

    >>> train = tq.partition(train.name, tasks={"judge": transferq.Task(max_attempts=1)})
    >>> train.claim(task="judge", fields=["response"], batch_size=1).release()
    >>> train.dead_letters("judge")
    {8: 1}
    >>> train.requeue("judge")
    1
    """
    dead: dict[int, int] = {}
    for origin in self.client.shards.current.origins:
        after: Any = None
        while rows_max is None or len(dead) < rows_max:
            query = {} if after is None else {"after": after}
            if rows_max is not None:
                query["rows_max"] = min(rows_max - len(dead), self.client.limits()["list_rows_max"])
            target = f"{_task(self, task)}/dead-letters"
            request = Request("GET", f"{target}?{urlencode(query)}" if query else target)
            page = self.client.transport.call(origin, request).json()
            try:
                dead.update((int(row["id"]), int(row["attempts"])) for row in page["rows"])
                after = page["next"]
            except (KeyError, TypeError, ValueError) as error:
                raise AnswerInvalid("The dead letters of the task are not understood.") from error
            if after is None:
                break
    return dead


def requeue(self: Partition, task: str, ids: Any = None) -> int:
    """Makes dead letters claimable again, from their first attempt on. Returns how many rows were dead.

    Args:
        task: the task whose dead letters they are.
        ids: int64 ``[n]``: only these; default: all.

    Raises TaskUnknown when there is no such task.

    >>> train = tq.partition(train.name, tasks=["judge"])
    >>> train.requeue("judge", [8, 9])
    0
    """
    target = f"{_task(self, task)}:requeue"
    if ids is None:
        return sum(answer.value("rows", int) for answer in _everywhere(self, "POST", target, b"{}"))
    numbers = encode_ids(ids)
    rows_max = self.client.limits()["list_rows_max"]
    rows = 0
    for start in range(0, len(numbers), rows_max):
        some = numbers[start : start + rows_max]
        results = self.client.shards.on_nodes(
            some,
            self.group_size,
            lambda origin, at, some=some: self.client.transport.call(  # type: ignore[misc]
                origin,
                Request("POST", target, json.dumps({"ids": (some if at is None else some[at]).tolist()}).encode()),
            ),
        )
        rows += sum(answer.value("rows", int) for _, answer in results)
    return rows


def reset_consumption(self: Partition, task: str) -> int:
    """Makes all rows claimable by the task as if it had never claimed any, for another epoch. Claims of it that are
    held end stale (ClaimStale). Returns how many rows it had consumed or held.

    Raises TaskUnknown when there is no such task.

    >>> train.claim(task="train", fields=["response"], batch_size=2).ack()
    >>> train.reset_consumption("train")
    2
    >>> len(train.claim(task="train", fields=["response"], batch_size=2))
    2
    """
    return sum(answer.value("rows", int) for answer in _everywhere(self, "POST", f"{_task(self, task)}:reset"))


def why_held(self: Partition, index_id: int) -> dict[str, Any]:
    """Why the bytes of a row are still there: fields, tasks that have not consumed it, claims, snapshots, neighbours.

    Returns:
        JSON values, for people more than for programs; ``because`` says it in a sentence.

    Raises:
        RowsMissing: there is no such row.

    >>> sorted(set(train.why_held(8)) & {"fields", "tasks", "because"})
    ['because', 'fields', 'tasks']
    """
    request = Request("GET", f"{self.target}/rows/{int(index_id)}:held")
    held: dict[str, Any] = self.client.shards.call_owner(int(index_id), self.group_size, request).json()
    return held


def _task(partition: Partition, task: str) -> str:
    if not re.fullmatch(NAME_PATTERN, task):
        raise error_of("name_invalid", details={"task": task[:200]})
    return f"{partition.target}/tasks/{task}"


def _everywhere(partition: Partition, method: str, target: str, body: bytes = b"") -> Iterator[Answer]:
    request = Request(method, target, body)
    for origin in partition.client.shards.current.origins:
        yield partition.client.transport.call(origin, request)

"""What a partition declares of its queue, and how a claim draws rows: the words of both, as data.

    declared   Task, Pace, Retention         of a partition, by `Client.partition`
    drawn      Window, Tokens, Group, SharedBatch    of a claim

Invariants: they are immutable and pickle; what is None is left out, so that the server's defaults hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from transferq.errors import FixRequest

# Takes a declared budget, pace or retention back.
NONE: Final = "none"
Nothing: TypeAlias = Literal["none"]


@dataclass(frozen=True)
class Task:
    """A declared task: a consumer group whose consumption the partition waits for.

    Attributes:
        max_attempts: a row that comes back for the last of so many attempts is a dead letter of the task: it is not
            given out again until `Partition.requeue`. None: rows come back without an end.
    """

    max_attempts: int | None = None


@dataclass(frozen=True)
class Pace:
    """How far producers may be ahead: ``(version + max_ahead + 1) * rows_per_version`` rows are admitted in all.

    So no rollout is begun that would be too old when it is trained. The version rises by `Partition.advance`. Rows that
    a task skipped do not count: others may come in their place.

    Attributes:
        rows_per_version: rows that one version of the policy is trained on.
        max_ahead: versions that producers may be ahead; 0 is on-policy.

    >>> tq.partition("paced", pace=transferq.Pace(rows_per_version=512, max_ahead=1)).stats()["pace"]
    {'rows_per_version': 512, 'max_ahead': 1}
    """

    rows_per_version: int
    max_ahead: int


@dataclass(frozen=True)
class Retention:
    """Which rows are evicted: only those that every declared task consumed, the oldest first.

    Attributes:
        rows_max: consumed rows that are kept.
        age_s_max: how long a consumed row is kept after it came (seconds).
    """

    rows_max: int | None = None
    age_s_max: float | None = None


@dataclass(frozen=True)
class Window:
    """Which rows are fresh enough: those of version ``>= max(min_version, current - max_staleness)``.

    The current version is the one of `Partition.advance`. The window is judged when rows are drawn. Rows without a
    version are not drawn.

    Attributes:
        min_version: the lowest version.
        max_staleness: how many versions a row may be behind the current one.
        by: the declared number that is a row's version; default ``"version"``.
        on_stale: what becomes of rows that are too old: ``"keep"`` (default) leaves them, for other windows;
            ``"skip"`` ends them for the task, and counts them as ``skipped``.
    """

    min_version: int | None = None
    max_staleness: int | None = None
    by: str | None = None
    on_stale: str | None = None


@dataclass(frozen=True)
class Tokens:
    """As many rows, in the order of the sampler, as have so many tokens together; groups are kept whole.

    Attributes:
        max: tokens of a batch, at most.
        by: the declared number that is a row's count of tokens; default ``"length"``.
    """

    max: int
    by: str | None = None


@dataclass(frozen=True)
class Group:
    """How the sampler ``"group"`` finds groups, and when one is whole.

    Attributes:
        by: a declared number: rows with the same one are a group, wherever their ids are. Default: rows with the same
            ``id // group_size``.
        survivors_min: a group with so many ready rows counts as whole once it did not change for ``wait_s``: the
            others failed. Those that come later are passed over.
        wait_s: see ``survivors_min`` (seconds).
    """

    by: str | None = None
    survivors_min: int | None = None
    wait_s: float | None = None


@dataclass(frozen=True)
class SharedBatch:
    """A batch that several processes draw together: all who ask for the same part of it get the same rows.

    Who asks first draws ``batch_size`` rows for all parts. Equal askers get equal answers, also at the same time, also
    when the first one died, also where no row came in time. So all ranks of a training job see the same steps, and
    nobody hands rows from one to the other. The time-out of a wait is what became of this number, for all of them.
    Processes that train on the same part hold one claim: the first ack consumes its rows, a release gives them back.

    Attributes:
        name: of the job, for example. Each name has its own numbers.
        number: which batch, from 0; `Partition.consume` counts on from there.
        part: which part this process trains on, from 0: its data-parallel rank.
        parts: how many parts there are; each has rows of its own, as many as the others.
        balance_by: a declared number that parts are balanced by, as a length, in place of equal counts.
    """

    name: str
    number: int = 0
    part: int = 0
    parts: int = 1
    balance_by: str | None = None

    def next(self) -> SharedBatch:
        """The same part of the batch after this one.

        >>> transferq.SharedBatch("ppo", 7, part=1, parts=2).next().number
        8
        """
        return dataclasses.replace(self, number=self.number + 1)


Policy: TypeAlias = "Task | Pace | Retention | Window | Tokens | Group | SharedBatch"


def to_json(policy: Policy) -> dict[str, Any]:
    """The words of the wire: without those that are None, and times in milliseconds."""
    given = {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)}
    return dict(_milliseconds(name, value) for name, value in given.items() if value is not None)


def _milliseconds(name: str, value: Any) -> tuple[str, Any]:
    if name == "wait_s":
        return "wait_ms", round(value * 1000)
    return ("age_ms_max", round(value * 1000)) if name == "age_s_max" else (name, value)


def declaration(
    *,
    tasks: Mapping[str, Task] | Iterable[str] | None,
    release: str | None,
    numbers: Iterable[str] | None,
    rows_max: int | Nothing | None,
    bytes_max: int | Nothing | None,
    pace: Pace | Nothing | None,
    retention: Retention | Nothing | None,
) -> dict[str, Any]:
    """What a partition declares of its queue, as JSON; null takes back what was declared."""
    for name, names in (("tasks", tasks), ("numbers", numbers)):
        if isinstance(names, str):
            raise FixRequest(f"{name} are a list of names: [{names!r}], not {names!r}.", code="json_invalid")
    body: dict[str, Any] = {} if release is None else {"release": release}
    if tasks is not None:
        declared = tasks if isinstance(tasks, Mapping) else {task: Task() for task in tasks}
        body["tasks"] = {name: to_json(task) for name, task in declared.items()}
    if numbers is not None:
        body["numbers"] = list(numbers)
    for name, bound in (("rows_max", rows_max), ("bytes_max", bytes_max), ("pace", pace), ("retention", retention)):
        if bound is not None:
            body[name] = None if bound == NONE else to_json(bound) if isinstance(bound, Pace | Retention) else bound
    return body

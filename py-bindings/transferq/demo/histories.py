"""Judges a finished run by the workers' own histories; of the server it only takes how many rows it says it skipped.

    lost         rows of acknowledged prompt puts that no effective ack of the last task covers, the skipped ones aside
    skipped      such rows that the store says it skipped: as many as it says, of those that were too old in the end
    too_old      rows drawn for training although their version was outside the window by then
    duplicated   (task, row) pairs delivered twice: a grant that is not the last one although it was acked, attempts
                 that do not rise, or a grant while the lease of an earlier one was still running for certain
    corrupt      cells whose bytes, as read, are not the bytes of any put of that cell that may have taken effect
    redelivered  rows granted again after a lease ended without an ack: allowed, counted apart

An ack without an answer (its worker was killed, or the call failed) may or may not have taken effect: it never counts
as effective, but its values count as possibly written. Attempts of one (task, row) rise with each grant, so what came
after what needs no clock; only the overlap of leases does, and there every doubt is in the store's favour.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from transferq.demo.schema import LAST_TASK
from transferq.demo.settings import VERSION

if TYPE_CHECKING:
    from transferq.demo.calls import Call


class Grant(NamedTuple):
    """One row in one claim. The lease began in between `call.asked_at` and `call.ended_at`."""

    attempt: int
    call: Call

    @property
    def acked(self) -> bool:
        return self.call.finish is not None and self.call.finish.end == "ok"

    def still_runs_at(self, at: float) -> bool:
        """Whether the lease runs at this time for certain: not yet expired, and its holder has not begun to end it."""
        ending = self.call.finish is not None and self.call.finish.began_at <= at
        return not ending and at < self.call.asked_at + self.call.lease_s


@dataclass(frozen=True)
class Verdict:
    """What the histories prove; `samples` are the rows that were trained on with an effective ack."""

    samples: int
    skipped: int
    lost: int
    too_old: int
    duplicated: int
    corrupt: int
    redelivered: int
    refused: int
    unknown: int

    @property
    def clean(self) -> bool:
        return self.lost == self.too_old == self.duplicated == self.corrupt == 0


class Ages:
    """The versions of rows against the version of the partition over time; each doubt is in the store's favour."""

    def __init__(self, calls: list[Call], max_staleness: int) -> None:
        self._max_staleness = max_staleness
        self._advances = [(call.ended_at, call.version) for call in calls if call.version is not None]
        self._newest = max((version for _, version in self._advances), default=0)
        # The oldest version that a put which may have taken effect has tagged the row with.
        self._versions: dict[int, int] = {}
        for call in calls:
            if call.op == "put" and call.partition == "train" and call.end != "refused" and VERSION in call.digests:
                for row, version in zip(call.ids, call.digests[VERSION], strict=True):
                    self._versions[row] = min(version, self._versions.get(row, version))

    def may_be_skipped(self, row: int) -> bool:
        """Whether the window left the row behind before the end."""
        return self._versions.get(row, self._newest) < self._newest - self._max_staleness

    def count_too_old(self, grant: Call) -> int:
        """Rows of a claim that the window had left behind before the claim was asked for."""
        known = (version for ended_at, version in self._advances if ended_at <= grant.asked_at)
        oldest = max(known, default=0) - self._max_staleness
        return sum(version < oldest for version in grant.digests.get(VERSION, []))


def judge(calls: list[Call], *, max_staleness: int, skipped_told: int) -> Verdict:
    """The verdict on the calls of a run that has drained."""
    grants = _grants(calls)
    ages = Ages(calls, max_staleness)
    written = {row for call in calls if call.is_prompt_put and call.end == "ok" for row in call.ids}
    trained = {row for (task, row), each in grants.items() if task == LAST_TASK and any(g.acked for g in each)}
    missing = written - trained
    skipped = min(skipped_told, sum(ages.may_be_skipped(row) for row in missing))
    return Verdict(
        samples=len(trained),
        skipped=skipped,
        lost=len(missing) - skipped,
        too_old=sum(ages.count_too_old(call) for call in calls if _is_grant(call) and call.task == LAST_TASK),
        duplicated=sum(_delivered_twice(each) for each in grants.values()),
        corrupt=_count_corrupt(calls),
        redelivered=sum(grant.attempt > 1 for each in grants.values() for grant in each),
        refused=sum(call.end == "refused" for call in calls),
        unknown=sum(call.end == "unknown" for call in calls),
    )


def _grants(calls: list[Call]) -> dict[tuple[str, int], list[Grant]]:
    """The grants of each (task, row) by rising attempt."""
    grants: dict[tuple[str, int], list[Grant]] = defaultdict(list)
    for call in calls:
        if _is_grant(call):
            for row, attempt in zip(call.ids, call.attempts, strict=True):
                grants[call.task, row].append(Grant(attempt, call))
    for each in grants.values():
        each.sort(key=lambda grant: (grant.attempt, grant.call.began_at))
    return grants


def _delivered_twice(grants: list[Grant]) -> bool:
    return any(
        earlier.acked or earlier.attempt == later.attempt or earlier.still_runs_at(later.call.ended_at)
        for earlier, later in pairwise(grants)
    )


def _is_grant(call: Call) -> bool:
    return call.op == "claim" and call.end == "ok"


def _count_corrupt(calls: list[Call]) -> int:
    """Cells that were read with bytes that nobody can have written."""
    written: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    for call in calls:
        if call.op == "put" and call.end != "refused":
            for name, digests in call.digests.items():
                for row, digest in zip(call.ids, digests, strict=True):
                    written[call.partition, name, row].add(digest)
    return sum(
        digest not in written[call.partition, name, row]
        for call in calls
        if call.op in ("claim", "read")
        for name, digests in call.digests.items()
        for row, digest in zip(call.ids, digests, strict=True)
    )

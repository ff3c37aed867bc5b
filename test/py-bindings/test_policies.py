"""The words of a partition's queue and of claims, as they go over the wire."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import transferq
from fake_server import FakeStore
from rows import FIELDS
from transferq import Client, Group, Pace, Retention, SharedBatch, Task, Tokens, Window
from transferq._claims import ClaimRequest, Draw, Hold, Size
from transferq._policies import to_json

WORDS: list[tuple[Any, dict[str, Any]]] = [
    (Task(), {}),
    (Task(max_attempts=3), {"max_attempts": 3}),
    (Pace(rows_per_version=8, max_ahead=0), {"rows_per_version": 8, "max_ahead": 0}),
    (Retention(rows_max=5, age_s_max=1.5), {"rows_max": 5, "age_ms_max": 1500}),
    (Window(min_version=0), {"min_version": 0}),
    (Window(max_staleness=2, by="step", on_stale="skip"), {"max_staleness": 2, "by": "step", "on_stale": "skip"}),
    (Tokens(4096), {"max": 4096}),
    (Group(by="prompt", survivors_min=3, wait_s=0.25), {"by": "prompt", "survivors_min": 3, "wait_ms": 250}),
    (SharedBatch("ppo", 7), {"name": "ppo", "number": 7, "part": 0, "parts": 1}),
]


@pytest.mark.parametrize(("policy", "expected"), WORDS, ids=[str(policy) for policy, _ in WORDS])
def test_what_is_not_given_is_left_to_the_server(policy: Any, expected: dict[str, Any]) -> None:
    assert to_json(policy) == expected
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_a_partition_declares_its_queue(tq: Client, store: FakeStore) -> None:
    tq.partition(
        "p",
        fields=FIELDS,
        tasks={"actor": Task(max_attempts=3), "reward": Task()},
        release="consumed",
        numbers=["length", "version"],
        rows_max=100,
        bytes_max=1 << 30,
        pace=Pace(rows_per_version=8, max_ahead=1),
        retention=Retention(age_s_max=60),
    )
    declared = store.partitions["p"].settings
    assert declared["tasks"] == {"actor": {"max_attempts": 3}, "reward": {}}
    assert (declared["release"], declared["numbers"]) == ("consumed", ["length", "version"])
    assert declared["pace"] == {"rows_per_version": 8, "max_ahead": 1}
    assert declared["retention"] == {"age_ms_max": 60_000}
    tq.partition("p", tasks=["late"], rows_max="none", pace="none")
    assert set(declared["tasks"]) == {"actor", "reward", "late"}
    assert (declared["rows_max"], declared["bytes_max"], declared["pace"]) == (None, 1 << 30, None)
    for wrong in ({"tasks": "actor"}, {"numbers": "length"}):
        with pytest.raises(transferq.FixRequest, match="a list of names"):
            tq.partition("p", **wrong)  # type: ignore[arg-type]


def request_of(*, partial: bool = False, linger_s: float | None = None) -> ClaimRequest:
    return ClaimRequest(
        task="t",
        fields=["x"],
        draw=Draw(sampler="fifo", by=None, seed=None, where=None, tokens=None, window=None, group=None),
        size=Size(rows_max=4, rows_min=None, ids=None, partial=partial, linger_s=linger_s),
        hold=Hold(lease_s=1, hold_max_s=1, auto_ack=False),
        batch=None,
    )


def test_a_claim_says_only_what_was_said() -> None:
    assert request_of().to_json() == {
        "task": "t",
        "fields": ["x"],
        "rows_max": 4,
        "sampler": "fifo",
        "lease_ms": 1000,
    }


def test_what_counts_from_the_start_of_a_wait_does_so_over_several_requests() -> None:
    request = request_of(partial=True, linger_s=2.0)
    first = request.to_json(waited_s=0.5, last=False)
    assert ("partial" in first, first["linger_ms"]) == (False, 1500)
    assert request.to_json(waited_s=3.0, last=True)["linger_ms"] == 0
    assert request.to_json(waited_s=3.0, last=True)["partial"] is True

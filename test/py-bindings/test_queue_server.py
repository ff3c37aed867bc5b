"""The streaming queue through the client, against the real server: every word of a claim, budgets, tags, restarts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transferq
from transferq import (
    Batch,
    Client,
    Drained,
    Group,
    OverBudget,
    Pace,
    Scalar,
    SharedBatch,
    Task,
    TimedOut,
    Tokens,
    Window,
)
from transferq.testing import start_server

ROWS = 12
NUMBERS = ["length", "version", "priority", "weight", "prompt"]


def rows_of(tq: Client, name: str, **settings: Any) -> transferq.Partition:
    """Row i has i tokens, the version i // 2, the priority i % 5, and one of three prompts."""
    partition = tq.partition(name, fields={"x": Scalar("int64")}, numbers=NUMBERS, **settings)
    tags = [
        {
            "length": row,
            "version": row // 2,
            "priority": row % 5,
            "weight": row,
            "prompt": row % 3,
            "even": row % 2 == 0,
        }
        for row in range(ROWS)
    ]
    partition.put({"x": np.arange(ROWS)}, index_ids=np.arange(ROWS), tags=tags)
    return partition


def claimed(outcome: Batch | TimedOut | Drained) -> list[int]:
    assert isinstance(outcome, Batch), outcome
    assert outcome["x"].list() == outcome.index_ids.tolist()
    return outcome.index_ids.tolist()


def test_samplers_and_what_cuts_them(real: Client) -> None:
    rows = rows_of(real, "samplers")

    def take(task: str, **words: Any) -> list[int]:
        return claimed(rows.claim(**{"task": task, "fields": ["x"], "batch_size": 4, "rows_min": 1, **words}))

    assert take("priority", sampler="priority") == [4, 9, 3, 8]
    assert take("by", sampler="priority", by="length", batch_size=2) == [11, 10]
    drawn = take("weighted", sampler="weighted", seed=7)
    assert len(set(drawn)) == 4
    assert 0 not in drawn
    assert take("weighted-again", sampler="weighted", seed=7) == drawn
    assert take("tokens", tokens=Tokens(10), batch_size=ROWS) == [0, 1, 2, 3, 4]
    assert take("where", where="even == true and length >= 4") == [4, 6, 8, 10]
    assert take("window", window=Window(min_version=4), batch_size=ROWS) == [8, 9, 10, 11]
    assert sorted(take("prompt", sampler="group", group=Group(by="prompt"), batch_size=ROWS)) == list(range(ROWS))
    with pytest.raises(transferq.FixRequest, match="row_over_budget"):
        take("stuck", where="length > 5", tokens=Tokens(3))
    with pytest.raises(transferq.FixRequest, match="number_unknown"):
        take("no-number", tokens=Tokens(3, by="nothing"))
    with pytest.raises(transferq.FixRequest, match="sampler_unknown"):
        take("no-sampler", sampler="nothing")
    with pytest.raises(transferq.FilterInvalid):
        take("no-filter", where="even ==")


def test_groups_that_lost_rows_come_after_a_wait(real: Client) -> None:
    rows = real.partition("survivors", fields={"x": Scalar("int64")}, group_size=4)
    rows.put({"x": [0, 1, 2]}, index_ids=[0, 1, 2])
    words: dict[str, Any] = {"task": "t", "fields": ["x"], "batch_size": 4, "sampler": "group"}
    assert isinstance(rows.claim(**words, wait_s=0.05), TimedOut)
    survivors = Group(survivors_min=3, wait_s=0.2)
    batch = rows.claim(**words, rows_min=1, group=survivors, wait_s=20)
    assert claimed(batch) == [0, 1, 2]
    assert isinstance(batch, Batch)
    batch.ack()
    rows.put({"x": [3]}, index_ids=[3])
    assert isinstance(rows.claim(**words, rows_min=1, group=survivors, wait_s=0.05), TimedOut)


def test_stale_rows_are_kept_or_passed_over(real: Client) -> None:
    rows = rows_of(real, "stale")
    rows.advance(5)
    rows.seal()
    words: dict[str, Any] = {"fields": ["x"], "batch_size": ROWS, "rows_min": 1}
    kept = rows.claim(task="keep", **words, window=Window(max_staleness=1))
    assert claimed(kept) == [8, 9, 10, 11]
    passed = rows.claim(task="skip", **words, window=Window(max_staleness=1, on_stale="skip"))
    assert claimed(passed) == [8, 9, 10, 11]
    for batch in (kept, passed):
        assert isinstance(batch, Batch)
        batch.ack()
    outcome = rows.claim(task="keep", **words, window=Window(max_staleness=1))
    assert isinstance(outcome, TimedOut)
    assert outcome.stale == 8
    assert isinstance(rows.claim(task="skip", **words, window=Window(max_staleness=1)), Drained)
    tasks = rows.stats()["tasks"]
    assert (tasks["keep"]["skipped"], tasks["skip"]["skipped"]) == (0, 8)


def test_tags_come_with_their_rows(real: Client) -> None:
    rows = real.partition("with-tags", fields={"x": Scalar("int64")}, numbers=["length"])
    rows.put({"x": [1, 2]}, index_ids=[1, 2], tags=[{"length": 2, "text": "\u4e16"}, None])
    expected = [{}, {"length": 2, "text": "\u4e16"}]
    assert rows.get([2, 1], fields=["x", "tq_tags"]).tags == expected
    batch = rows.claim(task="t", fields=["x", "tq_tags"], batch_size=2)
    assert isinstance(batch, Batch)
    assert (batch.tags, list(batch), batch.attempts.tolist()) == (expected[::-1], ["x"], [1, 1])
    assert [page.tags for page in rows.scan(fields=["x", "tq_tags"], rows_max=1)] == [[tags] for tags in expected[::-1]]


def test_small_batches_are_marked(real: Client) -> None:
    rows = rows_of(real, "small")
    for task, words in {
        "partial": {"partial": True, "wait_s": 0.05},
        "linger": {"linger_s": 0.05, "wait_s": 20},
    }.items():
        batch = rows.claim(task=task, fields=["x"], batch_size=50, **words)  # type: ignore[arg-type]
        assert len(claimed(batch)) == ROWS
        assert isinstance(batch, Batch)
        assert batch.partial
    whole = rows.claim(task="whole", fields=["x"], batch_size=ROWS, partial=True)
    assert isinstance(whole, Batch)
    assert not whole.partial


def test_a_pace_lets_producers_be_so_far_ahead(real: Client) -> None:
    rows = real.partition("pace", fields={"x": Scalar("int64")}, pace=Pace(rows_per_version=4, max_ahead=1))
    rows.put({"x": range(8)}, index_ids=range(8))
    with pytest.raises(OverBudget) as raised:
        rows.put({"x": [8]}, index_ids=[8])
    assert raised.value.details["budget"] == "pace"
    timer = threading.Timer(0.05, rows.advance, (1,))
    timer.start()
    assert rows.put({"x": [8]}, index_ids=[8], wait_s=20).rows == 1
    timer.join()


def test_rows_that_all_tasks_consumed_make_room(real: Client) -> None:
    rows = real.partition(
        "released", fields={"x": Scalar("int64")}, tasks=["a", "b"], release="consumed", rows_max=ROWS
    )
    rows.put({"x": range(ROWS)}, index_ids=range(ROWS))

    def consume(task: str) -> None:
        batch = rows.claim(task=task, fields=["x"], batch_size=ROWS)
        assert isinstance(batch, Batch)
        batch.ack()

    consume("a")
    with pytest.raises(OverBudget):
        rows.put({"x": [0]}, index_ids=[99])
    timer = threading.Timer(0.05, consume, ("b",))
    timer.start()
    rows.put({"x": [0]}, index_ids=[99], wait_s=20)
    timer.join()
    assert 99 in rows.list().index_ids


def test_what_was_agreed_lives_through_a_kill(tmp_path: Path) -> None:
    with start_server(tmp_path) as server, transferq.connect(server.url) as tq:
        rows = rows_of(tq, "p", tasks={"t": Task(max_attempts=1)})
        rows.kv_put("a", {"x": 7}, tags={"n": 1})
        rows.advance(3)
        shared = {"fields": ["x"], "batch_size": 4, "lease_s": 60}
        first = rows.claim(task="u", **shared, batch=SharedBatch("job", parts=2))  # type: ignore[arg-type]
        dead = rows.claim(task="t", fields=["x"], batch_size=2)
        assert isinstance(first, Batch)
        assert isinstance(dead, Batch)
        dead.release()
        tagged = rows.list()
        server.kill()
        server.restart()
        again = rows.list()
        assert (again.index_ids.tolist(), again.tags) == (tagged.index_ids.tolist(), tagged.tags)
        for name, values in tagged.numbers.items():
            np.testing.assert_array_equal(again.numbers[name], values)
        assert rows.kv_list() == {"a": {"n": 1}}
        assert rows.stats()["version"] == 3
        assert rows.dead_letters("t") == {0: 1, 1: 1}
        same = rows.claim(task="u", **shared, batch=SharedBatch("job", parts=2))  # type: ignore[arg-type]
        assert isinstance(same, Batch)
        assert (same.claim, claimed(same)) == (first.claim, claimed(first))
        other = rows.claim(task="u", **shared, batch=SharedBatch("job", part=1, parts=2))  # type: ignore[arg-type]
        assert claimed(other) == [2, 3]
        first.ack()
        same.ack()


def test_many_watchers_see_every_change(real: Client) -> None:
    rows = real.partition("watched", fields={"x": Scalar("int64")})
    watches = [rows.watch(wait_s=20) for _ in range(4)]
    found: list[list[int]] = [[] for _ in watches]

    def follow(number: int) -> None:
        for change in watches[number]:
            found[number].extend(change.ids)
            if 99 in change.ids:
                return

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(len(watches))]
    for thread in threads:
        thread.start()
    for row in [*range(50), 99]:
        rows.put({"x": [row]}, index_ids=[row])
    for thread in threads:
        thread.join()
    assert found == [[*range(50), 99]] * len(watches)

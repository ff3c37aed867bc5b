"""The check of the histories, one small story per case; and what a history keeps of a worker that was killed."""

from __future__ import annotations

import json

import pytest
from transferq.demo.calls import WorkerCalls
from transferq.demo.histories import judge
from transferq.demo.history import History, Tail
from transferq.demo.report import quantile

LEASE_S = 10


def story(folder, *lines):
    """Calls from lines `worker at number what`, where `what` is as in STORIES below."""
    files = {}
    for text in lines:
        worker, at, number, op, *rest = text.split()
        line = {"at": float(at), "call": int(number)}
        words = dict(word.split("=") for word in rest)
        if op in ("ok", "refused"):
            line |= {"asked_at": float(words["asked"])} if "asked" in words else {}
            line["end"] = op
        else:
            line |= {"op": op, "partition": "train"}
        line |= {name: int(words[name]) for name in ("acks", "version") if name in words}
        if "task" in words:
            line |= {"task": words["task"], "lease_s": LEASE_S}
        if "rows" in words:
            line["ids"] = [int(row) for row in words["rows"].split(",")]
            line["digests"] = {"prompt": [int(words.get("digest", 7))] * len(line["ids"])}
        if "tag" in words:
            line["digests"] = {"version": [int(words["tag"])] * len(line["ids"])}
        if "attempt" in words:
            line["attempts"] = [int(words["attempt"])] * len(line["ids"])
        files.setdefault(worker, []).append(json.dumps(line))
    calls = []
    for worker, texts in files.items():
        path = folder / f"{worker}.jsonl"
        path.write_text("\n".join(texts) + "\n")
        history = WorkerCalls(path)
        history.read()
        calls += history.calls.values()
    return calls


PUT = ("prompts 0 1 put rows=1", "prompts 1 1 ok")
CLAIM = ("a 2 1 claim task=actor_update", "a 3 1 ok rows=1 attempt=1")
ACK = ("a 4 2 ack acks=1", "a 5 2 ok")


# A sample of version 3, and the trainer's version at 5; the window is of 2 versions.
TAGGED = (*PUT, "r 1 1 claim task=rollout", "r 1 1 ok rows=1 attempt=1", "r 1 2 put acks=1 rows=1 tag=3", "r 1 2 ok")


def advanced(version):
    return (f"t 4 1 advance version={version}", "t 5 1 ok")


def trained(words):
    return ("a 6 1 claim task=actor_update", f"a 7 1 ok rows=1 attempt=1 {words}", "a 8 2 ack acks=1", "a 9 2 ok")


def again(at, attempt, worker="b"):
    return (f"{worker} {at} 1 claim task=actor_update", f"{worker} {at + 1} 1 ok rows=1 attempt={attempt}")


STORIES = {
    "all well": ((*PUT, *CLAIM, *ACK), {}),
    "never trained on": ((*PUT, *CLAIM), {"lost": 1, "samples": 0}),
    "put without answer is not owed": (PUT[:1], {"samples": 0, "unknown": 1}),
    "ack without answer is no ack": ((*PUT, *CLAIM, ACK[0]), {"lost": 1, "samples": 0, "unknown": 1}),
    "redelivered after the lease": (
        (*PUT, *CLAIM, *again(20, 2), "b 22 2 ack acks=1", "b 23 2 ok"),
        {"redelivered": 1},
    ),
    "refused ack, then trained by another": (
        (*PUT, *CLAIM, *again(20, 2), "a 30 2 ack acks=1", "a 31 2 refused", "b 32 2 ack acks=1", "b 33 2 ok"),
        {"redelivered": 1, "refused": 1},
    ),
    "given back early by its holder": (
        (*PUT, *CLAIM, "a 4 2 ack acks=1", "a 9 2 refused", *again(5, 2), "b 8 2 ack acks=1", "b 9 2 ok"),
        {"redelivered": 1, "refused": 1},
    ),
    "two leases at once": (
        (*PUT, *CLAIM, *again(5, 2), "b 8 2 ack acks=1", "b 9 2 ok"),
        {"duplicated": 1, "redelivered": 1},
    ),
    "granted after an effective ack": (
        (*PUT, *CLAIM, *ACK, *again(30, 2)),
        {"duplicated": 1, "redelivered": 1},
    ),
    "two effective acks": (
        (*PUT, *CLAIM, *ACK, *again(30, 2), "b 32 2 ack acks=1", "b 33 2 ok"),
        {"duplicated": 1, "redelivered": 1},
    ),
    "an attempt twice": (
        (*PUT, *CLAIM, *again(30, 1), "b 32 2 ack acks=1", "b 33 2 ok"),
        {"duplicated": 1},
    ),
    "acked again from a checkpoint": ((*PUT, *CLAIM, *ACK, "a 40 3 ack acks=1", "a 41 3 ok"), {}),
    "skipped, since it was too old": ((*TAGGED, *advanced(6)), {"skipped": 1, "samples": 0}),
    "skipped although it was not": ((*TAGGED, *advanced(5)), {"lost": 1, "samples": 0}),
    "too old in the end, but lost": ((*TAGGED, *advanced(6)), {"lost": 1, "samples": 0}),
    "drawn in the window": ((*TAGGED, *advanced(5), *trained("tag=3")), {}),
    "drawn when it was too old": ((*TAGGED, *advanced(6), *trained("tag=3")), {"too_old": 1}),
    "drawn ahead, before it was too old": ((*TAGGED, *advanced(6), *trained("tag=3 asked=4.5")), {}),
    "another tag than was put": ((*TAGGED, *trained("tag=4")), {"corrupt": 1}),
    "other bytes than were put": ((*PUT, CLAIM[0], CLAIM[1] + " digest=8", *ACK), {"corrupt": 1}),
    "bytes of a refused put": (
        (*PUT, *CLAIM, "a 4 2 put acks=1 rows=1 digest=8", "a 5 2 refused", *again(20, 2), "b 22 2 ack acks=1",
         "b 23 2 ok", "c 30 1 read", "c 31 1 ok rows=1 digest=8"),
        {"corrupt": 1, "redelivered": 1, "refused": 1},
    ),
    "bytes of a put that may have taken effect": (
        (*PUT, *CLAIM, *ACK, "d 4 1 put rows=1 digest=8", "c 30 1 read", "c 31 1 ok rows=1 digest=8"),
        {"unknown": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_verdict_of_a_story(tmp_path, name):
    lines, expected = STORIES[name]
    verdict = judge(story(tmp_path, *lines), max_staleness=2, skipped_told=1 if "skipped" in name else 0)
    none = dict.fromkeys(
        ("skipped", "lost", "too_old", "duplicated", "corrupt", "redelivered", "refused", "unknown"), 0
    )
    assert vars(verdict) == {"samples": 1, **none, **expected}


def test_a_torn_last_line_waits_for_its_rest(tmp_path):
    path = tmp_path / "worker.jsonl"
    history, tail = History(path), Tail(path)
    history.fact("step", version=1)
    with path.open("ab") as file:
        file.write(b'{"fact":"step","ver')
    assert [line["version"] for line in tail.lines()] == [1]
    assert list(tail.lines()) == []
    with path.open("ab") as file:
        file.write(b'sion":2}\n')
    assert [line["version"] for line in tail.lines()] == [2]


def test_a_worker_holds_a_claim_until_it_begins_to_ack(tmp_path):
    path = tmp_path / "worker.jsonl"
    history, seen = History(path), WorkerCalls(path)
    call = history.invoke("claim", partition="train", task="rollout", lease_s=8)
    seen.read()
    assert not seen.holds_claim()
    history.answer(call, "ok", ids=[1], attempts=[1], digests={}, bytes=0)
    seen.read()
    assert seen.holds_claim()
    history.invoke("ack", partition="train", acks=call)
    seen.read()
    assert not seen.holds_claim()


def test_quantiles():
    ordered = [float(value) for value in range(1, 101)]
    assert (quantile(ordered, 0.5), quantile(ordered, 0.99), quantile([], 0.5)) == (51.0, 100.0, 0.0)


def test_a_worker_that_is_started_again_counts_on(tmp_path):
    path = tmp_path / "worker.jsonl"
    history = History(path)
    claim = history.invoke("claim", partition="train", task="actor_update", lease_s=8)
    history.answer(claim, "ok", ids=[1], attempts=[1], digests={}, bytes=0)
    with path.open("ab") as file:
        file.write(b'{"at":1,"call":2,"op":"ack","acks":1')
    again = History(path)
    assert again.invoke("ack", partition="train", acks=claim) == 2
    seen = WorkerCalls(path)
    seen.read()
    assert seen.calls[1].finish is seen.calls[2]

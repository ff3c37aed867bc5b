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
            line["end"] = op
        else:
            line |= {"op": op, "partition": "train"}
        line |= {name: int(words[name]) for name in ("acks", "lease_s") if name in words}
        if "task" in words:
            line |= {"task": words["task"], "lease_s": LEASE_S}
        if "rows" in words:
            line["ids"] = [int(row) for row in words["rows"].split(",")]
            line["digests"] = {"prompt": [int(words.get("digest", 7))] * len(line["ids"])}
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
    verdict = judge(story(tmp_path, *lines))
    none = dict.fromkeys(("lost", "duplicated", "corrupt", "redelivered", "refused", "unknown"), 0)
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

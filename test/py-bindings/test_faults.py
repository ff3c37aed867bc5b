"""The shared fault script (C6): retries, pauses, deadlines, and nothing left behind."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import transferq
from fault_server import SCRIPT, serve_faults
from transferq import Batch, Client, RetryPolicy, TransferQueueError


def call(tq: Client, case: dict[str, Any]) -> None:
    partition = tq.partition("p")
    if case["call"] == "put":
        rows = case.get("rows", 1)
        put = partition.put({"x": np.full(rows, 1.5, np.float32)}, index_ids=np.arange(7, 7 + rows))
        assert put.lsn == 5
    elif case["call"] == "snapshot":
        snapshot = tq.snapshot(lease_s=30)
        assert (snapshot.lsn, snapshot.lease_s) == (5, 30)
    elif case["call"] in ("get", "get_at"):
        batch = partition.get([7], fields=["x"], lsn=5 if case["call"] == "get_at" else None)
        assert (batch.index_ids.tolist(), batch["x"].list(), batch.lsn) == ([7], [1.5], 5)
    else:
        claimed = partition.claim(task="t", fields=["x"], batch_size=1)
        assert isinstance(claimed, Batch)
        assert (claimed.claim, claimed["x"].list(), claimed.attempts.tolist()) == ("c1", [1.5], [1])


class Recorder(threading.Event):
    """Stands where the client waits between attempts: notes the pause and lets it pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses_ms: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses_ms.append(timeout * 1000)
        return False


@pytest.mark.parametrize("case", SCRIPT["cases"], ids=[case["name"] for case in SCRIPT["cases"]])
def test_fault(case: dict[str, Any]) -> None:
    threads = threading.active_count()
    with serve_faults(case) as server:
        tq = transferq.connect(server.url, timeout_s=case.get("timeout_ms", 30_000) / 1000)
        recorder = tq.transport._closed = Recorder()
        outcome = "ok"
        try:
            if case.get("warm"):
                call(tq, case)
            call(tq, case)
        except TransferQueueError as error:
            outcome = error.code
        tq.close()
        assert outcome == case["expect"]
        assert len(server.request_ids) == case["attempts"]
        for pause_ms, (least, most) in zip(recorder.pauses_ms, case["pauses_ms"], strict=True):
            assert least <= pause_ms <= most
        if not (case.get("warm") or case.get("new_request_id")):
            assert len(set(server.request_ids)) == 1
        assert server.connections_end()
    assert not tq.renewer.running
    assert threading.active_count() <= threads + 2  # the fake server's own


def test_the_policy_of_the_script_is_the_default() -> None:
    policy, script = RetryPolicy(), SCRIPT["policy"]
    assert policy.attempts_max == script["attempts_max"]
    assert [round(pause * 1000) for pause in policy.backoff_s] == script["backoff_ms"]
    assert policy.backoff_factor == script["backoff_factor"]
    assert round(policy.backoff_s_max * 1000) == script["backoff_ms_max"]


def test_a_closed_client_says_so_and_close_ends_a_pause() -> None:
    case = next(case for case in SCRIPT["cases"] if case["name"] == "attempts_end")
    with serve_faults(case) as server:
        tq = transferq.connect(server.url)
        partition = tq.partition("p")
        timer = threading.Timer(0.05, tq.close)
        timer.start()
        with pytest.raises(transferq.ClientClosed):
            partition.put({"x": [1.5]}, index_ids=[7])
        timer.join()
        with pytest.raises(transferq.ClientClosed):
            partition.put({"x": [1.5]}, index_ids=[7])
        tq.close()


def test_nobody_listens() -> None:
    with serve_faults({"answers": []}) as server:
        url = server.url
    retry = RetryPolicy(attempts_max=2, backoff_s=(0.0, 0.0))
    with transferq.connect(url, retry=retry) as tq, pytest.raises(transferq.ConnectionFailed, match=r"127\.0\.0\.1"):
        tq.partitions()


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:7654", "http://", "http://h:99999", "http://h/?q=1"])
def test_what_is_no_url_is_refused_before_any_call(url: str) -> None:
    with pytest.raises(transferq.FixRequest):
        transferq.connect(url)


@pytest.mark.parametrize("token", ["a b", "a\r\nb", "ü"])
def test_a_token_cannot_smuggle_headers(token: str) -> None:
    with pytest.raises(transferq.FixRequest):
        transferq.connect(token=token)

"""What a client does with a server: splitting, waiting, several nodes, threads, forks, pickles."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import transferq
from fake_server import FakeStore, serve
from rows import FIELDS, check_rows, put_rows
from transferq import Batch, Client, Dense, Drained, Json, Ragged, RetryPolicy, RowsMissing, Scalar, Text, TimedOut


def test_put_and_get_in_the_order_asked(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS)
    put = put_rows(partition, range(10))
    assert (put.lsns, put.rows, put.ack, put.index_ids.tolist()) == ((put.lsn,), 10, "os", list(range(10)))
    check_rows(partition.get([7, 3, 5]), [7, 3, 5])
    batch = partition.get([7], fields=["r"])
    assert list(batch) == batch.keys() == ["r"]
    assert "x" not in batch
    with pytest.raises(KeyError):
        batch["x"]
    assert dict(batch)["r"].list() == [[7.0]]
    assert partition.get(np.array([3]), fields=["x"]).lsn == put.lsn


def test_no_rows_are_a_batch_too(tq: Client) -> None:
    partition = tq.partition("p", fields={"d": Dense("float32", (2, 3)), **FIELDS})
    assert partition.put({"d": np.empty((0, 2, 3), np.float32), "x": [], "r": []}, index_ids=[]).rows == 0
    batch = partition.get([])
    assert len(batch) == 0
    assert batch["d"].torch().shape == (0, 2, 3)
    assert batch["r"].torch().size(0) == 0


def test_tables_batches_and_cells(tq: Client) -> None:
    partition = tq.partition("p", open=True)
    table = pa.table({"index_id": [4, 5], "x": [1, 2], "t": pa.array(["a", "b"]).dictionary_encode(), "l": [[1.5], []]})
    partition.put(table)
    partition.put(table.to_batches()[0], index_ids=[6, 7], if_absent=True)
    batch = partition.get([5, 6])
    assert partition.fields == {"x": Scalar("int64"), "t": Text(), "l": Ragged("float64")}
    assert (batch["x"].list(), batch["t"].list(), batch["l"].list()) == ([2, 1], ["b", "a"], [[], [1.5]])
    partition.put(batch, index_ids=[8, 9])
    assert partition.put(batch).index_ids.tolist() == [5, 6]
    assert partition.get([9])["t"].list() == ["a"]
    lsn = tq.write_matrix(8, "l", np.array([2.5, 3.5]), partition="p")
    assert lsn > batch.lsn
    assert tq.read_matrix(8, "l", partition=partition).tolist() == [2.5, 3.5]
    assert tq.read_matrix(8, "t", partition="p") == "b"
    with pytest.raises(transferq.RowsExist):
        partition.put({"x": [1]}, index_ids=[8], if_absent=True)


def test_mistakes_are_named(tq: Client) -> None:
    with pytest.raises(transferq.PartitionUnknown):
        tq.partition("nowhere")
    with pytest.raises(transferq.FixRequest, match="name_invalid"):
        tq.partition("../etc")
    partition = tq.partition("p", fields=FIELDS)
    with pytest.raises(transferq.PartitionConflict):
        tq.partition("p", fields={"x": Scalar("float32")})
    with pytest.raises(transferq.FieldMismatch, match="'x' has 1 rows, but there are 2 ids"):
        partition.put({"x": [1]}, index_ids=[1, 2])
    with pytest.raises(transferq.FieldMismatch, match="index_ids"):
        partition.put({"x": [1]})
    with pytest.raises(transferq.FieldMismatch, match="at least one field"):
        partition.put({}, index_ids=[1])
    with pytest.raises(transferq.FieldMismatch, match="takes a dict"):
        partition.put([1], index_ids=[1])
    with pytest.raises(transferq.FieldUnknown):
        partition.put({"y": [1]}, index_ids=[1])
    with pytest.raises(transferq.FixRequest, match=r"\['x'\]"):
        partition.get([1], fields="x")
    with pytest.raises(transferq.FixRequest, match="ids_duplicate"):
        put_rows(partition, [1, 1])


def test_fields_that_another_process_declared_are_learnt(tq: Client) -> None:
    mine = tq.partition("p", fields={"x": Scalar("int64")})
    tq.partition("p", fields={"late": Json()})
    assert mine.put({"late": [[1]]}, index_ids=[1]).rows == 1


def test_waits_end_in_three_ways(tq: Client, store: FakeStore) -> None:
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, [1])
    with pytest.raises(RowsMissing) as missing:
        partition.get([1, 2])
    assert missing.value.details == {"missing": [2], "missing_count": 1}
    with pytest.raises(TimedOut) as timed_out:
        partition.get([1, 2], wait_s=0.05)
    assert timed_out.value.missing == 1
    timer = threading.Timer(0.05, put_rows, (partition, [2]))
    timer.start()
    check_rows(partition.get([2, 1], wait_s=10), [2, 1])
    timer.join()
    partition.seal()
    with pytest.raises(Drained):
        partition.get([3], wait_s=10)
    # A wait is one call for the server as long as it may be.
    assert store.requests.count("POST /v1/partitions/p/rows:read") == 4


def test_a_long_wait_is_several_requests(tq: Client, store: FakeStore) -> None:
    store.limits["wait_ms_max"] = 20
    partition = tq.partition("p", fields=FIELDS)
    timer = threading.Timer(0.1, put_rows, (partition, [2]))
    timer.start()
    check_rows(partition.get([2], wait_s=10), [2])
    timer.join()
    assert store.requests.count("POST /v1/partitions/p/rows:read") >= 2


def test_newest_by_version(tq: Client) -> None:
    weights = tq.partition("weights", fields={"w": Dense("float32", (2,))})
    with pytest.raises(RowsMissing):
        weights.newest(fields=["w"])
    first = weights.put({"w": np.ones((1, 2), np.float32)}, index_ids=[1])
    assert weights.newest(fields=["w"]).index_ids.tolist() == [1]
    with pytest.raises(TimedOut):
        weights.newest(fields=["w"], after_lsn=first.lsn, wait_s=0.02)
    second = weights.put({"w": np.zeros((1, 2), np.float32)}, index_ids=[2])
    newest = weights.newest(fields=["w"], after_lsn=first.lsn, wait_s=5)
    assert (newest.lsn, newest.index_ids.tolist()) == (second.lsn, [2])


def test_scan_delete_and_stats(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS, group_size=4, ack="memory")
    put_rows(partition, range(10))
    pages = list(partition.scan(2, 9, rows_max=3))
    assert [page.index_ids.tolist() for page in pages] == [[2, 3, 4], [5, 6, 7], [8]]
    assert sum(len(page) for page in partition.scan()) == 10
    assert partition.delete([2, 3, 99]) == 2
    assert partition.stats()["rows"] == 8
    assert (partition.group_size, partition.ack) == (4, "memory")
    assert [entry["name"] for entry in tq.partitions()] == ["p"]
    assert partition.drop() > 0
    with pytest.raises(transferq.PartitionUnknown):
        partition.get([1])


def test_large_calls_are_split_to_the_limits(tq: Client, store: FakeStore) -> None:
    store.limits.update(put_rows_max=40, put_body_bytes_max=30_000, read_rows_max=64, answer_bytes_max=6_000)
    partition = tq.partition("p", fields={**FIELDS, "d": Dense("float64", (50,))})
    ids = list(range(100))
    dense = np.random.default_rng(0).random((100, 50))
    put = partition.put(
        {"x": [row * 10 for row in ids], "r": [[row] * (row % 3) for row in ids], "d": dense}, index_ids=ids
    )
    assert len(put.lsns) >= 4
    assert put.lsn == max(put.lsns) == put.lsns[-1]
    assert put.rows == 100
    order = ids[::-1]
    batch = partition.get(order)
    check_rows(batch, order)
    assert (batch["d"].numpy() == dense[::-1]).all()
    assert batch["d"] is batch["d"]
    assert batch.arrow().num_rows == 100
    assert sum(len(page) for page in partition.scan(rows_max=1000)) == 100
    with pytest.raises(transferq.BodyTooLarge):
        tq.partition("q", fields={"d": Dense("float64", (5000,))}).put({"d": np.zeros((1, 5000))}, index_ids=[1])
    store.limits["answer_bytes_max"] = 100
    with pytest.raises(transferq.AnswerTooLarge):
        partition.get([1])


def test_ids_never_exceed_the_json_limit(tq: Client, store: FakeStore) -> None:
    store.limits["json_body_bytes_max"] = 2_000
    partition = tq.partition("p", fields=FIELDS)
    ids = [2**53 - 1 - at for at in range(200)]
    partition.put({"x": ids, "r": [[1.0]] * 200}, index_ids=ids)
    assert partition.get(ids)["x"].list() == ids
    assert store.requests.count("POST /v1/partitions/p/rows:read") == 3


# ---- Processes and threads ---------------------------------------------------------------------------------------


def test_importing_and_connecting_opens_nothing() -> None:
    program = (
        "import os, sys, threading, transferq\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "tq = transferq.connect('http://127.0.0.1:1')\n"
        "assert threading.active_count() == 1\n"
        "assert len(os.listdir('/proc/self/fd')) == before\n"
        "assert not {'torch', 'pyarrow', 'wasmtime', 'pandas'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_one_client_in_many_threads(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                ids = range(number * 1000 + turn * 10, number * 1000 + turn * 10 + 10)
                put_rows(partition, ids)
                check_rows(partition.get(ids), ids)
        except BaseException as error:  # noqa: BLE001 - shown below, in the thread that can fail the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def in_child(partition: transferq.Partition, results: Any) -> None:
    try:
        put_rows(partition, [2])
        check_rows(partition.get([1, 2]), [1, 2])
        batch = partition.claim(task="t", fields=["x"], batch_size=1, lease_s=0.3)
        assert isinstance(batch, Batch)
        assert partition.client.renewer.running
        batch.ack()
        results.put("ok")
    except BaseException as error:  # noqa: BLE001 - the parent shows it
        results.put(repr(error))


def test_a_forked_child_uses_the_client_on(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, [1])
    held = partition.claim(task="parent", fields=["x"], batch_size=1)
    assert isinstance(held, Batch)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    # A lock held by another thread at the fork must not stop the child.
    with tq.transport._lock, tq.renewer._changed, tq.shards._lock, tq._lock, tq.transport.buffers._lock:
        children = [context.Process(target=in_child, args=(partition, results))]
        for child in children:
            child.start()
    assert results.get(timeout=30) == "ok"
    for child in children:
        child.join()
    check_rows(partition.get([1, 2]), [1, 2])
    held.ack()


def test_closing_ends_calls_of_other_threads(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS)
    ended: list[str] = []

    def wait() -> None:
        try:
            partition.get([1], wait_s=60)
        except transferq.TransferQueueError as error:
            ended.append(error.code)

    thread = threading.Thread(target=wait)
    thread.start()
    while not tq.transport._busy:
        time.sleep(0.001)
    tq.close()
    thread.join(10)
    assert ended == ["client_closed"]


def test_a_forked_child_does_not_release_what_its_parent_holds(tq: Client) -> None:
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, [1])
    loop = partition.consume(task="t", fields=["x"], batch_size=1)
    batch = next(loop)
    child = os.fork()
    if child == 0:
        loop.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    batch.ack()
    loop.close()


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: FakeStore) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(store, context) as url:
        url = url.replace("127.0.0.1", "localhost")
        retry = RetryPolicy(attempts_max=1)
        with transferq.connect(url, retry=retry) as tq, pytest.raises(transferq.ConnectionFailed, match="certificate"):
            tq.partitions()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with transferq.connect(url) as tq:
            partition = tq.partition("p", fields={"d": Dense("float64", (100, 1000))})
            dense = np.random.default_rng(0).random((3, 100, 1000))
            partition.put({"d": dense}, index_ids=range(3))
            assert (partition.get(range(3))["d"].numpy() == dense).all()


def test_handles_pickle_without_the_token(fake_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQ_TOKEN", raising=False)
    with transferq.connect(fake_url, token="s3cret", timeout_s=7) as tq:
        partition = tq.partition("p", fields=FIELDS, group_size=4)
        put_rows(partition, [1])
        pickled = pickle.dumps((tq, partition))
    assert b"s3cret" not in pickled
    monkeypatch.setenv("TQ_TOKEN", "from-the-environment")
    again, handle = pickle.loads(pickled)
    assert handle.client is again
    assert "from-the-environment" in again.transport._common
    assert (again.url, again.transport.timeout_s, handle.group_size, handle.fields) == (fake_url, 7, 4, FIELDS)
    check_rows(handle.get([1]), [1])
    again.close()


def test_url_and_token_come_from_the_environment(fake_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQ_URL", fake_url + "/")
    monkeypatch.setenv("TQ_TOKEN", "abc")
    with transferq.connect() as tq:
        assert tq.url == fake_url
        assert "authorization: Bearer abc\r\n" in tq.transport._common
        assert tq.partitions() == []
    monkeypatch.delenv("TQ_URL")
    assert transferq.connect().url == "http://127.0.0.1:7654"
    assert transferq.connect("http://[::1]:80/base/").url == "http://[::1]:80/base"
    assert "abc" not in repr(transferq.connect())

"""Snapshots as the client gives them: what a read at one asks for, and how its lease goes."""

from __future__ import annotations

import pickle
from contextlib import ExitStack

import numpy as np
import pytest
import transferq
from fake_server import FakeStore, serve
from rows import FIELDS, check_rows, put_rows
from transferq import Client, LsnUnknown, Scalar
from transferq.testing import Server


def test_reads_at_a_snapshot_see_its_rows_and_no_others(tq: Client, store: FakeStore) -> None:
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, range(20))
    store.limits["read_rows_max"] = 7
    with tq.snapshot(lease_s=5) as snapshot:
        partition.delete(range(10))
        put_rows(partition, range(30, 40))
        partition.put({"x": [-1]}, index_ids=[15])
        assert snapshot.lease_s == 5
        for lsn in (snapshot.lsn, snapshot):
            check_rows(partition.get(range(20), lsn=lsn), range(20))
            pages = list(partition.scan(rows_max=3, lsn=lsn))
            assert [row for page in pages for row in page.index_ids.tolist()] == list(range(20))
        assert partition.get([15], fields=["x"])["x"].list() == [-1]
        with pytest.raises(transferq.RowsMissing):
            partition.get([30], lsn=snapshot.lsn)
    assert store.snapshots.held == {}
    with pytest.raises(LsnUnknown):
        partition.get([15], lsn=snapshot.lsn)
    with pytest.raises(LsnUnknown):
        next(partition.scan(lsn=snapshot))


def test_a_lease_is_renewed_by_hand_and_closed_once(tq: Client, store: FakeStore) -> None:
    snapshot = tq.snapshot()
    snapshot.renew()
    snapshot.renew(lease_s=0.25)
    assert store.snapshots.leases_ms == [60_000, 60_000, 250]
    assert snapshot.lease_s == 0.25
    assert store.requests[-1] == "POST /v1/snapshots/1-1:renew"
    snapshot.close()
    snapshot.close()
    assert sum(request.endswith(":close") for request in store.requests) == 1
    with pytest.raises(LsnUnknown) as raised:
        snapshot.renew()
    assert (raised.value.kind, raised.value.status) == ("give_up", 410)


def test_closing_one_whose_lease_is_over_is_no_error_and_hides_none(tq: Client, store: FakeStore) -> None:
    snapshot = tq.snapshot()
    store.snapshots.held.clear()
    snapshot.close()

    def fails_inside() -> None:
        with tq.snapshot():
            tq.close()
            raise RuntimeError("the user's own")

    with pytest.raises(RuntimeError, match="the user's own"):
        fails_inside()


def test_a_handle_goes_to_other_processes(tq: Client, store: FakeStore) -> None:
    partition = tq.partition("p", fields=FIELDS)
    put_rows(partition, [1, 2])
    with tq.snapshot() as snapshot:
        partition.delete([1])
        there, again = pickle.loads(pickle.dumps((partition, snapshot)))
        check_rows(there.get([1, 2], lsn=again), [1, 2])
        again.renew(lease_s=9)
        again.close()
    assert store.snapshots.leases_ms == [60_000, 9_000]


def test_with_several_nodes_each_holds_its_own_state() -> None:
    names = ["n1", "n2"]
    stores = [FakeStore() for _ in names]
    # LSNs of one node mean nothing to another.
    for _ in range(100):
        next(stores[1].lsns)
    with ExitStack() as stack:
        urls = [stack.enter_context(serve(store)) for store in stores]
        for store in stores:
            store.nodes = [{"id": name, "url": url} for name, url in zip(names, urls, strict=True)]
        tq = stack.enter_context(transferq.connect(urls[0], timeout_s=10))
        partition = tq.partition("p", fields=FIELDS)
        put_rows(partition, range(20))
        with tq.snapshot() as snapshot:
            lsns = [held for store in stores for held, _ in store.snapshots.held.values()]
            assert len(set(lsns)) == 2
            assert snapshot.lsn == max(lsns)
            partition.delete(range(20))
            check_rows(partition.get(range(20), lsn=snapshot), range(20))
            assert sorted(row for page in partition.scan(lsn=snapshot) for row in page.index_ids.tolist()) == list(
                range(20)
            )
            with pytest.raises(transferq.FixRequest, match="snapshot itself"):
                partition.get([1], lsn=snapshot.lsn)
        assert all(store.snapshots.held == {} for store in stores)


def test_a_snapshot_that_one_node_refuses_is_held_by_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [FakeStore(), FakeStore()]
    with ExitStack() as stack:
        urls = [stack.enter_context(serve(store)) for store in stores]
        for store in stores:
            store.nodes = [{"id": f"n{at}", "url": url} for at, url in enumerate(urls)]
        tq = stack.enter_context(transferq.connect(urls[0], timeout_s=10))
        monkeypatch.setattr(stores[1].snapshots, "open", lambda *_: {"snapshot": "1-1"})
        with pytest.raises(transferq.AnswerInvalid):
            tq.snapshot()
        assert stores[0].snapshots.held == {}


def test_the_real_server(real: Client, server: Server) -> None:
    partition = real.partition("snapshots", fields={"x": Scalar("int64"), "y": Scalar("int64")})
    partition.put({"x": np.arange(100), "y": np.arange(100)}, index_ids=np.arange(100))
    with real.snapshot(lease_s=30) as snapshot:
        partition.put({"x": np.arange(100) * 2}, index_ids=np.arange(100))
        partition.delete([7])
        for _ in range(2):
            batch = partition.get(np.arange(100), lsn=snapshot.lsn)
            assert (batch["x"].list(), batch["y"].list()) == (list(range(100)), list(range(100)))
        pages = list(partition.scan(10, 30, fields=["x"], rows_max=7, lsn=snapshot))
        assert [value for page in pages for value in page["x"].list()] == list(range(10, 30))
        snapshot.renew(lease_s=60)
        with pytest.raises(transferq.FixRequest, match="waits for nothing"):
            partition.get([1], lsn=snapshot.lsn, wait_s=1)
    assert partition.get([8])["x"].list() == [16]
    with pytest.raises(LsnUnknown):
        partition.get([8], lsn=snapshot.lsn)
    with pytest.raises(LsnUnknown):
        partition.get([8], lsn=2**52)
    memory = real.partition("snapshots_memory", fields={"x": Scalar("int64")}, ack="memory")
    memory.put({"x": [1]}, index_ids=[1])
    with real.snapshot() as snapshot:
        assert memory.get([1], lsn=snapshot.lsn)["x"].list() == [1]
        memory.put({"x": [2]}, index_ids=[1])
        with pytest.raises(LsnUnknown, match="memory"):
            memory.get([1], lsn=snapshot.lsn)

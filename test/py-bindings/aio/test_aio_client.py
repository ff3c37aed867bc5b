"""What the asyncio client does is what the sync client does: against the real server, call by call."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import transferq
from aio_support import LEASE_S, ROWS, assert_free, eventually
from transferq import Drained, FixRequest, Partition, RowsMissing, Scalar, TimedOut, aio
from transferq.testing import Server

Use = Callable[[aio.Client, aio.Partition], Awaitable[Any]]


def use(server: Server, rows: Partition, test: Use) -> Any:
    async def main() -> Any:
        async with aio.connect(server.url) as tq:
            return await test(tq, await tq.partition(rows.name))

    return asyncio.run(main())


def test_put_get_scan_newest_delete(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        assert (train.name, train.fields, train.group_size, train.ack) == (
            rows.name,
            rows.fields,
            rows.group_size,
            rows.ack,
        )
        batch = await train.get([3, 1], fields=["x"])
        assert (batch.index_ids.tolist(), batch["x"].list(), batch.fields, len(batch)) == ([3, 1], [3, 1], ["x"], 2)
        assert (list(batch), batch.keys(), "x" in batch, "y" in batch) == (["x"], ["x"], True, False)
        assert dict(batch).keys() == {"x"}
        assert batch.arrow().num_rows == 2
        assert (batch.claim, batch.held, batch.nbytes, batch.attempts.tolist()) == (None, False, 16, [1, 1])
        with pytest.raises(KeyError):
            batch["late"]
        done = await train.put({"late": [[1], [2, 3]]}, index_ids=np.array([3, 1]))
        assert (done.rows, done.ack) == (2, "os")
        assert (await train.newest(fields=["late"], after_lsn=done.lsn - 1)).lsn == done.lsn
        pages = [page.index_ids.tolist() async for page in train.scan(2, 7, fields=["x"], rows_max=2)]
        assert pages == [[2, 3], [4, 5], [6]]
        # A batch is data for a put, as it is in the sync client.
        await train.put(await train.get([0], fields=["x"]))
        assert await train.delete([0, 99]) == 1
        assert (await train.stats())["rows"] == ROWS - 1
        assert (await train.refresh()) is train

    use(server, rows, test)


def test_claims_end_in_three_ways(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        batch = await train.claim(task="t", fields=["x"], batch_size=4, sampler="group", lease_s=LEASE_S)
        assert isinstance(batch, aio.Batch)
        assert batch.index_ids.tolist() == [0, 1, 2, 3]
        assert batch.held
        outcome = await train.claim(task="t", fields=["x"], batch_size=99, wait_s=0.02)
        assert isinstance(outcome, TimedOut)
        assert (outcome.ready, outcome.leased) == (8, 4)
        await train.put({"late": [[i] for i in range(4)]}, index_ids=batch.index_ids, claim=batch)
        assert not batch.held
        await batch.ack()
        await train.seal()
        async for rest in train.consume(task="t", fields=["x"], batch_size=5):
            await rest.ack()
        assert isinstance(await train.claim(task="t", fields=["x"], batch_size=1), Drained)

    use(server, rows, test)


def test_errors_are_those_of_the_sync_client(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        with pytest.raises(RowsMissing):
            await train.get([99])
        with pytest.raises(TimedOut):
            await train.get([99], wait_s=0.02)
        with pytest.raises(transferq.PartitionUnknown):
            await tq.partition("aio-nothing")
        with pytest.raises(transferq.FieldMismatch):
            await train.put({"x": [1, 2]}, index_ids=[1])
        with pytest.raises(transferq.FieldUnknown):
            await train.claim(task="t", fields=["nothing"], batch_size=1)
        batch = await train.get([1], fields=["x"])
        with pytest.raises(FixRequest):
            await batch.ack()
        with pytest.raises(FixRequest):
            await train.put({"late": [[1]]}, index_ids=[1], claim=batch)

    use(server, rows, test)


def test_cells_limits_snapshots(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        await tq.write_matrix(3, "late", [1, 2], partition=train)
        assert (await tq.read_matrix(3, "late", partition=rows.name, wait_s=1.0)).tolist() == [1, 2]
        assert (await tq.limits())["put_rows_max"] == rows.client.limits()["put_rows_max"]
        assert rows.name in [partition["name"] for partition in await tq.partitions()]
        async with tq.snapshot(lease_s=60) as snapshot:
            await train.delete([3])
            assert (await train.get([3], fields=["x"], lsn=snapshot))["x"].list() == [3]
            assert [len(page) async for page in train.scan(fields=["x"], lsn=snapshot.lsn)] == [ROWS]
            await snapshot.renew(lease_s=30)
            assert snapshot.lease_s == 30
        with pytest.raises(transferq.LsnUnknown):
            await train.get([3], fields=["x"], lsn=snapshot.lsn)
        opened = await tq.snapshot()
        await opened.close()
        await opened.close()

    use(server, rows, test)


# ---- consume -----------------------------------------------------------------------------------------------------


def consume(train: aio.Partition, **options: Any) -> aio.Batches:
    return train.consume(**{"task": "t", "fields": ["x"], "batch_size": 5, "lease_s": LEASE_S, **options})


def test_a_batch_that_is_not_acked_is_released_by_the_next_step(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        batches = consume(train)
        first = await anext(batches)
        second = await anext(batches)
        assert (first.held, second.held) == (False, True)
        assert (second.index_ids.tolist(), second.attempts.tolist()) == (first.index_ids.tolist(), [2] * 5)
        await second.ack()
        assert (await anext(batches)).index_ids.tolist() == [5, 6, 7, 8, 9]
        await batches.aclose()
        await batches.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(batches)
        assert_free(rows, count=7)

    use(server, rows, test)


def test_leaving_the_loop_releases_the_batch_before_the_next_claim(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        async for batch in consume(train):
            assert batch.held
            break
        again = await train.claim(task="t", fields=["x"], batch_size=ROWS, lease_s=LEASE_S)
        assert isinstance(again, aio.Batch)
        assert again.attempts.tolist() == [2] * 5 + [1] * 7
        await again.release()

        async def fail() -> None:
            async for _ in consume(train):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with consume(train) as batches:
            batch = await anext(batches)
            assert batch.held
        assert not batch.held
        again = await train.claim(task="t", fields=["x"], batch_size=ROWS)
        assert isinstance(again, aio.Batch)
        assert again.attempts.tolist() == [5] * 5 + [2] * 7

    use(server, rows, test)


def slowed(method: Callable[..., None]) -> Callable[..., None]:
    """As on a day when the release is the slowest of all calls."""

    def slow(*arguments: Any) -> None:
        time.sleep(0.3)
        method(*arguments)

    return slow


def test_a_claim_comes_after_the_releases_before_it(
    server: Server, rows: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transferq.Batch, "abandon", slowed(transferq.Batch.abandon))

    async def test(tq: aio.Client, train: aio.Partition) -> None:
        async for _ in consume(train, batch_size=ROWS):
            break
        assert isinstance(await train.claim(task="t", fields=["x"], batch_size=ROWS), aio.Batch)

    use(server, rows, test)


def test_a_release_comes_after_the_ack_that_was_cancelled(
    server: Server, rows: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transferq.Batch, "ack", slowed(transferq.Batch.ack))

    async def test(tq: aio.Client, train: aio.Partition) -> None:
        async def work() -> None:
            async for batch in consume(train, batch_size=ROWS):
                await batch.ack()

        task = asyncio.ensure_future(work())
        while not tq.threads._lanes["ends"].threads:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    use(server, rows, test)
    outcome = rows.claim(task="t", fields=["x"], batch_size=1)
    assert isinstance(outcome, TimedOut)
    assert (outcome.ready, outcome.leased) == (0, 0)


def test_closing_the_client_right_after_the_loop_releases_the_batch(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        async for _ in consume(train, batch_size=ROWS):
            break

    use(server, rows, test)
    assert assert_free(rows).attempts.tolist() == [2] * ROWS


def test_a_wait_that_is_over_is_no_end_and_the_loop_goes_on(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        batches = consume(train, fields=["late"], batch_size=1, wait_s=0.02)
        with pytest.raises(TimedOut):
            await anext(batches)
        await train.put({"late": [[1]]}, index_ids=[3])
        assert (await anext(batches)).index_ids.tolist() == [3]

    use(server, rows, test)


def test_one_task_at_a_time_iterates(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        batches = consume(train, fields=["late"], batch_size=1)
        step = asyncio.create_task(anext(batches))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="One task"):
            await anext(batches)
        with pytest.raises(RuntimeError, match="One task"):
            await batches.aclose()
        step.cancel()
        await asyncio.wait([step])
        assert step.cancelled()
        await batches.aclose()

    use(server, rows, test)


# ---- Ends --------------------------------------------------------------------------------------------------------


def test_a_closed_client_says_so_and_wakes_who_waits(server: Server, rows: Partition) -> None:
    async def main() -> None:
        tq = aio.connect(server.url)
        train = await tq.partition(rows.name)
        waiting = [asyncio.create_task(train.get([99], wait_s=100.0)) for _ in range(3)]
        waiting += [asyncio.create_task(train.claim(task="t", fields=["late"], batch_size=1, wait_s=None))]
        await asyncio.sleep(0.05)
        await tq.close()
        await tq.close()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, transferq.ClientClosed)
        with pytest.raises(transferq.ClientClosed):
            await train.stats()
        with pytest.raises(transferq.ClientClosed):
            await tq.limits()
        eventually(lambda: tq.threads.count == 0)

    asyncio.run(main())


def test_threads_end_when_they_have_nothing_to_do(
    server: Server, rows: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transferq.aio._lanes.LINGER_S", 0.02)

    async def test(tq: aio.Client, train: aio.Partition) -> None:
        assert tq.threads.count > 0
        eventually(lambda: tq.threads.count == 0)
        assert (await train.get([1], fields=["x"]))["x"].list() == [1]

    use(server, rows, test)


def test_a_dropped_batch_is_not_kept_by_a_thread(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        batch = await train.claim(task="t", fields=["x"], batch_size=ROWS, lease_s=0.3)
        assert isinstance(batch, aio.Batch)
        del batch
        gc.collect()
        again = await train.claim(task="t", fields=["x"], batch_size=ROWS, wait_s=20.0)
        assert isinstance(again, aio.Batch)
        assert again.attempts.tolist() == [2] * ROWS

    use(server, rows, test)


def test_over_a_sync_client(server: Server, rows: Partition) -> None:
    async def main() -> None:
        with transferq.connect(server.url) as sync:
            tq = aio.Client(sync)
            train = await tq.partition("aio-own", fields={"x": Scalar("int64")})
            await train.put({"x": [1]}, index_ids=[1])
            assert train.sync.get([1])["x"].list() == [1]
            assert (tq.url, tq.sync) == (sync.url, sync)
            await train.drop()

    asyncio.run(main())

"""Cancellation at every point where a call can be: it is prompt, it is never swallowed, and it loses and holds nothing.

A call is taken apart at its exchanges with the server: before each one, once its request is out, and once its answer is
in. At each of these places in turn the thread is stopped, the caller is cancelled, and the thread goes on.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import transferq
from aio_support import LEASE_S, PATIENCE_S, ROWS, assert_free, eventually
from transferq import Partition, aio
from transferq._http import Connection
from transferq.testing import Server

SEEDS = range(40)


class Gate:
    """Stops a thread at its nth place; the renewals of the client do not count."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.places = 0
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_by(self) -> None:
        if threading.current_thread().name == "transferq-renewals" or self.reached.is_set():
            return
        if self.places == self.place:
            self.reached.set()
            assert self.opened.wait(PATIENCE_S)
        self.places += 1


@contextmanager
def stopping(gate: Gate) -> Iterator[None]:
    exchange, send = Connection.exchange, Connection._send

    def stopped_exchange(connection: Connection, *arguments: Any) -> Any:
        gate.pass_by()
        answer = exchange(connection, *arguments)
        gate.pass_by()
        return answer

    def stopped_send(connection: Connection, *arguments: Any) -> None:
        send(connection, *arguments)
        gate.pass_by()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "exchange", stopped_exchange)
        patch.setattr(Connection, "_send", stopped_send)
        yield


async def cancelled_at(place: int, work: Awaitable[Any]) -> bool:
    """Cancels the work there; whether it got as far. It must end at once, while its thread still stands there."""
    gate = Gate(place)
    with stopping(gate):
        task = asyncio.ensure_future(work)
        try:
            while not task.done() and not gate.reached.is_set():
                await asyncio.sleep(0.001)
            if task.done():
                # Whatever stands there now is a release that nobody waits for.
                task.result()
                return False
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
            assert done
            assert task.cancelled()
            return True
        finally:
            gate.opened.set()


Work = Callable[[aio.Partition], Awaitable[Any]]
Check = Callable[[], None]


def at_every_place(server: Server, rows: Partition, work: Work, check: Check) -> int:
    """Cancels the work at each place in turn, on a client that knows nothing and on one that has a connection."""

    async def main(*, warm: bool) -> int:
        place = 0
        while True:
            async with aio.connect(server.url) as tq:
                train = aio.Partition(tq, await asyncio.to_thread(tq.sync.partition, rows.name))
                if warm:
                    await tq.limits()
                if not await cancelled_at(place, work(train)):
                    return place
            check()
            place += 1

    return asyncio.run(main(warm=False)) + asyncio.run(main(warm=True))


# ---- Claims ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait_s", [0.0, 30.0, None])
def test_a_cancelled_claim_holds_no_rows(server: Server, rows: Partition, wait_s: float | None) -> None:
    async def work(train: aio.Partition) -> None:
        batch = await train.claim(task="t", fields=["x"], batch_size=ROWS, wait_s=wait_s, lease_s=LEASE_S)
        await batch.release()  # type: ignore[union-attr]

    assert at_every_place(server, rows, work, lambda: [assert_free(rows)]) >= 9


def test_a_loop_that_is_cancelled_anywhere_holds_no_rows(server: Server, rows: Partition) -> None:
    async def work(train: aio.Partition) -> None:
        async for batch in train.consume(task="t", fields=["x"], batch_size=5, lease_s=LEASE_S):
            await train.get(batch.index_ids, fields=["x"])
            if 11 in batch.index_ids or len(seen) > 2:
                return
            seen.append(len(batch))

    def check() -> None:
        assert_free(rows)
        seen.clear()

    seen: list[int] = []
    assert at_every_place(server, rows, work, check) >= 20


def test_a_cancelled_step_passes_over_no_shared_batch(server: Server, rows: Partition) -> None:
    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            await tq.limits()
            place = 0
            while True:
                shared = transferq.SharedBatch("job")
                words = {"task": f"t{place}", "fields": ["x"], "batch_size": 5, "batch": shared, "lease_s": LEASE_S}
                batches = train.consume(**words)
                if not await cancelled_at(place, anext(batches)):
                    break
                batch = await anext(batches)
                assert (batch.batch_number, batch.index_ids.tolist()) == (0, [0, 1, 2, 3, 4])
                await batches.aclose()
                place += 1
            assert place >= 3

    asyncio.run(main())


def test_the_server_stops_waiting_for_a_cancelled_call(
    server: Server, rows: Partition, waiters: Callable[[], int]
) -> None:
    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            calls = [
                train.claim(task="t", fields=["late"], batch_size=1, wait_s=None),
                train.claim(task="t", fields=["late"], batch_size=1, wait_s=None, auto_ack=True),
                train.get([99], wait_s=1000.0),
                train.newest(fields=["late"], wait_s=1000.0),
                tq.read_matrix(99, "x", partition=train, wait_s=1000.0),
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            while waiters() < len(calls):
                await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            eventually(lambda: waiters() == 0)
            eventually(lambda: not tq.threads._running)

    asyncio.run(main())


@pytest.mark.parametrize("seed", SEEDS)
def test_claims_cancelled_while_rows_come_lose_none(server: Server, rows: Partition, seed: int) -> None:
    """Claims are cancelled at random moments while a producer makes rows ready; each row is acked once in the end."""
    chance = random.Random(seed)

    async def produce(train: aio.Partition) -> None:
        for row in range(ROWS):
            await train.put({"late": [[row]]}, index_ids=[row])
            await asyncio.sleep(chance.random() * 0.004)

    async def consume(train: aio.Partition) -> list[int]:
        acked: list[int] = []
        while len(acked) < ROWS:
            claim = train.claim(task="t", fields=["late"], batch_size=2, rows_min=1, wait_s=None, lease_s=LEASE_S)
            task = asyncio.ensure_future(claim)
            await asyncio.wait([task], timeout=chance.random() * 0.01)
            # Here it may be parked, granted, on its way back, or done.
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                batch = task.result()
                assert isinstance(batch, aio.Batch)
                acked += batch.index_ids.tolist()
                await batch.ack()
        return acked

    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            producer = asyncio.ensure_future(produce(train))
            assert sorted(await asyncio.wait_for(consume(train), PATIENCE_S)) == list(range(ROWS))
            await producer

    asyncio.run(main())


def test_a_connection_that_was_cut_is_not_used_again(server: Server, rows: Partition) -> None:
    cut: list[Connection] = []
    reused: list[Connection] = []
    half_close, exchange = Connection.half_close, Connection.exchange

    def noted_half_close(connection: Connection) -> None:
        cut.append(connection)
        half_close(connection)

    def noted_exchange(connection: Connection, *arguments: Any) -> Any:
        reused.extend(cut[:1] if connection in cut else [])
        return exchange(connection, *arguments)

    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            await tq.limits()
            # The last place: the answer is in, and was not looked at yet.
            claim = train.claim(task="t", fields=["x"], batch_size=ROWS, lease_s=LEASE_S)
            assert await cancelled_at(5, claim)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "half_close", noted_half_close)
        patch.setattr(Connection, "exchange", noted_exchange)
        asyncio.run(main())
    assert (len(cut), reused) == (1, [])
    assert_free(rows)


# ---- Other calls -------------------------------------------------------------------------------------------------


def test_a_cancelled_put_is_whole_or_not_there_and_nothing_is_sent_later(server: Server, rows: Partition) -> None:
    async def work(train: aio.Partition) -> None:
        await train.put({"late": [[row] for row in range(ROWS)]}, index_ids=range(ROWS))

    def check() -> None:
        there = [row for batch in rows.scan(fields=["late"]) for row in batch.index_ids.tolist()]
        assert there in ([], list(range(ROWS)))
        rows.put({"late": [[row] for row in range(ROWS)]}, index_ids=range(ROWS))
        rows.delete(range(ROWS))
        rows.put({"x": list(range(ROWS))}, index_ids=range(ROWS))

    assert at_every_place(server, rows, work, check) >= 6


def test_a_cancelled_put_with_a_claim_is_both_or_neither(server: Server, rows: Partition) -> None:
    async def work(train: aio.Partition) -> None:
        async for batch in train.consume(task="t", fields=["x"], batch_size=ROWS, lease_s=LEASE_S):
            await train.put({"late": [[0]] * ROWS}, index_ids=batch.index_ids, claim=batch)
            return

    def check() -> None:
        is_there = len([1 for batch in rows.scan(fields=["late"])]) > 0
        if not is_there:
            assert_free(rows)
        else:
            outcome = rows.claim(task="t", fields=["x"], batch_size=1)
            assert isinstance(outcome, transferq.TimedOut)
            assert outcome.leased == 0
        rows.delete(range(ROWS))
        rows.put({"x": list(range(ROWS))}, index_ids=range(ROWS))

    assert at_every_place(server, rows, work, check) >= 9


def test_a_cancelled_ack_goes_on(server: Server, rows: Partition) -> None:
    async def work(train: aio.Partition) -> None:
        async for batch in train.consume(task="t", fields=["x"], batch_size=1, lease_s=LEASE_S):
            begun.append(batch.index_ids.tolist()[0])
            await batch.ack()
            if len(begun) == 2:
                return

    def check() -> None:
        free = rows.claim(task="t", fields=["x"], batch_size=ROWS, rows_min=1, wait_s=PATIENCE_S)
        assert isinstance(free, transferq.Batch)
        assert not set(free.index_ids.tolist()) & set(begun)
        assert len(free) == ROWS - len(begun)
        free.release()
        rows.delete(range(ROWS))
        rows.put({"x": list(range(ROWS))}, index_ids=range(ROWS))
        begun.clear()

    begun: list[int] = []
    assert at_every_place(server, rows, work, check) >= 12


def test_a_cancelled_snapshot_is_closed(server: Server, rows: Partition) -> None:
    async def work(train: aio.Partition) -> None:
        async with train.client.snapshot(lease_s=LEASE_S):
            pass

    opened: list[transferq.Snapshot] = []
    close = transferq.Snapshot.close
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transferq.Snapshot, "close", lambda snapshot: (close(snapshot), opened.append(snapshot))[0])
        places = at_every_place(server, rows, work, lambda: None)
    # One per place, and one for the last time, which nothing cancelled; each on a warm and on a new client.
    assert len(opened) == places + 2


def test_a_cancelled_step_of_a_scan_is_done_by_the_next(server: Server, rows: Partition) -> None:
    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            for place in range(9):
                pages = train.scan(fields=["x"], rows_max=5)
                seen = (await anext(pages)).index_ids.tolist()
                await cancelled_at(place % 3, anext(pages))
                seen += [row async for page in pages for row in page.index_ids.tolist()]
                assert seen[:5] + seen[-2:] == [0, 1, 2, 3, 4, 10, 11]
                assert seen == list(range(ROWS))
            pages = train.scan(fields=["x"], rows_max=5)
            await cancelled_at(0, anext(pages))
            await pages.aclose()
            eventually(lambda: not tq.threads._running)

    asyncio.run(main())


# ---- As users cancel ---------------------------------------------------------------------------------------------


def test_time_outs_and_failed_groups(server: Server, rows: Partition) -> None:
    async def claim(train: aio.Partition, **options: Any) -> Any:
        return await train.claim(task="t", fields=["late"], batch_size=1, wait_s=None, lease_s=LEASE_S, **options)

    async def fail() -> None:
        await asyncio.sleep(0.02)
        raise ZeroDivisionError

    async def claim_beside_a_failure(train: aio.Partition) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(claim(train))

    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(claim(train), 0.02)
            with pytest.raises(ZeroDivisionError):
                await asyncio.gather(fail(), claim(train))
            if hasattr(asyncio, "TaskGroup"):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await claim(train)
                with pytest.raises(Exception, match="unhandled errors") as caught:
                    await claim_beside_a_failure(train)
                errors = caught.value.exceptions  # type: ignore[attr-defined]
                assert [type(error) for error in errors] == [ZeroDivisionError]
            # What gather left behind waits on, and is cancelled with the loop.

    asyncio.run(main())
    rows.put({"late": [[1]] * ROWS}, index_ids=range(ROWS))
    assert_free(rows)


def test_a_loop_that_is_stopped_and_closed_under_a_claim_holds_no_rows(server: Server, rows: Partition) -> None:
    tq = aio.connect(server.url)
    loop = asyncio.new_event_loop()
    train = loop.run_until_complete(tq.partition(rows.name))
    gate = Gate(2)
    with stopping(gate):
        claim = train.claim(task="t", fields=["x"], batch_size=ROWS, lease_s=LEASE_S)
        loop.call_soon(loop.stop)
        task = loop.create_task(claim)
        loop.run_forever()
        assert gate.reached.wait(PATIENCE_S)
        gate.opened.set()
        eventually(lambda: not tq.threads._running)
    loop.close()
    # Nobody told the task that its loop is gone; the garbage collector ends it.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task, claim
    assert_free(rows)
    asyncio.run(tq.close())

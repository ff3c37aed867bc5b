"""A client belongs to no event loop, thread or process; a loop that is held up holds up nothing of the client."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import transferq
from aio_support import LEASE_S, PATIENCE_S, ROWS, assert_free, eventually
from transferq import Partition, aio
from transferq.aio import _lanes
from transferq.testing import Server

THREADS = 4
CALLS = 40


async def claim_all(train: aio.Partition, **options: Any) -> aio.Batch:
    batch = await train.claim(**{"task": "t", "fields": ["x"], "batch_size": ROWS, "lease_s": LEASE_S, **options})
    assert isinstance(batch, aio.Batch), batch
    return batch


def test_one_loop_after_the_other(server: Server, rows: Partition) -> None:
    tq = aio.connect(server.url)
    train = asyncio.run(tq.partition(rows.name))
    batches = train.consume(task="t", fields=["x"], batch_size=5, lease_s=LEASE_S)
    first = asyncio.run(anext(batches))  # type: ignore[arg-type]
    asyncio.run(first.ack())
    assert asyncio.run(anext(batches)).index_ids.tolist() == [5, 6, 7, 8, 9]  # type: ignore[arg-type]
    pages = train.scan(fields=["x"], rows_max=8)
    assert [len(asyncio.run(anext(pages))) for _ in range(2)] == [8, 4]  # type: ignore[arg-type]
    asyncio.run(batches.aclose())
    asyncio.run(tq.close())


def test_several_loops_and_threads_at_once(server: Server, rows: Partition) -> None:
    tq = aio.connect(server.url)
    train = aio.Partition(tq, rows)
    failures: list[BaseException] = []

    async def work(number: int) -> None:
        async def call(at: int) -> None:
            row = number * CALLS + at
            await train.put({"late": [[row]]}, index_ids=[ROWS + row])
            assert (await train.get([ROWS + row], fields=["late"]))["late"].list() == [[row]]

        await asyncio.gather(*(call(at) for at in range(CALLS)))

    def run(number: int) -> None:
        try:
            asyncio.run(work(number))
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert tq.threads.count <= _lanes.ACTS_MAX
    asyncio.run(tq.close())


def test_a_claim_of_one_loop_is_acked_by_another(server: Server, rows: Partition) -> None:
    tq = aio.connect(server.url)
    batch = asyncio.run(claim_all(aio.Partition(tq, rows)))
    asyncio.run(batch.ack())
    outcome = rows.claim(task="t", fields=["x"], batch_size=1)
    assert isinstance(outcome, transferq.TimedOut)
    assert outcome.leased == 0
    asyncio.run(tq.close())


def test_leases_are_renewed_while_the_loop_is_held_up(server: Server, rows: Partition) -> None:
    async def main() -> None:
        async with aio.connect(server.url) as tq:
            batch = await claim_all(await tq.partition(rows.name), lease_s=1.0)
            time.sleep(1.5)  # as a step of a model does
            assert batch.held
            outcome = rows.claim(task="t", fields=["x"], batch_size=1)
            assert isinstance(outcome, transferq.TimedOut)
            assert outcome.leased == ROWS
            await batch.ack()

    asyncio.run(main())


# ---- Many calls --------------------------------------------------------------------------------------------------


def test_hundreds_of_waits(server: Server, rows: Partition, waiters: Callable[[], int]) -> None:
    """More claims than threads wait, and neither puts nor acks stand behind them."""
    count = _lanes.WAITS_MAX + 44

    async def one(train: aio.Partition) -> int:
        batch = await train.claim(task="t", fields=["late"], batch_size=1, wait_s=None, lease_s=LEASE_S)
        assert isinstance(batch, aio.Batch)
        await batch.ack()
        return int(batch.index_ids[0])

    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            claims = [asyncio.ensure_future(one(train)) for _ in range(count)]
            while await asyncio.to_thread(waiters) < _lanes.WAITS_MAX:
                await asyncio.sleep(0.01)
            await train.put({"late": [[row] for row in range(count)]}, index_ids=range(count))
            assert sorted(await asyncio.gather(*claims)) == list(range(count))
            assert tq.threads.count <= _lanes.WAITS_MAX + _lanes.ACTS_MAX + _lanes.ENDS_MAX

    asyncio.run(main())


def test_a_wait_that_ends_in_the_queue_has_its_look(
    server: Server, rows: Partition, waiters: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lanes, "WAITS_MAX", 2)

    async def main() -> None:
        async with aio.connect(server.url) as tq:
            train = await tq.partition(rows.name)
            parked = [asyncio.ensure_future(train.get([99], wait_s=1000.0)) for _ in range(2)]
            while waiters() < len(parked):
                await asyncio.sleep(0.005)
            # No thread is free for these, for as long as they like to wait.
            outcomes = await asyncio.gather(
                train.get([99], wait_s=0.05),
                train.get([1], fields=["x"], wait_s=0.05),
                train.claim(task="t", fields=["late"], batch_size=1, wait_s=0.05),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == [transferq.TimedOut, aio.Batch, transferq.TimedOut]
            for task in parked:
                task.cancel()
            await asyncio.wait(parked)

    asyncio.run(main())


# ---- Processes ---------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], Awaitable[None]]) -> None:
    """Runs it on a new event loop of a forked child."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(work())  # type: ignore[arg-type]
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_after_fork(server: Server, rows: Partition) -> None:
    tq = aio.connect(server.url)
    train = aio.Partition(tq, rows)

    async def claim_and_park() -> tuple[aio.Batches, aio.Batch, asyncio.Task[Any]]:
        batches = train.consume(task="t", fields=["x"], batch_size=ROWS, lease_s=LEASE_S)
        parked = asyncio.ensure_future(train.get([99], wait_s=1000.0))
        return batches, await anext(batches), parked

    loop = asyncio.new_event_loop()
    batches, batch, parked = loop.run_until_complete(claim_and_park())

    async def work() -> None:
        nonlocal batches, batch
        assert tq.threads.count == 0
        assert (await train.get([3], fields=["x"]))["x"].list() == [3]
        # The batch is that of the parent: a child that lets go of its copy releases nothing.
        await batches.aclose()
        del batches, batch
        await tq.close()

    in_child(work)
    assert batch.held
    loop.run_until_complete(batch.ack())
    parked.cancel()
    loop.run_until_complete(asyncio.wait([parked]))
    loop.run_until_complete(tq.close())
    loop.close()
    outcome = rows.claim(task="t", fields=["x"], batch_size=1)
    assert isinstance(outcome, transferq.TimedOut)
    assert outcome.leased == 0


def test_pickled(server: Server, rows: Partition) -> None:
    async def main() -> None:
        async with aio.connect(server.url, timeout_s=7.0) as tq, tq.snapshot() as snapshot:
            train = await tq.partition(rows.name)
            copy, client, same = pickle.loads(pickle.dumps((train, tq, snapshot)))
            assert (copy.client, copy.name, client.sync._settings["timeout_s"]) == (client, rows.name, 7.0)
            assert (await copy.get([3], fields=["x"], lsn=same))["x"].list() == [3]
            await client.close()
            assert (await train.get([3], fields=["x"]))["x"].list() == [3]

    asyncio.run(main())


def run_program(program: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # A program that hangs at its end runs into the time-out.
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


EXIT_WITHIN_A_WAIT = """
import asyncio, sys
from transferq import aio
tq = aio.connect(sys.argv[1])
async def main():
    train = await tq.partition(sys.argv[2])
    keep.extend(asyncio.ensure_future(train.claim(task="t", fields=["late"], batch_size=1, wait_s=None))
                for _ in range(20))
    await asyncio.sleep(0.1)
keep = []
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
for task in keep:
    task._log_destroy_pending = False
"""

EXIT_OUT_OF_A_LOOP = """
import asyncio, sys, time, transferq
from transferq import aio
abandon = transferq.Batch.abandon
transferq.Batch.abandon = lambda batch: (time.sleep(0.5), abandon(batch))
async def main():
    train = await aio.connect(sys.argv[1]).partition(sys.argv[2])
    async for batch in train.consume(task="t", fields=["x"], batch_size=12, lease_s=3600.0):
        break
asyncio.run(main())
"""


def test_a_process_exits_without_close(server: Server, rows: Partition, waiters: Callable[[], int]) -> None:
    assert run_program(EXIT_WITHIN_A_WAIT, server.url, rows.name) == ""
    eventually(lambda: waiters() == 0)


def test_a_process_that_exits_out_of_a_loop_releases_its_batch(server: Server, rows: Partition) -> None:
    assert run_program(EXIT_OUT_OF_A_LOOP, server.url, rows.name) == ""
    assert assert_free(rows).attempts.tolist() == [2] * ROWS


def test_an_import_starts_nothing(tmp_path: Path) -> None:
    program = "import threading, transferq.aio as a; a.connect(); assert threading.active_count() == 1"
    assert run_program(program) == ""


def test_a_server_that_restarts_is_no_end(tmp_path: Path) -> None:
    async def main() -> None:
        with transferq.testing.start_server(tmp_path) as own:
            async with aio.connect(own.url) as tq:
                train = await tq.partition("p", fields={"x": transferq.Scalar("int64")})
                await train.put({"x": [1]}, index_ids=[1])
                waiting = asyncio.ensure_future(train.get([2], wait_s=PATIENCE_S))
                await asyncio.to_thread(own.kill)
                await asyncio.to_thread(own.restart)
                await train.put({"x": [2]}, index_ids=[2])
                assert (await waiting)["x"].list() == [2]

    asyncio.run(main())

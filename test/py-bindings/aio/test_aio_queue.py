"""Tags, keys, tasks, budgets, shared batches and changes for asyncio, against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import transferq
from aio_support import ROWS
from transferq import KeysMissing, OverBudget, Partition, SharedBatch, Task, TimedOut, aio
from transferq.testing import Server

Use = Callable[[aio.Client, aio.Partition], Awaitable[Any]]


def use(server: Server, rows: Partition, test: Use) -> Any:
    async def main() -> Any:
        async with aio.connect(server.url) as tq:
            return await asyncio.wait_for(test(tq, await tq.partition(rows.name)), 60)

    return asyncio.run(main())


def test_tags_and_lists(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        await tq.partition(rows.name, numbers=["reward"])
        await train.tag(range(ROWS), [{"reward": row / 2, "odd": row % 2 == 1} for row in range(ROWS)])
        await train.put({"x": [0]}, index_ids=[0], tags={"odd": None})
        listing = await train.list(where="reward > 4 and odd == true")
        assert listing.index_ids.tolist() == [9, 11]
        assert listing.numbers["reward"].tolist() == [4.5, 5.5]
        batch = await train.claim(task="best", fields=["x"], ids=listing.index_ids)
        assert isinstance(batch, aio.Batch)
        assert (batch.index_ids.tolist(), batch.partial, batch.batch_number, batch.row_keys) == (
            [9, 11],
            False,
            None,
            None,
        )
        await batch.ack()

    use(server, rows, test)


def test_keys(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        await train.kv_put("a", {"x": 7}, tags={"n": 1})
        await train.kv_batch_put(["b", "c"], {"x": [8, 9]})
        assert (await train.kv_get("a", fields=["x"]))["x"] == 7
        batch = await train.kv_batch_get(["c", "nobody", "a"], fields=["x"], missing="drop")
        assert (batch.row_keys, batch["x"].list()) == (["c", "a"], [9, 7])
        assert await train.kv_list() == {"a": {"n": 1}, "b": {}, "c": {}}
        with pytest.raises(KeysMissing):
            await train.kv_batch_get(["nobody"])
        assert await train.kv_clear(["a", "nobody"]) == 1
        assert await train.kv_clear() == 2
        assert len(await train.list()) == ROWS

    use(server, rows, test)


def test_tasks(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        await tq.partition(rows.name, tasks={"once": Task(max_attempts=1)})
        batch = await train.claim(task="once", fields=["x"], batch_size=2)
        assert isinstance(batch, aio.Batch)
        assert [lease["rows"] for lease in await train.leases()] == [2]
        await batch.release()
        assert await train.dead_letters("once") == {0: 1, 1: 1}
        assert await train.requeue("once", [1]) == 1
        assert await train.requeue("once") == 1
        lsn = await train.advance(4)
        assert lsn > 0
        assert (await train.stats())["version"] == 4
        assert (await train.why_held(3))["because"]
        held = await train.claim(task="other", fields=["x"], batch_size=ROWS)
        assert isinstance(held, aio.Batch)
        assert await train.reset_consumption("other") == ROWS
        with pytest.raises(transferq.ClaimStale):
            await held.ack()

    use(server, rows, test)


def test_a_put_waits_for_room_and_other_calls_go_on(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        await tq.partition(rows.name, rows_max=ROWS)
        with pytest.raises(OverBudget):
            await train.put({"x": [1]}, index_ids=[ROWS])
        waiting = [asyncio.create_task(train.put({"x": [1]}, index_ids=[id_], wait_s=None)) for id_ in range(50, 90)]
        cancelled = asyncio.create_task(train.put({"x": [1]}, index_ids=[99], wait_s=None))
        while (await train.stats())["waiting_puts"] < 41:
            await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        # A put that completes rows is not held up.
        await train.put({"late": [[1]]}, index_ids=[3])
        await tq.partition(rows.name, rows_max="none")
        assert [put.rows for put in await asyncio.gather(*waiting)] == [1] * 40
        assert len(await train.list([99])) == 0

    use(server, rows, test)


def test_ranks_share_batches(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        await train.seal()

        async def rank(part: int) -> list[tuple[int | None, list[int]]]:
            steps = []
            shared = SharedBatch("job", part=part, parts=2)
            async for batch in train.consume(task="t", fields=["x"], batch_size=4, batch=shared):
                steps.append((batch.batch_number, batch["x"].list()))
                await batch.ack()
            return steps

        steps = await asyncio.gather(rank(0), rank(1))
        assert [[number for number, _ in rank] for rank in steps] == [[0, 1, 2], [0, 1, 2]]
        assert sorted(row for rank in steps for _, some in rank for row in some) == list(range(ROWS))
        outcome = await train.claim(
            task="u", fields=["late"], batch_size=4, batch=SharedBatch("job"), wait_s=0.05, partial=True, linger_s=0.01
        )
        assert isinstance(outcome, TimedOut)

    use(server, rows, test)


def test_a_watch_gives_every_change_once(server: Server, rows: Partition) -> None:
    async def test(tq: aio.Client, train: aio.Partition) -> None:
        async with train.watch(wait_s=20) as changes:
            step = asyncio.ensure_future(anext(changes))
            # A step that is cancelled while it waits loses nothing.
            await asyncio.sleep(0.02)
            step.cancel()
            await asyncio.wait([step])
            for row in range(5):
                await train.tag([row], {"n": row})
            found = [await anext(changes) for _ in range(5)]
        assert [(change.change, change.ids) for change in found] == [("tag", (row,)) for row in range(5)]
        assert [change async for change in train.watch(wait_s=0.01)] == []
        again = train.watch(after_lsn=found[2].lsn, wait_s=0.05)
        assert [change.ids async for change in again] == [(3,), (4,)]
        with pytest.raises(StopAsyncIteration):
            await anext(again)

    use(server, rows, test)

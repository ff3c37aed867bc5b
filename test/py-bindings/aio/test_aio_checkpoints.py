"""Checkpoints by the client for asyncio, against the real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import transferq
from transferq import Scalar, aio


def test_saves_and_loads_as_the_sync_client_does(real: transferq.Client, tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.connect(real.url) as tq:
            train = await tq.partition("aio-checkpoint", fields={"x": Scalar("int64")})
            await train.put({"x": [10, 20]}, index_ids=[1, 2])
            saved = await tq.save_checkpoint(tmp_path, {"step": 3}, [train.name])
            assert saved == transferq.Checkpoint.read(tmp_path)
            await train.delete([1])
            with pytest.raises(transferq.PartitionExists):
                await tq.load_checkpoint(tmp_path)
            assert (await tq.load_checkpoint(tmp_path, replace=True)).metadata == {"step": 3}
            assert (await train.get([1, 2], fields=["x"]))["x"].numpy().tolist() == [10, 20]

    asyncio.run(main())


def test_a_save_that_is_cancelled_leaves_what_was_there(real: transferq.Client, tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.connect(real.url) as tq:
            train = await tq.partition("aio-cancelled", fields={"x": Scalar("int64")})
            await train.put({"x": [10, 20]}, index_ids=[1, 2])
            await tq.save_checkpoint(tmp_path, "first", [train.name])
            for delay_s in (0, 0.002, 0.004, 0.008):
                saving = asyncio.create_task(tq.save_checkpoint(tmp_path, "second", [train.name]))
                await asyncio.sleep(delay_s)
                saving.cancel()
                await asyncio.wait([saving])
                assert saving.cancelled() or delay_s > 0, "it was over before it began"
                assert transferq.Checkpoint.read(tmp_path).metadata in ("first", "second")

    asyncio.run(main())

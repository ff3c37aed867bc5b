"""The asyncio twin of `transferq`: the same names, arguments and errors, with coroutines where a server is asked.

>>> async def train_on(url):
...     async with transferq.aio.connect(url) as tq:
...         train = await tq.partition("streamed", fields={"response": Ragged("int64")})
...         await train.put({"response": [[1, 2, 3], [4]]}, index_ids=[8, 9])
...         await train.seal()
...         async for batch in train.consume(task="actor_update", fields=["response"], batch_size=1):
...             print(batch["response"].list())  # columns are at hand: no await
...             await batch.ack()
>>> asyncio.run(train_on(url))
[[1, 2, 3]]
[[4]]

Layouts and errors are those of `transferq`. Nothing of a client belongs to an event loop, and no socket, encoder or
lease waits for one: see `Client` for its threads, and each coroutine for what it leaves behind when it is cancelled.
"""

from transferq.aio._batch import Batch
from transferq.aio._client import Client, connect
from transferq.aio._partition import Partition
from transferq.aio._snapshots import Snapshot, SnapshotOpening
from transferq.aio._steps import Batches, Changes, Pages

__all__ = ["Batch", "Batches", "Changes", "Client", "Pages", "Partition", "Snapshot", "SnapshotOpening", "connect"]

"""Transfer-Queue for Python: matrices in and out of a distributed store and streaming queue for LLM post-training.

import numpy as np, transferq
from transferq import Dense, Ragged

with transferq.connect("http://127.0.0.1:7654") as tq:
    train = tq.partition("train", fields={"image": Dense("float32", (28, 28)), "response": Ragged("int64")})
    train.put({"image": images, "response": responses}, index_ids=ids)
    for batch in train.consume(task="actor_update", fields=["image", "response"], batch_size=64):
        step(batch["image"].torch(), batch["response"].torch())
        batch.ack()
"""

from transferq._batch import Batch
from transferq._client import Client, connect
from transferq._columns import Column
from transferq._layouts import Bytes, Dense, Json, Layout, Ragged, Scalar, Text
from transferq._partition import Partition
from transferq._put import Put
from transferq._snapshots import Snapshot
from transferq._transport import RetryPolicy
from transferq.errors import (
    AnswerInvalid,
    AnswerTooLarge,
    BodyTooLarge,
    ChecksumMismatch,
    ClaimStale,
    ClaimUnknown,
    ClientClosed,
    ConnectionFailed,
    DataCorrupt,
    DeadlineExceeded,
    DiskFull,
    Drained,
    FieldMismatch,
    FieldUnknown,
    FixRequest,
    GiveUp,
    LayoutInvalid,
    LsnUnknown,
    MemoryFull,
    PartitionConflict,
    PartitionSealed,
    PartitionUnknown,
    RetryLater,
    RowsExist,
    RowsMissing,
    TimedOut,
    TransferQueueError,
    Unauthorized,
    WaitForOthers,
)

__version__ = "0.1.0"

__all__ = [
    "AnswerInvalid",
    "AnswerTooLarge",
    "Batch",
    "BodyTooLarge",
    "Bytes",
    "ChecksumMismatch",
    "ClaimStale",
    "ClaimUnknown",
    "Client",
    "ClientClosed",
    "Column",
    "ConnectionFailed",
    "DataCorrupt",
    "DeadlineExceeded",
    "Dense",
    "DiskFull",
    "Drained",
    "FieldMismatch",
    "FieldUnknown",
    "FixRequest",
    "GiveUp",
    "Json",
    "Layout",
    "LayoutInvalid",
    "LsnUnknown",
    "MemoryFull",
    "Partition",
    "PartitionConflict",
    "PartitionSealed",
    "PartitionUnknown",
    "Put",
    "Ragged",
    "RetryLater",
    "RetryPolicy",
    "RowsExist",
    "RowsMissing",
    "Scalar",
    "Snapshot",
    "Text",
    "TimedOut",
    "TransferQueueError",
    "Unauthorized",
    "WaitForOthers",
    "__version__",
    "connect",
]

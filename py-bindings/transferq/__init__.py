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
from transferq._checkpoint_files import Checkpoint
from transferq._client import Client, connect
from transferq._columns import Column
from transferq._kv import key_id
from transferq._layouts import Blob, Bytes, Dense, Json, Layout, Ragged, Scalar, Text
from transferq._partition import Partition
from transferq._policies import Group, Pace, Retention, SharedBatch, Task, Tokens, Window
from transferq._put import Put
from transferq._snapshots import Snapshot
from transferq._tags import Listing
from transferq._transport import RetryPolicy
from transferq._watch import Change
from transferq.errors import (
    AnswerInvalid,
    AnswerTooLarge,
    BatchUnknown,
    BlobMissing,
    BodyTooLarge,
    CheckpointInvalid,
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
    FilterInvalid,
    FixRequest,
    GiveUp,
    KeyCollision,
    KeysMissing,
    LayoutInvalid,
    LsnUnknown,
    MemoryFull,
    OverBudget,
    PartitionConflict,
    PartitionExists,
    PartitionSealed,
    PartitionUnknown,
    RetryLater,
    RowsExist,
    RowsMissing,
    TagsInvalid,
    TaskUnknown,
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
    "BatchUnknown",
    "Blob",
    "BlobMissing",
    "BodyTooLarge",
    "Bytes",
    "Change",
    "Checkpoint",
    "CheckpointInvalid",
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
    "FilterInvalid",
    "FixRequest",
    "GiveUp",
    "Group",
    "Json",
    "KeyCollision",
    "KeysMissing",
    "Layout",
    "LayoutInvalid",
    "Listing",
    "LsnUnknown",
    "MemoryFull",
    "OverBudget",
    "Pace",
    "Partition",
    "PartitionConflict",
    "PartitionExists",
    "PartitionSealed",
    "PartitionUnknown",
    "Put",
    "Ragged",
    "Retention",
    "RetryLater",
    "RetryPolicy",
    "RowsExist",
    "RowsMissing",
    "Scalar",
    "SharedBatch",
    "Snapshot",
    "TagsInvalid",
    "Task",
    "TaskUnknown",
    "Text",
    "TimedOut",
    "Tokens",
    "TransferQueueError",
    "Unauthorized",
    "WaitForOthers",
    "Window",
    "__version__",
    "connect",
    "key_id",
]

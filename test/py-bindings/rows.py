"""Rows of two fields whose values tell their ids."""

from __future__ import annotations

from typing import Any

import transferq
from transferq import Batch, Ragged, Scalar

FIELDS = {"x": Scalar("int64"), "r": Ragged("float32")}


def put_rows(partition: transferq.Partition, ids: Any) -> transferq.Put:
    rows = list(ids)
    return partition.put({"x": [row * 10 for row in rows], "r": [[row] * (row % 3) for row in rows]}, index_ids=rows)


def check_rows(batch: Batch, ids: Any) -> None:
    rows = list(ids)
    assert batch.index_ids.tolist() == rows
    assert batch["x"].list() == [row * 10 for row in rows]
    assert batch["r"].list() == [[row] * (row % 3) for row in rows]

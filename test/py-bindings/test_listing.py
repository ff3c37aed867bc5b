"""Listings as Arrow tables, on the real server: those of test/vectors/listing.json, which says what its words mean; the
TypeScript SDK gives the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import transferq
from transferq import Client, Scalar

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "listing.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_table_of_a_listing(real: Client, case: dict[str, Any]) -> None:
    rows = real.partition(f"listing_{case['name']}", fields={"x": Scalar("int32")}, numbers=case["numbers"])
    for row in case["rows"]:
        rows.put({"x": [1]}, index_ids=[row["id"]], tags=row["tags"])
    if case["returned"]:
        claim = rows.claim(task="t", fields=["x"], ids=case["returned"])
        assert isinstance(claim, transferq.Batch)
        claim.release()
    table = rows.list(**case["list"]).arrow()
    table.validate(full=True)
    schema = pa.schema([pa.field(column["name"], pa.type_for_alias(column["type"])) for column in case["columns"]])
    assert table.schema.equals(schema, check_metadata=True)
    assert [column.to_pylist() for column in table.columns] == [column["values"] for column in case["columns"]]

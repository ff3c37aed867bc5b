"""The ids of keys, against the vectors that every language shares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transferq import key_id

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "hash.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: str(case["id"]))
def test_ids_are_those_of_the_vectors(case: dict[str, str | int]) -> None:
    assert key_id(str(case["key"])) == case["id"]

"""The examples of the documentation run, against a real server."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import transferq
from transferq import Client, Dense, Ragged, Scalar
from transferq.testing import Server

MODULES = sorted(found.name for found in pkgutil.iter_modules(transferq.__path__, "transferq.") if not found.ispkg)
EXAMPLES = [
    example
    for name in MODULES
    for example in doctest.DocTestFinder().find(importlib.import_module(name))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example(example: doctest.DocTest, server: Server, real: Client, tmp_path: Path) -> None:
    """Each has two rows, 8 and 9, in a partition of its own."""
    train = real.partition(example.name[-100:], fields={"response": Ragged("int64")})
    put = train.put({"response": [np.array([1, 2, 3]), np.array([4])]}, index_ids=[8, 9])
    real.partition("cells", fields={"advantage": Ragged("float32")})
    example.globs.update(
        {"np": np, "transferq": transferq, "Dense": Dense, "Ragged": Ragged, "Scalar": Scalar},
        url=server.url,
        tq=real,
        train=train,
        put=put,
        directory=tmp_path,
    )
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    written: list[str] = []
    runner.run(example, out=written.append, clear_globs=False)
    assert runner.failures == 0, "".join(written)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10

"""The examples of the documentation run against a real server, as those of test_examples.py do."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import transferq.torch
from transferq import Client, Ragged

MODULES = [
    importlib.import_module(found.name) for found in pkgutil.iter_modules(transferq.torch.__path__, "transferq.torch.")
]
EXAMPLES = [example for module in MODULES for example in doctest.DocTestFinder().find(module) if example.examples]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example(example: doctest.DocTest, real: Client) -> None:
    train = real.partition(example.name[-100:], fields={"response": Ragged("int64")})
    train.put({"response": [np.array([1, 2, 3]), np.array([4])]}, index_ids=[8, 9])
    example.globs.update(train=train, torch=torch)
    written: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=written.append)
    assert runner.failures == 0, "".join(written)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_package_does_not_import_torch() -> None:
    assert python("import sys, transferq; print('torch' in sys.modules)") == "False\n"


def test_without_torch_an_error_says_what_to_install() -> None:
    shown: Any = python("import sys; sys.modules['torch'] = None; import transferq.torch")
    assert "ImportError: transferq.torch needs PyTorch: pip install 'transferq[torch]'." in shown

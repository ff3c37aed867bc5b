"""The twins cannot drift: every public method of the sync client has one of the same name, arguments and facts."""

from __future__ import annotations

import asyncio
import doctest
import inspect
from typing import Any

import pytest
import transferq
import transferq.aio
from transferq import Ragged, aio
from transferq.testing import Server

# Public in name only: the parts of the sync client among themselves.
INTERNAL = {
    "Client": {"end_claim", "get_json", "next_turn", "post_json", "reset_after_fork"},
    "Partition": set(),
    "Batch": {"abandon", "acked_by_put", "lease", "with_keys"},
    "Snapshot": {"lsn_at"},
}
OWN = {"sync", "threads"}
# They ask no server.
PLAIN = {"Batch.arrow", "Batch.keys"}
RETURNS = {
    "Partition.scan": ("Iterator[Batch]", "Pages"),
    "Partition.consume": ("Generator[Batch, None, None]", "Batches"),
    "Partition.watch": ("Iterator[Change]", "Changes"),
    "Client.snapshot": ("Snapshot", "SnapshotOpening"),
}


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def methods() -> list[str]:
    return [
        f"{cls}.{name}"
        for cls in INTERNAL
        for name in sorted(public(getattr(transferq, cls)) - INTERNAL[cls])
        if inspect.isfunction(getattr(getattr(transferq, cls), name))
    ]


def both(method: str) -> tuple[Any, Any]:
    cls, name = method.split(".")
    return getattr(getattr(transferq, cls), name), getattr(getattr(aio, cls), name)


@pytest.mark.parametrize("cls", INTERNAL)
def test_every_public_name_has_a_twin(cls: str) -> None:
    sync, twin = getattr(transferq, cls), getattr(aio, cls)
    assert public(sync) - INTERNAL[cls] <= public(twin)
    assert public(twin) - OWN <= public(sync) | set(instance_attributes(sync))
    special = {"__getitem__", "__iter__", "__len__", "__contains__", "__reduce__", "__repr__"}
    assert special & set(vars(sync)) <= set(vars(twin))


def instance_attributes(cls: type) -> set[str]:
    """Names that its docstring promises."""
    documented = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")[2]
    return {line.strip().partition(":")[0] for line in documented.splitlines() if ":" in line}


@pytest.mark.parametrize("method", methods())
def test_signatures_are_the_same(method: str) -> None:
    sync, twin = (inspect.signature(function) for function in both(method))
    # Without self: methods that stand in other modules name its class.
    assert list(sync.parameters.values())[1:] == list(twin.parameters.values())[1:]
    expected = RETURNS.get(method, (sync.return_annotation, sync.return_annotation))
    assert (sync.return_annotation, twin.return_annotation) == expected


@pytest.mark.parametrize("method", methods())
def test_what_asks_the_server_is_a_coroutine(method: str) -> None:
    _, twin = both(method)
    assert inspect.iscoroutinefunction(twin) == (method not in PLAIN and method not in RETURNS)


@pytest.mark.parametrize("method", [*methods(), "Client", "Partition", "Batch", "Snapshot", "connect"])
def test_the_facts_of_the_docstring_are_the_same(method: str) -> None:
    if "." in method:
        sync, twin = both(method)
    else:
        sync, twin = getattr(transferq, method), getattr(aio, method)
    facts = inspect.cleandoc(sync.__doc__).split("\n>>> ")[0].strip()
    own = inspect.getdoc(twin)
    assert own is not None
    assert facts in own
    assert ">>>" not in own


def test_connect_takes_the_same() -> None:
    sync, twin = inspect.signature(transferq.connect), inspect.signature(aio.connect)
    assert sync.parameters == twin.parameters


def test_the_example_of_the_package_runs(server: Server) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(aio, "transferq.aio", globs={})
    example.globs.update({"asyncio": asyncio, "transferq": transferq, "Ragged": Ragged}, url=server.url)
    written: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(example, out=written.append)
    assert runner.tries > 0
    assert runner.failures == 0, "".join(written)

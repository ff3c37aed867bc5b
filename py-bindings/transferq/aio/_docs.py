"""Docstrings of twins: what is special to asyncio is written beside the coroutine, all else comes from the sync client.

Invariants: a fact stands in one place; the examples of the sync client, which would not run here, are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

Own = TypeVar("Own", bound=Callable[..., Any])

EXAMPLE: Final = "\n>>> "


def twin(of: Callable[..., Any]) -> Callable[[Own], Own]:
    """Appends the docstring of the sync class or method to that of its twin."""

    def add(own: Own) -> Own:
        # Under -OO there are none.
        if own.__doc__ is not None and of.__doc__ is not None:
            facts = inspect.cleandoc(of.__doc__).split(EXAMPLE)[0].strip()
            own.__doc__ = f"{inspect.cleandoc(own.__doc__)}\n\n{facts}\n"
        return own

    return add

"""Calls that wait at the server for room in the budgets of a partition.

    request --wait_ms: what is left of the wait--> done
                                               --> refused: again while some of the wait is left, else OverBudget

Invariants: what raises OverBudget did nothing; what can never fit does not wait.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from transferq._http import Answer, Origin
from transferq._transport import Request
from transferq.errors import OverBudget

if TYPE_CHECKING:
    from transferq._client import Client
    from transferq._read import Wait

# Before a call that was refused in spite of its wait is sent again (seconds).
REFUSED_PAUSE_S: Final = 0.1


def call_for_room(client: Client, origin: Origin, request: Request, wait: Wait) -> Answer:
    """The answer to a request whose target may take ``wait_ms``."""
    while True:
        wait_ms = wait.next_ms(client.limits()["wait_ms_max"])
        try:
            return client.transport.call(origin, _waiting(request, wait_ms), wait_s=wait_ms / 1000)
        except OverBudget as error:
            if wait.left_s() <= 0 or _never_fits(error):
                raise
        # The server did not wait to the end, where as many calls wait as it can hold.
        client.transport.pause(min(REFUSED_PAUSE_S, wait.left_s()))


def _waiting(request: Request, wait_ms: int) -> Request:
    if wait_ms == 0:
        return request
    joint = "&" if "?" in request.target else "?"
    return dataclasses.replace(request, target=f"{request.target}{joint}wait_ms={wait_ms}")


def _never_fits(error: OverBudget) -> bool:
    """Whether it alone is larger than the whole budget; a pace lets all rows in, one day."""
    asked, limit = error.details.get("asked"), error.details.get("limit")
    return error.details.get("budget") != "pace" and isinstance(asked, int) and isinstance(limit, int) and asked > limit

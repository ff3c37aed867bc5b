"""What `--kill` does in mid-run: `kill -9` for one rollout worker that holds rows, then for the server.

    third of the steps   freeze rollout-0, look into its history, kill it if it holds a claim (else thaw, try again),
                         start rollout-0b in its place; its rows come back when the lease ends
    half of the steps    kill the server, start it again on the same data; the workers' retries bridge the gap

Each happens once. All other processes go on and must neither notice nor lose a row.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transferq.demo.processes import Crew
    from transferq.demo.progress import Progress
    from transferq.demo.settings import Settings
    from transferq.testing import Server

VICTIM = "rollout-0"
SUCCESSOR = "rollout-0b"
AIM_S_MAX = 10.0
AIM_PAUSE_S = 0.003


class Chaos:
    """The kills of a run; each happens once, when the trainer has come far enough."""

    def __init__(self, settings: Settings, crew: Crew, server: Server, progress: Progress) -> None:
        self._crew, self._server, self._progress = crew, server, progress
        self._due = [(settings.steps // 3, self._kill_rollout), (settings.steps // 2, self._kill_server)]
        if not settings.kill:
            self._due.clear()

    @property
    def done(self) -> bool:
        """Whether nothing is left to kill."""
        return not self._due

    def tick(self) -> None:
        """Do what is due."""
        while self._due and self._progress.version >= self._due[0][0]:
            _, kill = self._due.pop(0)
            kill()

    def _kill_rollout(self) -> None:
        victim = self._crew[VICTIM]
        deadline = time.monotonic() + AIM_S_MAX
        while True:
            victim.freeze()
            self._progress.read()
            if self._progress.holds_claim(VICTIM) or time.monotonic() > deadline:
                break
            victim.thaw()
            time.sleep(AIM_PAUSE_S)
        self._crew.replace("rollout", VICTIM, SUCCESSOR)
        self._progress.note_kill(VICTIM)

    def _kill_server(self) -> None:
        self._server.kill()
        self._progress.note_kill("server")
        self._server.restart()

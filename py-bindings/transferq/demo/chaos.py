"""What `--kill` does in mid-run: `kill -9` for one rollout worker that holds rows, for the server, and for the trainer.

    a third of the steps   freeze rollout-0, look into its history, kill it if it holds a claim (else thaw, try again),
                           start rollout-0b in its place; its rows come back when the lease ends
    half of the steps      kill the server, start it again on the same data; the workers' retries bridge the gap
    two thirds             kill the trainer in the same way as the rollout worker, and start it again: it goes on from
                           its checkpoint; rows that its former life held come back when the lease ends

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

AIM_S_MAX = 10.0
AIM_PAUSE_S = 0.003


class Chaos:
    """The kills of a run; each happens once, when the trainer has come far enough."""

    def __init__(self, settings: Settings, crew: Crew, server: Server, progress: Progress) -> None:
        self._crew, self._server, self._progress = crew, server, progress
        self._due = [
            (settings.steps // 3, self._kill_rollout),
            (settings.steps // 2, self._kill_server),
            (settings.steps * 2 // 3, self._kill_trainer),
        ]
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
        self._kill_holder("rollout", "rollout-0", successor="rollout-0b")

    def _kill_trainer(self) -> None:
        self._kill_holder("trainer", "trainer", successor="trainer")

    def _kill_holder(self, stage: str, name: str, *, successor: str) -> None:
        victim = self._crew[name]
        deadline = time.monotonic() + AIM_S_MAX
        while True:
            victim.freeze()
            self._progress.read()
            if self._progress.holds_claim(name) or time.monotonic() > deadline:
                break
            victim.thaw()
            time.sleep(AIM_PAUSE_S)
        self._crew.replace(stage, name, successor)
        self._progress.note_kill(name)

    def _kill_server(self) -> None:
        self._server.kill()
        self._progress.note_kill("server")
        self._server.restart()

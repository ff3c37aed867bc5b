"""The processes of a run: started, watched, killed on purpose, and all ended at the end, by their process ids.

    out/logs/<name>.log    standard output and error of each process

Each process has a process group of its own, so a Ctrl-C reaches this process only, which then ends the others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STOP_S_MAX = 5.0
LOG_LINES_SHOWN = 15


class DemoError(Exception):
    """The run cannot go on; the message says why and where to look."""


@dataclass
class Child:
    """One process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.process.kill()
        self.process.wait(STOP_S_MAX)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end; insist if it does not."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def failure(self) -> DemoError:
        """Why it ended, from its exit code and the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        text = "\n".join(f"    {line}" for line in lines) or "    (empty)"
        return DemoError(f"{self.name} ended with code {self.process.returncode}; the end of {self.log}:\n{text}")


def start_child(name: str, command: Sequence[str], logs: Path) -> Child:
    """Start a process; by the end of its standard input it can see that this process is gone."""
    log = logs / f"{name}.log"
    # One thread per numeric library and process: the stages are what runs in parallel.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Child(name, process, log)


class Crew:
    """The workers of a run. A worker that was killed is started again under a new name, with a history of its own."""

    def __init__(self, url: str, out: Path) -> None:
        self.logs = out / "logs"
        self._url = url
        self._out = out
        self._children: dict[str, Child] = {}

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def start(self, stage: str, name: str) -> None:
        command = [sys.executable, "-m", "transferq.demo.stage", stage, "--name", name]
        command += ["--url", self._url, "--out", str(self._out)]
        self._children[name] = start_child(name, command, self.logs)

    def replace(self, stage: str, name: str, new_name: str) -> None:
        """Kill a worker and start another one in its place."""
        child = self._children.pop(name)
        child.kill()
        child.stop()
        self.start(stage, new_name)

    def all_done(self) -> bool:
        """Whether all workers have ended well; raises DemoError when one has ended badly."""
        codes = {name: child.process.poll() for name, child in self._children.items()}
        for name, code in codes.items():
            if code not in (None, 0):
                raise self._children[name].failure()
        return all(code == 0 for code in codes.values())

    def stop(self) -> None:
        for child in self._children.values():
            child.stop()

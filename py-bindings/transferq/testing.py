"""A server of its own for each test: on a free port, with data in a temporary directory, gone when the test ends.

    import transferq
    from transferq.testing import start_server

    def test_my_stage():
        with start_server() as server, transferq.connect(server.url) as tq:
            ...

The server is found as `TQ_SERVER_COMMAND`, in the repository that this package lies in, or as `tq` on the PATH.
Invariants: no process and no temporary directory outlives the context, also when the test fails; a server ends with the
process that started it, also when that one is killed.
"""

from __future__ import annotations

import os
import queue
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 20.0
READY_LINE: Final = "tq: ready at "
MEMORY: Final = "256MiB"
# Lines of its log that are kept for the message when a server does not start.
LOG_LINES_MAX: Final = 200
# Its input is a pipe from the process that started the server, and ends with that process, in whatever way it ends.
GUARD: Final = 'read -r _; kill -9 "$1"'


class ServerFailed(RuntimeError):
    """The server cannot be found, or did not start; the message says why."""


def server_command() -> list[str]:
    """The command that runs ``tq``, without arguments; raises ServerFailed when there is none."""
    given = os.environ.get("TQ_SERVER_COMMAND")
    if given:
        return shlex.split(given)
    repository = Path(__file__).resolve().parents[2]
    node, main = repository / "node_modules" / ".bin" / "node", repository / "server" / "main.ts"
    if main.is_file() and node.exists():
        return [str(node), str(main)]
    installed = shutil.which("tq")
    if installed:
        return [installed]
    raise ServerFailed(
        "No Transfer-Queue server was found. Install one with `npm install -g @transfer-queue/server`, run `npm ci` in "
        "the repository, or set TQ_SERVER_COMMAND to the command that runs it."
    )


class Server:
    """A running server.

    Attributes:
        url: where it listens; the same after `restart`.
        data: its data directory.
        process: the running process.
    """

    def __init__(self, data: Path, port: int, settings: dict[str, Any]) -> None:
        self.data = data
        self.url = ""
        self._port = port
        self._settings = settings
        self._log: list[str] = []
        self.process = self._start()

    def kill(self) -> None:
        """Kills the process as ``kill -9`` does; nothing is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends the process gracefully. A second call does nothing."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Starts the process again, on the same port and data; stops it first where it still runs."""
        self.stop()
        self.process = self._start()

    @property
    def log(self) -> str:
        """The last lines that the server wrote."""
        return "".join(self._log)

    def _start(self) -> subprocess.Popen[str]:
        options = {"data": self.data, "port": self._port, "memory": MEMORY, **self._settings}
        arguments = [part for name, value in options.items() for part in _option(name, value)]
        process = subprocess.Popen(
            [*server_command(), "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C in a terminal ends the test, which then stops the server.
            start_new_session=True,
        )
        ready: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read_log, args=(process, ready), daemon=True).start()
        try:
            self.url = ready.get(timeout=READY_WITHIN_S)
        except queue.Empty:
            self.url = ""
        if not self.url:
            process.kill()
            process.wait()
            raise ServerFailed(f"The server did not start. It wrote:\n{self.log}")
        self._port = int(self.url.rpartition(":")[2])
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "sh", str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return process

    def _read_log(self, process: subprocess.Popen[str], ready: queue.SimpleQueue[str]) -> None:
        """Reads to the end, so that the pipe never fills; tells the URL, and an empty one at the end."""
        if process.stdout is None:
            raise ServerFailed("The output of the server is not a pipe.")
        with process.stdout as lines:
            for line in lines:
                self._log.append(line)
                del self._log[:-LOG_LINES_MAX]
                if line.startswith(READY_LINE):
                    ready.put(line.removeprefix(READY_LINE).strip())
        ready.put("")

    def _end(self, number: signal.Signals) -> None:
        process = self.process
        # Before the process ends, so that it never kills another one that got the same number.
        with self._guard:
            self._guard.kill()
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


@contextmanager
def start_server(data: str | os.PathLike[str] | None = None, port: int = 0, **settings: Any) -> Iterator[Server]:
    """Runs a server until the context ends.

    Args:
        data: its data directory, which stays; default: a temporary one, which is removed.
        port: where it listens; 0 takes a free port.
        settings: further options of ``tq serve``, with ``_`` for ``-``: ``memory="64MiB"``, ``log_level="debug"``.

    Raises ServerFailed when there is no server to be found, or when it does not start.

    >>> from transferq.testing import start_server
    >>> with start_server() as server, transferq.connect(server.url) as client:
    ...     client.partitions()
    []
    """
    directory = Path(data) if data is not None else Path(tempfile.mkdtemp(prefix="tq-"))
    try:
        server = Server(directory, port, settings)
        try:
            yield server
        finally:
            server.stop()
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)


def _option(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if value is True:
        return [flag]
    return [] if value is None or value is False else [flag, str(value)]

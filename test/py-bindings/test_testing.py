"""start_server: a server per test, that can be killed and started again, and that leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import transferq
from transferq import Scalar
from transferq.testing import ServerFailed, server_command, start_server


def test_a_server_is_killed_restarted_and_stopped(tmp_path: Path) -> None:
    with start_server(tmp_path / "data") as server, transferq.connect(server.url) as tq:
        partition = tq.partition("p", fields={"x": Scalar("int64")})
        partition.put({"x": np.arange(100)}, index_ids=np.arange(100))
        url, first = server.url, server.process
        server.kill()
        assert first.poll() is not None
        server.restart()
        assert server.url == url
        # The same client, whose connections are gone.
        assert partition.get(range(100))["x"].list() == list(range(100))
        second = server.process
        server.stop()
        server.stop()
        assert second.poll() is not None
    assert (tmp_path / "data").exists()


def test_a_server_ends_with_a_process_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from transferq.testing import start_server\n"
        "with start_server(sys.argv[1]) as server:\n"
        "    print(server.url, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    url = subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout.strip()
    port = int(url.rpartition(":")[2])
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("the server still listens")


def test_temporary_data_is_removed_also_after_a_failure() -> None:
    def fail() -> None:
        with start_server() as server:
            seen.append(server)
            raise RuntimeError("test failed")

    seen: list[transferq.testing.Server] = []
    with pytest.raises(RuntimeError, match="test failed"):
        fail()
    assert not seen[0].data.exists()
    assert seen[0].process.poll() is not None


def test_a_server_that_does_not_start_shows_its_log() -> None:
    with pytest.raises(ServerFailed, match=r"It wrote:\n(.|\n)+"), start_server(no_such_option=1):
        pass


def test_the_command_is_found_or_the_message_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TQ_SERVER_COMMAND", "node 'a b/main.js' --x")
    assert server_command() == ["node", "a b/main.js", "--x"]
    monkeypatch.delenv("TQ_SERVER_COMMAND")
    monkeypatch.setattr("transferq.testing.__file__", str(tmp_path / "site" / "transferq" / "testing.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="npm install"):
        server_command()
    (tmp_path / "tq").write_text("#!/bin/sh\n")
    os.chmod(tmp_path / "tq", 0o755)
    assert server_command() == [str(tmp_path / "tq")]

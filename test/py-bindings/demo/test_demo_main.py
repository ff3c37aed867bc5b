"""The demo as its users run it: processes, a real server, kills, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN_S_MAX = 100.0


def start_demo(out, *options):
    command = [sys.executable, "-m", "transferq.demo", "--quick", "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def processes_of(out, *words):
    """Ids of the processes that have the folder and these words in their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(out) in line and all(word in line for word in words):
                found.append(int(entry.name))
    return found


def wait_for(condition):
    deadline = time.monotonic() + RUN_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kills_of_a_worker_and_the_server_lose_nothing(tmp_path):
    out = tmp_path / "out"
    demo = start_demo(out, "--kill", "--json", str(tmp_path / "report.json"))
    text, _ = demo.communicate(timeout=RUN_S_MAX)
    assert demo.returncode == 0, text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kills"] == ["rollout-0", "server", "trainer"]
    assert [report[kind] for kind in ("lost", "duplicated", "corrupt", "too_old")] == [0, 0, 0, 0]
    assert report["samples"] + report["skipped"] == 30 * 8 * 8
    assert sum(report["staleness"].values()) == report["samples"]
    assert report["redelivered"] > 0
    assert report["bytes_through_store"] > 0
    for name in ("accuracy.png", "stages.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert "0 / 0 / 0" in text
    assert processes_of(out) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_processes(tmp_path, number):
    demo = start_demo(tmp_path)
    wait_for(lambda: len(processes_of(tmp_path, "transferq.demo.stage")) >= 6)
    demo.send_signal(number)
    text, _ = demo.communicate(timeout=RUN_S_MAX)
    assert demo.returncode == 130, text
    assert "Interrupted" in text
    # A worker that was being started at that moment ends by itself when its standard input does.
    wait_for(lambda: processes_of(tmp_path) == [])


def test_a_worker_that_dies_by_itself_fails_the_demo(tmp_path):
    demo = start_demo(tmp_path)
    wait_for(lambda: processes_of(tmp_path, "--name reference"))
    os.kill(processes_of(tmp_path, "--name reference")[0], signal.SIGKILL)
    text, _ = demo.communicate(timeout=RUN_S_MAX)
    assert demo.returncode == 1, text
    assert "reference ended with code -9" in text
    wait_for(lambda: processes_of(tmp_path) == [])

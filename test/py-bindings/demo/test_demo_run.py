"""The orchestrator's own parts: processes that die or outlive us, settings, report, plots and plain progress lines."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from fake_store import FakeStore
from rich.console import Console
from test_demo_stages import SETTINGS, run_stages
from transferq.demo.display import Display
from transferq.demo.plots import draw_plots
from transferq.demo.processes import Crew, DemoError, start_child
from transferq.demo.report import make_report, print_report
from transferq.demo.settings import Settings

WAIT_S_MAX = 20.0
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def wait_for(condition):
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_settings_travel_as_a_file(tmp_path):
    settings = Settings(seed=3, steps=9, kill=True)
    settings.save(tmp_path / "settings.json")
    assert Settings.load(tmp_path / "settings.json") == settings
    assert settings.row_count == 9 * 16 * 8


def test_a_dead_worker_is_reported_with_the_end_of_its_log(tmp_path):
    child = start_child("w", [sys.executable, "-c", "raise SystemExit('out of cheese')"], tmp_path)
    wait_for(lambda: child.process.poll() is not None)
    assert "w ended with code 1" in str(child.failure())
    assert "out of cheese" in str(child.failure())
    child.stop()


def test_the_crew_fails_when_a_worker_cannot_work(tmp_path):
    for folder in ("logs", "history"):
        (tmp_path / folder).mkdir()
    crew = Crew("http://127.0.0.1:1", tmp_path)
    crew.start("reward", "reward")
    with pytest.raises(DemoError, match=r"settings\.json"):
        wait_for(crew.all_done)
    crew.stop()


def test_a_child_can_be_frozen_thawed_killed_and_stopped(tmp_path):
    child = start_child("w", SLEEP, tmp_path)
    child.freeze()
    wait_for(lambda: _state(child.process.pid) == "T")
    child.thaw()
    wait_for(lambda: _state(child.process.pid) in "SR")
    child.kill()
    assert child.process.returncode == -signal.SIGKILL
    child.stop()
    other = start_child("v", SLEEP, tmp_path)
    other.stop()
    assert other.process.returncode == -signal.SIGTERM


def test_a_stage_ends_when_its_parent_is_gone(tmp_path):
    command = [
        sys.executable,
        "-m",
        "transferq.demo.stage",
        "reward",
        "--name",
        "reward",
        "--url",
        "http://127.0.0.1:1",
    ]
    # A pipe as the settings file keeps the stage waiting until its standard input ends.
    os.mkfifo(tmp_path / "settings.json")
    process = subprocess.Popen([*command, "--out", str(tmp_path)], stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(WAIT_S_MAX) == 3


def test_report_plots_and_progress_of_a_run(tmp_path):
    progress, errors = run_stages(FakeStore(), tmp_path)
    assert errors == []
    progress.note_kill("server")
    text = io.StringIO()
    console = Console(file=text, width=120)
    with Display(console, SETTINGS) as display:
        display.show(progress)
    assert f"version {SETTINGS.steps}/{SETTINGS.steps}" in text.getvalue()
    report = make_report(SETTINGS, progress)
    assert (report.samples, report.lost, report.duplicated, report.corrupt) == (SETTINGS.row_count, 0, 0, 0)
    files = draw_plots(progress, tmp_path)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files.values())
    print_report(console, report, files)
    assert "0 / 0 / 0" in text.getvalue()
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert {
        "samples",
        "skipped",
        "staleness",
        "lost",
        "too_old",
        "duplicated",
        "accuracy_before",
        "accuracy_after",
        "seconds",
    } <= saved.keys()
    assert {"bytes_through_store", "put_p50_ms", "claim_wait_p50_ms"} <= saved.keys()


def _state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(") ")[2][0]

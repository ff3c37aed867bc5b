"""One run from start to end: server and workers up, watched until the queue is drained, everything down, then judged.

out/settings.json --> workers --> out/history/*.jsonl --> progress, verdict, report, plots
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Final

from transferq.demo.chaos import Chaos
from transferq.demo.display import Display
from transferq.demo.plots import draw_plots
from transferq.demo.processes import Crew, DemoError
from transferq.demo.progress import Progress
from transferq.demo.report import make_report, print_report
from transferq.demo.settings import ROLLOUT_WORKERS
from transferq.testing import start_server

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from transferq.demo.report import Report
    from transferq.demo.settings import Settings
    from transferq.testing import Server

POLL_S: Final = 0.1
OURS: Final = ("data", "history", "logs")
OUR_FILES: Final = ("checkpoint.pt", "checkpoint.new")


def run_demo(settings: Settings, *, out: Path, console: Console) -> Report:
    """Run it all; raises DemoError when a process dies or nothing moves any more."""
    _prepare(out)
    settings.save(out / "settings.json")
    progress = Progress(out / "history")
    with start_server(data=out / "data") as server:
        crew = Crew(server.url, out)
        try:
            crew.start("trainer", "trainer")
            for index in range(ROLLOUT_WORKERS):
                crew.start("rollout", f"rollout-{index}")
            for stage in ("reference", "reward", "prompts"):
                crew.start(stage, stage)
            _watch(settings, progress, crew, server, console)
        finally:
            crew.stop()
            (out / "logs" / "server.log").write_text(server.log, encoding="utf-8")
    report = make_report(settings, progress)
    print_report(console, report, draw_plots(progress, out))
    if report.ok:
        shutil.rmtree(out / "data")
    return report


def _watch(settings: Settings, progress: Progress, crew: Crew, server: Server, console: Console) -> None:
    """Until all workers have ended well."""
    chaos = Chaos(settings, crew, server, progress)
    version, moved_at = 0, time.monotonic()
    with Display(console, settings) as display:
        done = False
        while not done:
            done = crew.all_done()
            if server.process.poll() is not None:
                raise DemoError(
                    f"the server ended with code {server.process.returncode}; see {crew.logs / 'server.log'}"
                )
            progress.read()
            display.show(progress)
            chaos.tick()
            now = time.monotonic()
            if progress.version > version:
                version, moved_at = progress.version, now
            if now - moved_at > settings.silence_s_max:
                raise DemoError(f"no training step for {settings.silence_s_max:.0f} s; see the logs and histories")
            if progress.elapsed_s > settings.run_s_max:
                raise DemoError(f"not done within {settings.run_s_max:.0f} s, at version {progress.version}")
            time.sleep(POLL_S)
    if not chaos.done:
        raise DemoError("the run was over before all kills were done; give it more --steps")


def _prepare(out: Path) -> None:
    """Empty folders and no files of our own; whatever else lies under `out` stays."""
    for name in OURS:
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    for name in OUR_FILES:
        (out / name).unlink(missing_ok=True)

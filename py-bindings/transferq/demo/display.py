"""Shows a run while it goes: a live table on a terminal, one plain line each few seconds anywhere else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from transferq.demo.schema import TASKS

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, Group

    from transferq.demo.progress import Progress
    from transferq.demo.settings import Settings

LINE_INTERVAL_S: Final = 3.0
LIVE_PER_S: Final = 4
BAR_WIDTH: Final = 40
MB: Final = 1e6


class Display:
    """A context manager; `show` is cheap to call often."""

    def __init__(self, console: Console, settings: Settings) -> None:
        from rich.live import Live

        self._console = console
        self._settings = settings
        self._live = Live(console=console, refresh_per_second=LIVE_PER_S) if console.is_terminal else None
        self._line_at = 0.0

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(_table(progress, self._settings))
        elif time.monotonic() - self._line_at >= LINE_INTERVAL_S:
            self._line_at = time.monotonic()
            self._console.print(_line(progress, self._settings), highlight=False, soft_wrap=True)


def _line(progress: Progress, settings: Settings) -> str:
    consumed = "  ".join(f"{task} {progress.done(task)}" for task in TASKS)
    return (
        f"{progress.elapsed_s:6.1f} s  version {progress.version}/{settings.steps}  {_learning(progress)}  "
        f"rows {progress.rows_produced}  {consumed}  "
        f"skipped {progress.rows_skipped}  {progress.bytes_per_s() / MB:.1f} MB/s{_kills(progress)}"
    )


def _table(progress: Progress, settings: Settings) -> Group:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2))
    table.add_column("task")
    table.add_column("rows done", justify="right")
    table.add_column("", width=BAR_WIDTH)
    for task in TASKS:
        rows = progress.done(task)
        table.add_row(task, f"{rows:,}", ProgressBar(total=settings.row_count, completed=rows, width=BAR_WIDTH))
    head = (
        f"version {progress.version} of {settings.steps}   {_learning(progress)}   {progress.rows_produced:,} rows "
        f"produced   {progress.rows_skipped:,} skipped   {progress.bytes_per_s() / MB:.1f} MB/s   "
        f"{progress.elapsed_s:.0f} s{_kills(progress)}"
    )
    return Group(Text(head), table)


def _learning(progress: Progress) -> str:
    words = []
    if progress.accuracies:
        words.append(f"held-out {progress.accuracies[-1][1]:.3f}")
    if progress.steps:
        step = progress.steps[-1]
        words += [f"reward {step.reward:.3f}", f"staleness {step.staleness_mean:.1f} (max {step.staleness_max})"]
    return "  ".join(words) or "starting"


def _kills(progress: Progress) -> str:
    return "".join(f"  killed {name} at {version}" for version, name in progress.kills)

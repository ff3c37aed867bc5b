"""The result of a run: the verdict on its histories, what was learned, and what went through the store how fast."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from transferq.demo.histories import judge
from transferq.demo.progress import mean_of

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from transferq.demo.calls import Call
    from transferq.demo.progress import Progress
    from transferq.demo.settings import Settings


@dataclass(frozen=True)
class Report:
    """What `--json` writes; the names are stable."""

    seed: int
    steps: int
    samples: int
    skipped: int
    lost: int
    too_old: int
    duplicated: int
    corrupt: int
    redelivered: int
    refused: int
    unknown: int
    kills: list[str]
    accuracy_before: float
    accuracy_after: float
    accuracy_goal: float
    reward_after: float
    staleness: dict[int, int]
    staleness_mean: float
    staleness_max: int
    rows_stored_max: int
    seconds: float
    bytes_through_store: int
    put_p50_ms: float
    put_p99_ms: float
    claim_wait_p50_ms: float
    claim_wait_p99_ms: float
    ok: bool

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def make_report(settings: Settings, progress: Progress) -> Report:
    """The report of a run that has drained."""
    calls = progress.calls
    verdict = judge(calls, max_staleness=settings.max_staleness, skipped_told=progress.rows_skipped)
    staleness = progress.staleness
    accuracy_after = progress.accuracies[-1][1]
    puts = latencies_ms([call for call in calls if not call.is_prompt_put], "put")
    waits = latencies_ms(calls, "claim")
    return Report(
        seed=settings.seed,
        steps=progress.version,
        **asdict(verdict),
        kills=[name for _, name in progress.kills],
        accuracy_before=round(progress.accuracies[0][1], 4),
        accuracy_after=round(accuracy_after, 4),
        accuracy_goal=settings.accuracy_goal,
        reward_after=round(progress.steps[-1].reward, 4),
        staleness=dict(sorted(staleness.items())),
        staleness_mean=round(mean_of(staleness), 2),
        staleness_max=max(staleness),
        rows_stored_max=progress.rows_stored_max,
        seconds=round(progress.elapsed_s, 1),
        bytes_through_store=progress.byte_count,
        put_p50_ms=quantile(puts, 0.5),
        put_p99_ms=quantile(puts, 0.99),
        claim_wait_p50_ms=quantile(waits, 0.5),
        claim_wait_p99_ms=quantile(waits, 0.99),
        ok=verdict.clean
        and verdict.samples + verdict.skipped == settings.row_count
        and accuracy_after >= settings.accuracy_goal,
    )


def latencies_ms(calls: list[Call], op: str) -> list[float]:
    """Sorted durations of the calls of one kind that ended well, in milliseconds."""
    return sorted(call.latency_ms for call in calls if call.op == op and call.end == "ok")


def quantile(ordered: list[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed, to a hundredth; 0 without values."""
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2) if ordered else 0.0


def print_report(console: Console, report: Report, files: dict[str, Path]) -> None:
    """The summary table."""
    from rich.table import Table

    table = Table(title="Transfer-Queue demo: GRPO on handwritten digits", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value")
    for what, value in _summary(report).items():
        table.add_row(what, value)
    for what, path in files.items():
        table.add_row(what, str(path))
    console.print(table)


def _summary(report: Report) -> dict[str, str]:
    return {
        "held-out digit accuracy": f"{report.accuracy_before:.3f} -> {report.accuracy_after:.3f}",
        "samples trained on": f"{report.samples:,} in {report.steps} steps",
        "skipped, too old to be drawn": f"{report.skipped:,}",
        "lost / duplicated / corrupt": f"{report.lost} / {report.duplicated} / {report.corrupt}",
        "drawn outside the window": f"{report.too_old}",
        "redelivered after a kill": f"{report.redelivered}",
        "killed": ", ".join(report.kills) or "nobody",
        "versions old when trained on": _shares(report.staleness),
        "rows in the store at a time": f"at most {report.rows_stored_max:,}, as seen every few steps",
        "time": f"{report.seconds} s",
        "bytes through the store": f"{report.bytes_through_store / 1e6:,.1f} MB",
        "put of results": f"p50 {report.put_p50_ms} ms, p99 {report.put_p99_ms} ms",
        "claim, waiting included": f"p50 {report.claim_wait_p50_ms} ms, p99 {report.claim_wait_p99_ms} ms",
    }


def _shares(staleness: dict[int, int]) -> str:
    rows_in_all = sum(staleness.values())
    return ", ".join(f"{age}: {rows / rows_in_all:.1%}" for age, rows in staleness.items())

"""The two plots of a run: what was learned over the steps, and what each stage moved through the store how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from transferq.demo.report import latencies_ms, quantile

if TYPE_CHECKING:
    from pathlib import Path

    from transferq.demo.calls import Call
    from transferq.demo.progress import Progress

STAGES: Final = ("prompts", "rollout", "reference", "reward", "trainer")
BLUE, ORANGE, GREY, RED = "#2b6cb0", "#dd6b20", "#a0aec0", "#c53030"
SHARES: Final = (0.5, 0.9, 0.99)
DPI: Final = 130


def draw_plots(progress: Progress, out: Path) -> dict[str, Path]:
    """Write `accuracy.png` and `stages.png` under `out`; returns their paths by what they show."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True})
    files = {"accuracy over steps": out / "accuracy.png", "bytes and latency": out / "stages.png"}
    _save(_accuracy(progress), files["accuracy over steps"])
    _save(_stages(progress.calls), files["bytes and latency"])
    return files


def _accuracy(progress: Progress) -> Any:
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(10, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[3, 1], width_ratios=[5, 1])
    learning = figure.add_subplot(grid[0, 0])
    age = figure.add_subplot(grid[1, 0], sharex=learning)
    _ages(figure.add_subplot(grid[:, 1]), progress)
    versions = [step.version for step in progress.steps]
    rewards = [step.reward for step in progress.steps]
    learning.plot(versions, rewards, color=GREY, lw=1, label="mean reward of the batch")
    learning.plot(*zip(*progress.accuracies, strict=True), color=BLUE, lw=2, label="held-out digit accuracy")
    last_version, last = progress.accuracies[-1]
    learning.annotate(f"{last:.3f}", (last_version, last), (4, 0), textcoords="offset points", color=BLUE, va="center")
    learning.set(ylim=(0, 1.02), ylabel="share of digits right", title="Learned by reinforcement alone")
    learning.legend(loc="lower right", frameon=False)
    age.plot(versions, [step.staleness_max for step in progress.steps], color=GREY, lw=1, label="oldest sample")
    age.plot(versions, [step.staleness_mean for step in progress.steps], color=ORANGE, lw=1.5, label="mean")
    oldest = max((step.staleness_max for step in progress.steps), default=0)
    age.set(xlabel="trainer step = policy version", ylabel="staleness\n(versions)", ylim=(0, oldest * 1.5 + 1))
    age.set_xlim(0, last_version * 1.07)
    age.legend(loc="upper right", frameon=False, ncols=2)
    learning.tick_params(labelbottom=False)
    for axes in (learning, age):
        axes.grid(alpha=0.3)
        for version, _ in progress.kills:
            axes.axvline(version, color=RED, lw=1, ls="--")
    for version, name in progress.kills:
        learning.annotate(
            f"kill -9 {name}", (version, 0.03), (3, 0), textcoords="offset points", color=RED, rotation=90, fontsize=8
        )
    return figure


def _ages(axes: Any, progress: Progress) -> None:
    """How many samples were how old when they were trained on, and how many were too old."""
    staleness = sorted(progress.staleness.items())
    rows_in_all = sum(rows for _, rows in staleness) + progress.rows_skipped
    bars = [(str(age), rows, ORANGE) for age, rows in staleness] + [("skipped", progress.rows_skipped, GREY)]
    names, counts, colors = zip(*bars, strict=True)
    shares = [100 * rows / rows_in_all for rows in counts]
    axes.barh(range(len(bars)), shares, color=colors)
    axes.bar_label(axes.containers[0], fmt="%.1f", padding=3, fontsize=8)
    axes.set_yticks(range(len(bars)), names)
    axes.set(xlabel="% of samples", title="Staleness")
    axes.invert_yaxis()
    axes.margins(x=0.3)


def _stages(calls: list[Call]) -> Any:
    from matplotlib import pyplot

    figure, (sizes, times) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    by_stage = {stage: [call for call in calls if call.worker.startswith(stage)] for stage in STAGES}
    heights = range(len(STAGES))
    put = [_megabytes(each, {"put"}) for each in by_stage.values()]
    got = [_megabytes(each, {"claim", "read"}) for each in by_stage.values()]
    sizes.barh([y - 0.19 for y in heights], put, 0.36, color=BLUE, label="put")
    sizes.barh([y + 0.19 for y in heights], got, 0.36, color=ORANGE, label="got")
    for bars in sizes.containers:
        sizes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    sizes.set(title="Bytes through the store (MB)")
    sizes.margins(x=0.12)
    for op, color, shift, label in (
        ("put", BLUE, -0.15, "put, waiting for the pace included"),
        ("claim", ORANGE, 0.15, "claim, waiting included"),
    ):
        for y, each in zip(heights, by_stage.values(), strict=True):
            durations = latencies_ms(each, op)
            if durations:
                marks = [quantile(durations, share) for share in SHARES]
                times.plot(marks, [y + shift] * len(marks), color=color, lw=1.5)
                name = label if y == 1 else None
                times.scatter(marks, [y + shift] * len(marks), s=(34, 18, 8), color=color, label=name)
    times.set(title="Latency (ms): p50, p90, p99, large to small dot", xscale="log")
    for axes in (sizes, times):
        axes.set_yticks(list(heights), STAGES)
        axes.set_ylim(len(STAGES) - 0.4, -0.6)
        axes.grid(axis="x", alpha=0.3)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return figure


def _megabytes(calls: list[Call], ops: set[str]) -> float:
    return sum(call.byte_count for call in calls if call.op in ops and call.end == "ok") / 1e6


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)

"""Rounds of the `wire` suite: two sides in turns, wall time and the CPU time of both processes, one JSON line a figure.

Invariant: what a round moved is checked after its clock has stopped.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Side:
    """One opponent: a call, its check, and the process that answers it."""

    call: Callable[[], object]
    pid: int
    check: Callable[[object], None] = lambda _: None


@dataclass(frozen=True)
class Sample:
    """Seconds of one call: on the wall, of CPU here, of CPU in the process that answered."""

    wall: float
    client: float
    server: float


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, to the nanosecond; /proc/PID/stat counts in hundredths."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def sample(side: Side, calls: int) -> list[Sample]:
    """One round: ``calls`` calls, each with its wall time, and the mean CPU times."""
    server, client = cpu_seconds(side.pid), time.process_time()
    walls = []
    for _ in range(calls):
        start = time.perf_counter()
        answer = side.call()
        walls.append(time.perf_counter() - start)
    client, server = time.process_time() - client, cpu_seconds(side.pid) - server
    side.check(answer)
    return [Sample(wall, client / calls, server / calls) for wall in walls]


def contest(
    ours: Side, peer: Side, *, rounds: int, calls: int = 1, warm_ups: int = 1, pause_s: float = 0
) -> tuple[list[Sample], list[Sample]]:
    """A B A B, after rounds of warm-up: per round the median of its calls. A pause goes before each round."""
    played = []
    for _ in range(warm_ups + rounds):
        time.sleep(pause_s)
        played.append((median(sample(ours, calls)), median(sample(peer, calls))))
    return [pair[0] for pair in played[warm_ups:]], [pair[1] for pair in played[warm_ups:]]


def median(samples: Sequence[Sample]) -> Sample:
    wall = statistics.median(one.wall for one in samples)
    return Sample(wall, samples[0].client, samples[0].server)


def report_rate(case: str, size: int, sides: tuple[list[Sample], list[Sample]], peer: str) -> None:
    """GB/s (1e9 bytes), and CPU seconds per GB of the server and of the client."""
    gigabytes = size / 1e9
    print_figure(case, "rate", "GB/s", "higher", *([gigabytes / one.wall for one in side] for side in sides), peer)
    print_figure(
        case, "server CPU", "s/GB", "lower", *([one.server / gigabytes for one in side] for side in sides), peer
    )
    print_figure(
        case, "client CPU", "s/GB", "lower", *([one.client / gigabytes for one in side] for side in sides), peer
    )


def report_latency(case: str, sides: tuple[list[Sample], list[Sample]], peer: str) -> None:
    """Milliseconds of one call: medians, and the CPU time of the server and of the client."""
    print_figure(case, "median", "ms", "lower", *([1e3 * one.wall for one in side] for side in sides), peer)
    print_figure(case, "server CPU", "ms", "lower", *([1e3 * one.server for one in side] for side in sides), peer)
    print_figure(case, "client CPU", "ms", "lower", *([1e3 * one.client for one in side] for side in sides), peer)


def print_figure(
    case: str,
    metric: str,
    unit: str,
    better: str,
    ours: Sequence[float],
    peer: Sequence[float] | None = None,
    peer_name: str | None = None,
) -> None:
    """One line for the caller, in the form that its `report` takes."""
    figure = {"case": case, "metric": metric, "unit": unit, "better": better, "ours": list(ours)}
    if peer is not None:
        figure |= {"peer": list(peer), "peerName": peer_name}
    os.write(1, (json.dumps(figure) + "\n").encode())


def checked(right: bool, what: str) -> None:
    if not right:
        raise SystemExit(f"{what}: the bytes that came back are wrong")

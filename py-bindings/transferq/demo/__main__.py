"""`python -m transferq.demo`: the command line of the demo."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from transferq.demo.processes import DemoError
from transferq.demo.settings import QUICK, Settings
from transferq.testing import ServerFailed

NEEDED = ("matplotlib", "rich", "sklearn", "torch")


def main() -> int:
    arguments = _parser().parse_args()
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"The demo needs {', '.join(missing)}: pip install 'transferq[demo]'", file=sys.stderr)
        return 2
    from rich.console import Console

    from transferq.demo.run import run_demo

    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        report = run_demo(_settings(arguments), out=arguments.out, console=console)
    except (DemoError, ServerFailed) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: the processes of the demo were ended.", file=sys.stderr)
        return 130
    if arguments.json is not None:
        report.save(arguments.json)
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m transferq.demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--steps", type=int, help=f"training steps (default {default.steps})")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of plots, histories and logs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--kill", action="store_true", help="kill -9 one rollout worker and the server in mid-run")
    parser.add_argument("--quick", action="store_true", help="a small run that proves delivery, not learning")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    base = QUICK if arguments.quick else Settings()
    settings = dataclasses.replace(base, seed=arguments.seed, kill=arguments.kill)
    if arguments.steps is not None:
        settings = dataclasses.replace(settings, steps=arguments.steps)
    return settings


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C: with all processes ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

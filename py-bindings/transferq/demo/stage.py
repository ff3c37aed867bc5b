"""The process of one stage: `python -m transferq.demo.stage STAGE --name NAME --url URL --out DIR`.

It ends with code 0 when the partition is drained, with a traceback when something is wrong, and at once when the
process that started it is gone: that one holds the other end of our standard input.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import threading
from pathlib import Path
from typing import Final

import transferq
from transferq.demo.history import History
from transferq.demo.settings import Settings

STAGES: Final = ("prompts", "rollout", "reference", "reward", "trainer")
ORPHAN_EXIT_CODE: Final = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="transferq.demo.stage", description="One stage of the demo.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--name", required=True, help="name of this process in histories and logs")
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settings = Settings.load(arguments.out / "settings.json")
    history = History(arguments.out / "history" / f"{arguments.name}.jsonl")
    module = importlib.import_module(f"transferq.demo.stages.{arguments.stage}")
    _limit_threads()
    with transferq.connect(arguments.url) as store:
        module.run(store, settings, history)
    history.close()


def _limit_threads() -> None:
    """One thread of PyTorch per process: the stages are what runs in parallel."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(ORPHAN_EXIT_CODE)


if __name__ == "__main__":
    main()

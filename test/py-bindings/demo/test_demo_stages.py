"""The stages together, as threads over a store in memory; the check of their histories finds bugs planted in it."""

from __future__ import annotations

import importlib
import threading

import pytest
from fake_store import BUGS, FakeStore
from transferq.demo.histories import judge
from transferq.demo.history import History
from transferq.demo.progress import Progress
from transferq.demo.settings import Settings

WORKERS = {
    "trainer": "trainer",
    "rollout-0": "rollout",
    "rollout-1": "rollout",
    "reference": "reference",
    "reward": "reward",
    "prompts": "prompts",
}
SETTINGS = Settings(steps=12, groups_per_step=4, evaluate_every=5, silence_s_max=5.0)


def run_stages(store, folder, settings=SETTINGS):
    """Run all stages to the end; returns the progress read from their histories, and what went wrong in them."""
    errors = []

    def work(name, stage):
        history = History(folder / f"{name}.jsonl")
        try:
            importlib.import_module(f"transferq.demo.stages.{stage}").run(store, settings, history)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test that started the stages decides
            errors.append((name, error))

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in WORKERS.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    progress = Progress(folder)
    progress.read()
    return progress, errors


def test_all_rows_pass_all_stages_once(tmp_path):
    progress, errors = run_stages(FakeStore(), tmp_path)
    assert errors == []
    verdict = judge(progress.calls)
    assert verdict.clean
    assert verdict.samples == SETTINGS.row_count == progress.rows_produced
    assert (verdict.redelivered, verdict.refused, verdict.unknown) == (0, 0, 0)
    assert dict(progress.rows_consumed) == dict.fromkeys(progress.rows_consumed, SETTINGS.row_count)
    assert len(progress.rows_consumed) == 4
    assert progress.version == SETTINGS.steps
    assert [version for version, _ in progress.accuracies] == [0, 5, 10, 12]
    assert max(step.staleness_max for step in progress.steps) <= SETTINGS.versions_ahead + 1
    assert progress.byte_count > 0


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(tmp_path, bug):
    settings = Settings(steps=4, groups_per_step=2, silence_s_max=2.0)
    progress, _ = run_stages(FakeStore(bug), tmp_path, settings)
    verdict = judge(progress.calls)
    found = {"lose_put": verdict.lost, "flip_bit": verdict.corrupt}.get(bug, verdict.duplicated)
    assert found > 0
    assert not verdict.clean

"""The stages together, as threads over a store in memory; the check of their histories finds bugs planted in it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
import threading
from types import SimpleNamespace
from unittest import mock

import pytest
from fake_store import BUGS, FakePartition, FakeStore
from transferq.demo import checkpoint, intake
from transferq.demo.door import Door
from transferq.demo.histories import judge
from transferq.demo.history import History
from transferq.demo.intake import Intake
from transferq.demo.progress import Progress
from transferq.demo.schema import train_partition
from transferq.demo.settings import Settings
from transferq.torch import StreamingDataset

WORKERS = {
    "trainer": "trainer",
    "rollout-0": "rollout",
    "rollout-1": "rollout",
    "reference": "reference",
    "reward": "reward",
    "prompts": "prompts",
}
SETTINGS = Settings(
    steps=12, groups_per_step=4, evaluate_every=5, silence_s_max=20.0, loader_workers=0, max_staleness=100
)


def run_stages(store, folder, settings=SETTINGS):
    """Run all stages to the end; returns the progress read from their histories, and what went wrong in them."""
    errors = []
    histories = folder / "history"
    histories.mkdir(exist_ok=True)

    def work(name, stage):
        path = histories / f"{name}.jsonl"
        module = importlib.import_module(f"transferq.demo.stages.{stage}")
        try:
            try:
                module.run(store, settings, History(path))
            except DiedError:
                module.run(store, settings, History(path))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test that started the stages decides
            errors.append((name, error))

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in WORKERS.items()]
    dataset = functools.partial(StreamingDataset, claim=FakePartition.claim)
    with mock.patch.object(intake, "StreamingDataset", dataset):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    progress = Progress(histories)
    progress.read()
    return progress, errors


class DiedError(Exception):
    """Stands for the end of a process."""


def dying(function):
    """The function, but for its third call."""
    calls = itertools.count(1)

    def call(*words, **named):
        if next(calls) == 3:
            raise DiedError
        return function(*words, **named)

    return call


def judge_of(progress):
    return judge(progress.calls, max_staleness=SETTINGS.max_staleness, skipped_told=progress.rows_skipped)


def test_all_rows_pass_all_stages_once(tmp_path):
    progress, errors = run_stages(FakeStore(), tmp_path)
    assert errors == []
    verdict = judge_of(progress)
    assert verdict.clean
    assert verdict.samples == SETTINGS.row_count == progress.rows_produced
    assert (verdict.redelivered, verdict.refused, verdict.unknown) == (0, 0, 0)
    assert dict(progress.rows_consumed) == dict.fromkeys(progress.rows_consumed, SETTINGS.row_count)
    assert len(progress.rows_consumed) == 4
    assert progress.version == SETTINGS.steps
    assert [version for version, _ in progress.accuracies] == [0, 5, 10, 12]
    assert sum(progress.staleness.values()) == SETTINGS.row_count
    assert verdict.skipped == 0
    assert progress.byte_count > 0


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(tmp_path, bug):
    settings = dataclasses.replace(SETTINGS, steps=4, groups_per_step=2, silence_s_max=4.0)
    progress, _ = run_stages(FakeStore(bug), tmp_path, settings)
    verdict = judge_of(progress)
    lost, corrupt = verdict.lost, verdict.corrupt
    kinds = {"lose_put": lost, "skip_untold": lost, "flip_bit": corrupt, "flip_tag": corrupt}
    found = kinds.get(bug, verdict.duplicated)
    assert found > 0
    assert not verdict.clean


@pytest.mark.parametrize("moment", ["save", "commit", "advance"])
def test_a_trainer_that_died_goes_on_from_its_checkpoint(tmp_path, moment):
    place = {"save": checkpoint, "commit": Intake, "advance": Door}[moment]
    settings = dataclasses.replace(SETTINGS, lease_s=3.0)
    with mock.patch.object(place, moment, dying(getattr(place, moment))):
        progress, errors = run_stages(FakeStore(), tmp_path, settings)
    assert errors == []
    verdict = judge_of(progress)
    assert verdict.clean
    assert verdict.samples == sum(progress.staleness.values()) == progress.rows_consumed["actor_update"]
    assert verdict.samples == settings.row_count
    assert verdict.refused == 0
    # What was learned but not saved comes again; what was saved does not.
    assert verdict.redelivered == (settings.rows_per_step if moment == "save" else 0)
    assert [step.version for step in progress.steps] == list(range(1, settings.steps + 1))


def test_the_pace_admits_nothing_that_is_too_old_by_the_time_it_is_drawn():
    settings = Settings()
    declared = {}
    train_partition(SimpleNamespace(partition=lambda name, **words: declared.update(words)), settings)
    # As many rows are admitted a version as a step takes: they cannot pile up beyond what is admitted ahead.
    assert declared["pace"].rows_per_version == settings.rows_per_step
    assert declared["pace"].max_ahead + 1 <= settings.max_staleness

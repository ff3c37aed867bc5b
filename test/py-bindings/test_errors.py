"""Errors agree with the catalogue of the wire contract."""

from __future__ import annotations

import pickle

import pytest
import transferq
from transferq import TimedOut, TransferQueueError
from transferq._protocol import ERROR_KINDS, ERRORS
from transferq.errors import _BY_KIND, CLIENT_ERRORS, error_of


@pytest.mark.parametrize("code", [*ERRORS, *CLIENT_ERRORS])
def test_every_code_has_the_class_of_its_kind(code: str) -> None:
    error = error_of(code)
    kind = ERRORS[code][0] if code in ERRORS else CLIENT_ERRORS[code][0]
    assert (error.code, error.kind) == (code, kind)
    assert isinstance(error, _BY_KIND[kind])
    assert error.message
    assert str(error).startswith(code)


def test_classes_are_of_the_catalogue_and_public() -> None:
    assert set(_BY_KIND) == set(ERROR_KINDS)
    assert not set(ERRORS) & set(CLIENT_ERRORS)
    for code, made_by in TransferQueueError._by_code.items():
        assert code in ERRORS or code in CLIENT_ERRORS
        assert getattr(transferq, made_by.__name__) is made_by
        assert made_by().code == code


def test_a_code_of_a_later_version_keeps_its_kind() -> None:
    error = error_of("brand_new", message="New.", kind="wait", details={"n": 1}, status=409)
    assert isinstance(error, transferq.WaitForOthers)
    assert (error.code, error.status, str(error)) == ("brand_new", 409, "brand_new: New. (n=1)")
    assert isinstance(error_of("brand_new"), TransferQueueError)


def test_errors_survive_pickle_as_process_pools_need() -> None:
    error = error_of("rows_missing", message="Gone.", details={"missing": [7]}, status=404)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)


def test_counts_of_a_wait() -> None:
    outcome = TimedOut(details={"ready": 3, "leased": 64, "incomplete": 5, "missing": [1, 2]})
    assert (outcome.ready, outcome.leased, outcome.incomplete, outcome.missing) == (3, 64, 5, 2)
    assert TimedOut().ready == 0

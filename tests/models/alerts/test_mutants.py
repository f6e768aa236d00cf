"""The tests of the life of alerts are sharp: they catch every listed mutant, most by the property test alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.models.alerts.machine import Alerts
from tests.models.alerts.mutants import MUTANTS, Mutant, made
from tests.models.alerts.test_life import ROWS, play, two_ids_of_one_cause

BY_PROPERTY = [mutant for mutant in MUTANTS if mutant.caught_by == "property"]
SEARCHED = settings(
    max_examples=500,  # several times what the slowest needs
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.breaks)
def test_the_tables_catch(mutant: Mutant) -> None:
    life, answers = made(mutant)
    assert any(fails(play, name, life, answers) for name in ROWS) or fails(two_ids_of_one_cause, life)


def fails(test: Callable[..., None], *given: object) -> bool:
    try:
        test(*given)
    except (AssertionError, KeyError):
        return True
    return False


@pytest.mark.parametrize("mutant", BY_PROPERTY, ids=lambda mutant: mutant.breaks)
def test_the_property_alone_catches(mutant: Mutant) -> None:
    made_life, made_answers = made(mutant)

    class Wrong(Alerts):
        life, answers = made_life, made_answers

    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(Wrong, settings=SEARCHED)


def test_enough_are_caught() -> None:
    assert len(MUTANTS) >= 30
    assert len(BY_PROPERTY) >= 20

"""The circuit breaker: what opens it, what closes it, and when it asks for a probe."""

from __future__ import annotations

import pytest

from wardstream.models.circuit import Circuit


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> Circuit:
    circuit = Circuit(clock, threshold=3, first_s=0.25, longest_s=2.0)
    for _ in range(3):
        assert circuit.admits()
        circuit.failed()
    return circuit


def test_only_failures_in_a_row_open_it(clock: Clock) -> None:
    circuit = Circuit(clock, threshold=3)
    for _ in range(10):
        circuit.failed()
        circuit.failed()
        circuit.succeeded()
    assert circuit.state == "closed"
    assert opened(clock).state == "open"


def test_open_it_admits_nothing_until_a_probe_finds_the_server(clock: Clock) -> None:
    circuit = opened(clock)
    assert not circuit.admits()
    circuit.probed(False)
    assert not circuit.admits()
    circuit.probed(True)
    assert circuit.state == "half_open"


def test_half_open_it_admits_one(clock: Clock) -> None:
    circuit = opened(clock)
    circuit.probed(True)
    assert [circuit.admits() for _ in range(3)] == [True, False, False]
    circuit.succeeded()
    assert circuit.state == "closed"
    assert circuit.admits()


def test_a_trial_that_fails_opens_it_again(clock: Clock) -> None:
    circuit = opened(clock)
    circuit.probed(True)
    assert circuit.admits()
    circuit.failed()
    assert circuit.state == "open"


def test_a_trial_whose_caller_went_away_is_given_to_the_next(clock: Clock) -> None:
    circuit = opened(clock)
    circuit.probed(True)
    assert circuit.admits()
    circuit.abandoned()
    assert circuit.admits()


def test_an_answer_from_before_does_not_close_it(clock: Clock) -> None:
    circuit = opened(clock)
    circuit.succeeded()
    assert circuit.state == "open"


def test_probes_become_rarer_up_to_a_limit_and_start_anew_after_a_success(clock: Clock) -> None:
    circuit = opened(clock)
    pauses = []
    for _ in range(6):
        pauses.append(circuit.probe_at - clock.now)
        clock.now = circuit.probe_at
        circuit.probed(False)
    assert pauses == pytest.approx([0.25, 0.5, 1.0, 2.0, 2.0, 2.0])
    circuit.probed(True)
    assert circuit.admits()
    circuit.succeeded()
    for _ in range(3):
        circuit.failed()
    assert circuit.probe_at - clock.now == pytest.approx(0.25)

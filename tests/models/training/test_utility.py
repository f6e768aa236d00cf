"""The challenge's utility, against its organisers' own example and a plain reading of its rules."""

from __future__ import annotations

import numpy as np
import pytest

from wardstream.models.training.measures import Answers, accounts
from wardstream.models.training.utility import best, gains, normalised


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


def account(label: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Earned, best and nothing of one patient."""
    rows = np.arange(len(label))
    given = Answers(np.zeros(len(label), np.int64), rows + 1, label, said.astype(float), np.array([np.nan]))
    return accounts(given, 0.5)[0]


def plain(label: np.ndarray, said: np.ndarray) -> float:
    """Rule by rule, hour by hour, as the paper's figure has it."""
    total = 0.0
    onset = int(np.argmax(label)) + 6 if label.any() else None
    for t, yes in enumerate(said):
        if onset is None:
            total += -0.05 if yes else 0.0
        elif t <= onset + 3:
            since = t - onset
            if since <= -6:
                total += max((since + 12) / 6, -0.05) if yes else 0.0
            else:
                total += 1 - (since + 6) / 9 if yes else -2 * (since + 6) / 9
    return total


def test_the_organisers_example() -> None:
    found = account(labels(0, 0, 0, 0, 1, 1), np.array([0, 0, 1, 1, 1, 1], bool))
    assert found[0] == pytest.approx(3.388888888888889)


def test_it_is_the_plain_reading_of_the_rules() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        rows = int(rng.integers(1, 60))
        label = np.zeros(rows, np.int8)
        if rng.random() < 0.6:
            label[int(rng.integers(0, rows)) :] = 1
        said = rng.random(rows) < 0.4
        assert account(label, said)[0] == pytest.approx(plain(label, said))


def test_the_ends_of_the_window() -> None:
    label = np.zeros(40, np.int8)
    label[20:] = 1  # onset at 26
    yes, no = gains(label)
    assert yes[13] == pytest.approx(-0.05)
    assert yes[14] == pytest.approx(0.0)
    assert yes[20] == pytest.approx(1.0)
    assert yes[29] == pytest.approx(0.0)
    assert no[20] == 0.0
    assert no[29] == pytest.approx(-2.0)
    assert not yes[30:].any()
    assert not no[30:].any()


def test_the_best_is_one_and_silence_is_nothing() -> None:
    septic, well = labels(*[0] * 10, *[1] * 10), labels(*[0] * 15)
    perfect = [account(septic, np.arange(20) >= 4), account(well, np.zeros(15, bool))]
    silent = [account(septic, np.zeros(20, bool)), account(well, np.zeros(15, bool))]
    assert normalised(np.array(perfect)) == pytest.approx(1.0)
    assert normalised(np.array(silent)) == 0.0
    assert best(septic) == pytest.approx(perfect[0][0])
    assert np.isnan(normalised(np.array(silent[1:])))


def test_weights_count_patients_so_often() -> None:
    septic, well = labels(0, 0, 0, 1, 1), labels(0, 0, 0)
    said = [account(septic, np.array([0, 0, 1, 1, 0], bool)), account(well, np.array([1, 0, 0], bool))]
    twice = normalised(np.array([said[0], said[1], said[1]]))
    assert normalised(np.array(said), np.array([1.0, 2.0])) == pytest.approx(twice)

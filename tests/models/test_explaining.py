"""Explanations by leaving groups of inputs out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.models.measuring import HOUR, T0, kept, said
from wardstream.models.explaining import GROUPS, PERSON, SHOWN, contributions, groups_of, without
from wardstream.models.sepsis import SIGNALS, Prepared, Who, prepare, stacked
from wardstream.schemas.predictions import Contribution

SETS = [
    said("v", 5, hr=90.0, rr=18.0, spo2=96.0, sbp=110.0, map=70.0).measured,
    said("w", 65, hr=120.0, temp=38.4).measured,
    said("lab", 70, creat=2.12, bun=44.0, lactate=4.0).measured,
]


@pytest.fixture
def prepared() -> Prepared:
    found = prepare(kept(SETS), Who(T0, 71.0, "male"), T0 + 4.5 * HOUR)
    assert isinstance(found, Prepared)
    return found


def test_every_signal_is_in_one_group() -> None:
    assert Counter(code for codes in GROUPS.values() for code in codes) == Counter(SIGNALS)


def test_only_what_is_known_is_left_out(prepared: Prepared) -> None:
    known = {"heart_rate", "breathing", "oxygenation", "blood_pressure", "temperature", "kidneys", "lactate", PERSON}
    assert set(groups_of(prepared)) == known


def test_a_group_is_left_out_as_if_it_had_never_been_measured(prepared: Prepared) -> None:
    others = said("lab", 70, creat=2.12, bun=44.0).measured
    never = prepare(kept([*SETS[:2], others]), Who(T0, 71.0, "male"), T0 + 4.5 * HOUR)
    assert isinstance(never, Prepared)
    for found, wanted in zip(stacked([without(prepared, "lactate")]), stacked([never]), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_person_is_left_out_as_one_of_whom_nobody_said_who(prepared: Prepared) -> None:
    unknown = prepare(kept(SETS), Who(T0, None, None), T0 + 4.5 * HOUR)
    assert isinstance(unknown, Prepared)
    for found, wanted in zip(stacked([without(prepared, PERSON)]), stacked([unknown]), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_leaving_out_changes_nothing_in_place(prepared: Prepared) -> None:
    before = prepared.medians.copy()
    for group in groups_of(prepared):
        without(prepared, group)
    np.testing.assert_array_equal(prepared.medians, before)


def test_in_words_with_values_and_times(prepared: Prepared) -> None:
    kidneys = "creatinine 2.12 mg/dL (3 h ago), urea nitrogen 44 mg/dL (3 h ago)"
    told = contributions(prepared, 1.0, {"kidneys": 0.25, "lactate": 1.5, PERSON: 0.9, "heart_rate": 0.0})
    assert told == (
        Contribution(feature="heart_rate", contribution=1.0, text="heart rate 120 /min (3 h ago)"),
        Contribution(feature="kidneys", contribution=0.75, text=kidneys),
        Contribution(feature="lactate", contribution=-0.5, text="lactate 4 mmol/L (3 h ago)"),
        Contribution(feature=PERSON, contribution=0.1, text="71 years, male"),
    )
    many = {name: float(number) for number, name in enumerate(GROUPS)}
    assert (
        len(contributions(prepared, 0.0, {name: many[name] for name in groups_of(prepared) if name in many})) == SHOWN
    )

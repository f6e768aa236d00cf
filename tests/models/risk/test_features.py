"""What is known of a patient as numbers: the same for learning and serving, and nothing of the future."""

from __future__ import annotations

from math import log1p
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.events import WELL, admission, at, event_id, lab, vitals
from tests.models.measuring import MemoryRows
from wardstream.models.labs.history import LabBins
from wardstream.models.patient import Film, Patient
from wardstream.models.risk.features import CHEST_XRAY, COLUMNS, INPUTS, LABS, NAMES, Known, columns, gather
from wardstream.models.signals import BY_CODE
from wardstream.models.stay import StayLog
from wardstream.models.training.stays import result
from wardstream.models.vitals import measurements
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab

HOUR = 60.0
CREATININE: dict[str, Any] = {"loinc": "2160-0", "unit": "mg/dL"}


def state(*events: Event) -> tuple[Patient, LabBins]:
    """A patient of whom so much came."""
    patient, bins, stay = Patient(), LabBins(MemoryRows(), MemoryRows()), StayLog()
    for event in events:
        if isinstance(event, Admission):
            patient.stay = stay.add(event)
            continue
        measured = result(event) if isinstance(event, Lab) else measurements(event)  # type: ignore[arg-type]
        patient.measure(bins, measured, event.supersedes)
    return patient, bins


def known(*events: Event, minutes: float, films: tuple[Film, ...] = ()) -> dict[str, Known]:
    patient, bins = state(*events)
    for film in films:
        patient.report_film(film)
    return gather(patient, bins, at(minutes).timestamp())


ADMIT = admission("admit", 0, "admit", age_years=70.0, sex="female", unit="4B")


def test_of_an_admission_only_the_person_is_known() -> None:
    assert known(ADMIT, minutes=HOUR) == {
        "age_years": Known(70.0),
        "male": Known(0.0),
        "hours_since_admission": Known(1.0),
    }


def test_vital_signs_scores_and_their_ages() -> None:
    found = known(ADMIT, vitals("v", 30, **WELL), vitals("w", 45, heart_rate_bpm=135.0), minutes=HOUR)
    assert found["heart_rate_bpm"] == Known(135.0, 0.25)
    assert found["systolic_mmhg"] == Known(124.0, 0.5)
    assert found["news2"] == Known(3.0, 0.5)  # as old as the oldest value in it
    assert found["shock_index"].age_h == 0.5
    assert found["oxygen"] == Known(0.0, 0.5)
    assert found["alert"] == Known(1.0, 0.5)
    assert "sofa" not in found
    assert "kdigo" not in found
    assert known(ADMIT, vitals("v", 30, fio2_fraction=0.4), minutes=HOUR)["oxygen"].value == 1.0
    assert known(ADMIT, vitals("v", 30, fio2_fraction=0.21), minutes=HOUR)["oxygen"].value == 0.0
    assert known(ADMIT, vitals("v", 30, oxygen_device="nasal_cannula"), minutes=HOUR)["oxygen"].value == 1.0
    assert known(ADMIT, vitals("v", 30, consciousness="V"), minutes=HOUR)["alert"].value == 0.0
    assert known(ADMIT, vitals("v", 30, gcs_total=15), minutes=HOUR)["alert"].value == 1.0


def test_what_is_no_longer_current_is_missing() -> None:
    event = vitals("v", 30, **WELL)
    assert "heart_rate_bpm" in known(ADMIT, event, minutes=12 * HOUR)
    assert "heart_rate_bpm" not in known(ADMIT, event, minutes=13 * HOUR)
    potassium = lab("k", 30, loinc="2823-3", unit="mmol/L", value=4.0)
    assert known(ADMIT, potassium, minutes=24 * HOUR)["potassium_mmol_per_l"] == Known(4.0, 23.5)
    assert "potassium_mmol_per_l" not in known(ADMIT, potassium, minutes=25 * HOUR)


def test_trends() -> None:
    events = [vitals(f"v{hour}", hour * HOUR + 30, heart_rate_bpm=70.0 + hour) for hour in range(12)]
    found = known(ADMIT, *events, minutes=12 * HOUR)  # 20:00, with values of 12:30 to 17:30 before: 74 to 79
    assert found["heart_rate_bpm_trend"] == Known(81 - 76.5)
    assert "heart_rate_bpm_trend" not in known(ADMIT, *events[-2:], minutes=12 * HOUR)
    results = [lab(f"c{index}", 60 * index, value=1.0 + index / 2, **CREATININE) for index in range(3)]
    assert known(ADMIT, *results, minutes=3 * HOUR)["creatinine_mg_per_dl_change"] == Known(0.5, 2.0)
    assert "creatinine_mg_per_dl_change" not in known(ADMIT, results[0], minutes=3 * HOUR)


def test_organs() -> None:
    results = [lab(f"c{index}", 60 * index, value=1.0 + index, **CREATININE) for index in range(3)]
    found = known(ADMIT, *results, minutes=3 * HOUR)
    assert found["kdigo"].value == 3.0
    assert found["sofa"] == Known(2.0, 1.0)


def film(name: str, minutes: float, logit: float | None, supersedes: str | None = None) -> Film:
    taken = at(minutes).timestamp()
    return Film(event_id(name), None if supersedes is None else event_id(supersedes), taken + 60, taken, logit)


@pytest.mark.parametrize(
    ("films", "expected"),
    [
        ((), None),
        ((film("a", 30, 0.5),), Known(0.5, 0.5)),
        ((film("b", 30, 0.5), film("a", 10, 2.0)), Known(0.5, 0.5)),
        ((film("a", 30, 0.5), film("b", 30, 2.0), film("c", 30, -1.0)), Known(2.0, 0.5)),
        ((film("a", 30, 0.5), film("b", 10, 2.0), film("x", 30, None, "a")), Known(2.0, 0.83)),
        ((film("x", 30, None, "a"), film("a", 30, 0.5)), None),
        ((film("a", 70, 0.5), film("b", 10, 2.0)), Known(2.0, 0.83)),
    ],
    ids=["none", "one", "newest", "highest of a study", "taken back", "taken back first", "not yet taken"],
)
def test_the_newest_film_that_holds(films: tuple[Film, ...], expected: Known | None) -> None:
    assert known(ADMIT, minutes=HOUR, films=films).get(CHEST_XRAY) == expected


def test_nothing_that_was_observed_later_is_known() -> None:
    """The state may be ahead of the hour: after an outage the ticks of hours come when all the rest has."""
    early = [ADMIT, vitals("v", 30, **WELL), lab("c", 40, value=1.0, **CREATININE)]
    later = [
        vitals("w", 90, **(WELL | {"heart_rate_bpm": 150.0, "spo2_percent": 80.0})),
        lab("d", 100, value=9.0, **CREATININE),
        lab("e", 100, loinc="2524-7", unit="mmol/L", value=9.0),
    ]
    assert known(*early, *later, minutes=HOUR) == known(*early, minutes=HOUR)


def test_columns() -> None:
    inputs = {"news2": Known(5.0, 1.0), "creatinine_mg_per_dl": Known(2.0, 3.0), "age_years": Known(70.0)}
    row = columns(inputs)
    assert row.shape == (len(COLUMNS),) == (3 * len(INPUTS),)

    def of(column: str) -> float:
        return float(row[COLUMNS.index(column)])

    assert (of("news2"), of("news2.age"), of("news2.missing")) == pytest.approx((5.0, log1p(1.0), 0.0))
    assert of("creatinine_mg_per_dl") == pytest.approx(log1p(2.0))  # a long tail
    assert np.isnan(of("age_years.age"))
    assert of("age_years.missing") == 0.0
    assert np.isnan(of("lactate_mmol_per_l"))
    assert np.isnan(of("lactate_mmol_per_l.age"))
    assert of("lactate_mmol_per_l.missing") == 1.0
    with pytest.raises(KeyError):
        columns({"of_another_version": Known(1.0)})


names = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Known, st.floats(-1e6, 1e6), st.none() | st.floats(0, 1e4)),
)


@given(names)
def test_inputs_travel_exactly(inputs: dict[str, Known]) -> None:
    text = msgspec.json.encode(inputs)
    again = msgspec.json.decode(text, type=dict[str, Known])
    assert again == inputs
    assert columns(again).tobytes() == columns(inputs).tobytes()
    assert columns(dict(reversed(again.items()))).tobytes() == columns(inputs).tobytes()


def test_names_are_those_of_the_topics_and_each_is_there_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {BY_CODE[code].field for code in LABS} <= set(NAMES)

"""labs.v1 → the few results that rule scores use."""

from __future__ import annotations

import pytest

from tests.agents.bedside import Bedside, Said
from tests.events import WELL, admission, event_id, lab, tick, vitals
from wardstream.schemas.scores import Score


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


def sirs(said: Said) -> Score:
    return next(score for score in said.scores[-1].scores if score.name == "sirs")


async def test_white_cells_complete_sirs(bedside: Bedside) -> None:
    await bedside.give(vitals("v", 0, **WELL))
    said = await bedside.give(lab("l", 5, 60, value=13.0))
    assert (sirs(said).value, sirs(said).complete) == (1, True)
    assert said.scores[0].caused_by == event_id("l")
    assert said.counts["lab_results_total", ("scored",)] == 1


@pytest.mark.parametrize(
    ("loinc", "unit", "code"),
    [
        ("6690-2", "10*3/uL", "wbc"),
        ("6690-2", "10*9/L", "wbc"),
        ("764-1", "%", "bands"),
        ("26508-2", "%", "bands"),
        ("2019-8", "mm[Hg]", "paco2"),
    ],
)
async def test_results_that_scores_use(bedside: Bedside, loinc: str, unit: str, code: str) -> None:
    await bedside.give(lab("l", 0, loinc=loinc, unit=unit, value=11.0))
    assert bedside.patient().signals[code].value == 11.0
    assert [one.values for one in bedside.sets()] == [{code: 11.0}]


@pytest.mark.parametrize(
    ("fields", "use"),
    [
        ({"loinc": "2823-3", "value": 4.1, "unit": "mmol/L"}, "unscored"),
        ({"value": 9.0, "unit": "/uL"}, "unknown_unit"),
        ({"value": 9.0, "unit": None}, "unknown_unit"),
        ({"value": 0.1, "comparator": "<"}, "no_number"),
        ({"text": "clotted"}, "no_number"),
        ({"loinc": "2019-8", "value": 5.3, "unit": "kPa"}, "unknown_unit"),
    ],
)
async def test_others_are_counted_and_leave_nothing(bedside: Bedside, fields: dict[str, object], use: str) -> None:
    said = await bedside.give(lab("l", 0, **fields))
    assert (said.scores, bedside.rows.keys()) == ([], {b"i\0P1\0000"})
    assert said.counts["lab_results_total", (use,)] == 1


async def test_a_patient_with_results_only(bedside: Bedside) -> None:
    """Every bedside part is missing, nothing is stale, and the result lapses when its day is over."""
    said = await bedside.give(lab("l", 0, value=13.0))
    assert (said.news2().value, said.news2().parts) == (0, {})
    assert (sirs(said).value, sirs(said).band) == (1, None)
    assert (await bedside.give(tick(24 * 60 - 1))).scores == []
    said = await bedside.give(tick(24 * 60))
    assert (sirs(said).value, said.alerts) == (0, [])


async def test_the_final_result_takes_the_place_of_the_preliminary(bedside: Bedside) -> None:
    await bedside.give(lab("p", 0, 30, value=13.0, status="preliminary"))
    said = await bedside.give(lab("f", 0, 90, value=11.0, status="final", supersedes="p"))
    assert sirs(said).value == 0
    assert [one.values for one in bedside.sets()] == [{"wbc": 11.0}]
    assert said.counts["revisions_total", ("revised",)] == 1


@pytest.mark.parametrize(
    "correction",
    [
        {"status": "corrected", "text": "clotted, please repeat"},
        {"status": "corrected", "value": 0.5, "comparator": "<"},
        {"status": "corrected", "value": 13.0, "unit": "/nL"},
        {"status": "corrected", "loinc": "26464-8", "value": 13.0},
        {"status": "cancelled", "value": 13.0},
        {"status": "cancelled", "loinc": "26464-8"},
    ],
)
async def test_a_correction_that_is_no_use_takes_the_number_away(
    bedside: Bedside, correction: dict[str, object]
) -> None:
    await bedside.give(vitals("v", 0, **WELL), lab("x", 0, 30, value=13.0))
    said = await bedside.give(lab("c", 0, 90, supersedes="x", **correction))
    assert "wbc_10e9_per_l" in sirs(said).missing
    assert "wbc" not in bedside.patient().signals


async def test_a_correction_before_its_original(bedside: Bedside) -> None:
    await bedside.give(lab("c", 0, 90, value=11.0, status="corrected", supersedes="x"))
    assert (await bedside.give(lab("x", 0, 95, value=13.0))).scores == []
    assert bedside.patient().signals["wbc"].value == 11.0


async def test_a_cancellation_before_its_original(bedside: Bedside) -> None:
    assert (await bedside.give(lab("k", 0, 90, status="cancelled", supersedes="x"))).scores == []
    assert (await bedside.give(lab("x", 0, 95, value=13.0))).scores == []
    assert bedside.patient().signals == {}


async def test_a_correction_of_what_nobody_uses_makes_no_patient(bedside: Bedside) -> None:
    said = await bedside.give(lab("c", 0, loinc="2823-3", unit="mmol/L", value=4.0, status="corrected", supersedes="x"))
    assert (said.scores, bedside.rows.keys()) == ([], {b"i\0P1\0000"})


async def test_a_late_result_is_kept_and_says_nothing(bedside: Bedside) -> None:
    await bedside.give(lab("new", 60, 90, value=11.0))
    assert (await bedside.give(lab("old", 0, 120, value=13.0))).scores == []
    assert [one.values["wbc"] for one in bedside.sets()] == [13.0, 11.0]


async def test_a_specimen_s_time_counts_not_the_result_s(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), lab("gas", 0, 5 * 60, loinc="2019-8", unit="mm[Hg]", value=28.0))
    assert sirs(await bedside.give(vitals("v", 359, **WELL))).value == 1
    assert sirs(await bedside.give(tick(360))).value == 0

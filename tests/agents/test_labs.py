"""labs.v1 → bins, histories, flags, and the scores that read a result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from tests.agents.bedside import Bedside, Said
from tests.events import WELL, admission, at, event_id, lab, tick, vitals
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.models.labs.analytes import ANALYTES, Analyte
from wardstream.models.signals import BINS_ONLY, SCORED
from wardstream.schemas.decode import decode
from wardstream.schemas.scores import Result, Score

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples"


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
        ("2703-7", "mmHg", "pao2"),
        ("777-3", "K/uL", "plt"),
        ("1975-2", "mg/dl", "bili"),
        ("2160-0", "mg/dL", "creat"),
    ],
)
async def test_results_that_scores_use(bedside: Bedside, loinc: str, unit: str, code: str) -> None:
    said = await bedside.give(lab("l", 0, loinc=loinc, unit=unit, value=11.0))
    assert bedside.patient().signals[code].value == 11.0
    assert [one.values for one in bedside.sets()] == [{code: 11.0}]
    assert said.counts["lab_results_total", ("scored",)] == 1
    assert len(said.scores) == 1


@pytest.mark.parametrize("analyte", [one for one in ANALYTES if one.code in BINS_ONLY], ids=lambda one: one.code)
async def test_results_for_models_are_in_the_bins_and_not_in_the_patient_s_row(
    bedside: Bedside, analyte: Analyte
) -> None:
    middle = (analyte.low + analyte.high) / 2
    said = await bedside.give(
        *(
            lab(loinc, number, loinc=loinc, unit=analyte.unit, value=middle)
            for number, loinc in enumerate(analyte.loincs)
        )
    )
    assert [one.values for one in bedside.sets()] == [{analyte.code: middle}] * len(analyte.loincs)
    assert bedside.patient().signals == {}
    assert said.counts["lab_results_total", ("kept",)] == len(analyte.loincs)


async def test_a_result_is_kept_in_its_canonical_unit(bedside: Bedside) -> None:
    await bedside.give(lab("c", 0, loinc="14682-9", unit="µmol/L", value=176.8))
    assert bedside.patient().signals["creat"].value == pytest.approx(2.0, rel=1e-4)
    await bedside.give(lab("mg", 1, loinc="19123-9", unit="mEq/L", value=2.0))
    assert bedside.sets()[1].values == {"mg": 2.4305}


@pytest.mark.parametrize(
    ("fields", "use"),
    [
        ({"loinc": "26464-8", "value": 4.1, "unit": "10*3/uL"}, "unknown_analyte"),
        ({"value": 9.0, "unit": "%"}, "unknown_unit"),
        ({"value": 9.0, "unit": None}, "unknown_unit"),
        ({"loinc": "14682-9", "value": 88.0, "unit": "mol/L"}, "impossible"),
        ({"text": "clotted"}, "no_number"),
        ({"loinc": "2019-8", "value": 5.3, "unit": "bar"}, "unknown_unit"),
    ],
)
async def test_others_are_counted_and_leave_nothing(bedside: Bedside, fields: dict[str, object], use: str) -> None:
    said = await bedside.give(lab("l", 0, **fields))
    assert (said.scores, bedside.rows.keys()) == ([], {b"i\0P1\0000"})
    assert said.counts["lab_results_total", (use,)] == 1
    unknown = {labels: count for (name, labels), count in said.counts.items() if name == "lab_unknown_units_total"}
    field = "paco2_mmhg" if fields.get("loinc") == "2019-8" else "wbc_10e9_per_l"
    assert unknown == ({(field,): 1} if use == "unknown_unit" else {})


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


async def test_a_final_result_may_name_a_preliminary_one_that_never_came(bedside: Bedside) -> None:
    """As HL7 v2 gateways do, which cannot know. It is no correction, and the preliminary one no longer counts."""
    said = await bedside.give(lab("f", 0, 90, value=13.0, status="final", supersedes="p"))
    assert sirs(said).value == 1
    assert not any(name == "revisions_total" for name, _ in said.counts)
    await bedside.give(lab("p", 0, 91, value=11.0, status="preliminary"))
    assert [one.values for one in bedside.sets()] == [{"wbc": 13.0}]


@pytest.mark.parametrize(
    "correction",
    [
        {"status": "corrected", "text": "clotted, please repeat"},
        {"status": "corrected", "value": 0.5, "comparator": "<"},
        {"status": "corrected", "value": 13.0, "unit": "pg"},
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
    said = await bedside.give(lab("c", 0, loinc="26464-8", value=4.0, status="corrected", supersedes="x"))
    assert (said.scores, bedside.rows.keys()) == ([], {b"i\0P1\0000"})


async def test_a_late_result_is_kept_and_says_nothing(bedside: Bedside) -> None:
    await bedside.give(lab("new", 60, 90, value=11.0))
    assert (await bedside.give(lab("old", 0, 120, value=13.0))).scores == []
    assert [one.values["wbc"] for one in bedside.sets()] == [13.0, 11.0]


async def test_a_specimen_s_time_counts_not_the_result_s(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), lab("gas", 0, 5 * 60, loinc="2019-8", unit="mm[Hg]", value=28.0))
    assert sirs(await bedside.give(vitals("v", 359, **WELL))).value == 1
    assert sirs(await bedside.give(tick(360))).value == 0


K = {"loinc": "2823-3", "unit": "mmol/L"}
CREATININE = {"loinc": "2160-0", "unit": "mg/dL"}


def told(said: Said) -> list[tuple[str, float | None, list[str]]]:
    """What the records say of results: name, value, flags."""
    found: list[Result] = [result for record in said.scores for result in record.results]
    return [(result.name, result.value, [flag.kind for flag in result.flags]) for result in found]


async def test_a_critical_value_is_told_once_and_its_end_too(bedside: Bedside) -> None:
    assert told(await bedside.give(lab("a", 0, value=4.2, **K))) == []
    said = await bedside.give(lab("b", 60, 90, value=6.5, **K))
    assert told(said) == [("potassium_mmol_per_l", 6.5, ["critical_high", "delta_up"])]
    (result,) = said.scores[0].results
    assert said.scores[0].caused_by == result.result_id == event_id("b")
    assert result.previous is not None
    assert (result.previous.value, result.previous.observed_at) == (4.2, at(0))
    assert next((flag.limit, flag.source) for flag in result.flags) == (6.5, "RCPath 2017")
    assert said.counts["lab_flags_total", ("potassium_mmol_per_l", "critical_high")] == 1
    again = await bedside.give(lab("c", 120, value=6.6, **K))
    assert told(again) == [("potassium_mmol_per_l", 6.6, ["critical_high"])]
    assert told(await bedside.give(lab("d", 180, value=5.0, **K))) == [("potassium_mmol_per_l", 5.0, [])]
    assert (await bedside.give(lab("e", 240, value=4.9, **K))).scores == []


@pytest.mark.parametrize(
    ("correction", "now"),
    [
        ({"status": "corrected", "value": 4.4}, ("potassium_mmol_per_l", 4.4, [])),
        ({"status": "corrected", "text": "haemolysed"}, ("potassium_mmol_per_l", 4.2, [])),
        ({"status": "cancelled"}, ("potassium_mmol_per_l", 4.2, [])),
        ({"status": "corrected", "value": 7.4}, ("potassium_mmol_per_l", 7.4, ["critical_high", "delta_up"])),
    ],
)
async def test_a_correction_takes_flags_back(
    bedside: Bedside, correction: dict[str, object], now: tuple[str, float, list[str]]
) -> None:
    await bedside.give(lab("a", 0, value=4.2, **K), lab("b", 60, value=7.0, **K))
    assert told(await bedside.give(lab("c", 60, 90, supersedes="b", **K, **correction))) == [now]
    assert next(one.values for one in bedside.sets()) == {"k": 4.2}


@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ({"loinc": "2823-3", "unit": "mmol/L", "value": 10.0, "comparator": ">"}, "critical_high"),
        ({"loinc": "2345-7", "unit": "mg/dL", "value": 20.0, "comparator": "<"}, "critical_low"),
        ({"loinc": "2345-7", "unit": "mg/dL", "value": 600.0, "comparator": ">="}, "critical_high"),
        ({"loinc": "14749-6", "unit": "mmol/L", "value": 33.3, "comparator": ">"}, "critical_high"),
        ({"loinc": "6301-6", "unit": "{INR}", "value": 10.0, "comparator": ">"}, "critical_high"),
        ({"loinc": "777-3", "unit": "10*3/uL", "value": 5.0, "comparator": "<"}, "critical_low"),
        ({"loinc": "2524-7", "unit": "mmol/L", "value": 15.0, "comparator": ">"}, "critical_high"),
        ({"value": 0.1, "comparator": "<="}, "critical_low"),
        ({"loinc": "2823-3", "unit": "mmol/L", "value": 6.0, "comparator": ">"}, None),
        ({"loinc": "67151-1", "unit": "ng/L", "value": 3.0, "comparator": "<"}, None),
    ],
)
async def test_the_end_of_a_measuring_range_may_be_critical_and_is_no_number(
    bedside: Bedside, fields: dict[str, object], flag: str | None
) -> None:
    said = await bedside.give(lab("l", 0, **fields))
    assert [flags for _, _, flags in told(said)] == ([] if flag is None else [[flag]])
    assert [result.comparator for record in said.scores for result in record.results] == (
        [] if flag is None else [fields["comparator"]]
    )
    assert said.counts["lab_results_total", ("beyond_range",)] == 1
    assert bedside.patient().signals == {}
    assert all(bedside.lab_bins().past(analyte.code) == [] for analyte in ANALYTES)


async def test_a_result_beyond_the_range_is_in_no_delta_or_stage_and_its_flag_ends(bedside: Bedside) -> None:
    await bedside.give(lab("a", 0, value=1.0, **CREATININE))
    said = await bedside.give(lab("b", 60, value=30.0, comparator=">", **CREATININE))
    assert told(said) == [("creatinine_mg_per_dl", 30.0, ["critical_high"])]
    assert said.scores[0].results[0].previous is not None
    assert [score.name for score in said.scores[0].scores[6:]] == []
    assert bedside.patient().signals["creat"].value == 1.0
    bedside.restart()
    said = await bedside.give(lab("c", 120, value=1.1, **CREATININE))
    assert told(said) == [("creatinine_mg_per_dl", 1.1, [])], "no fall from 30"
    assert said.scores[0].scores[-1].value == 0


@pytest.mark.parametrize("correction", [{"status": "cancelled"}, {"status": "corrected", "value": 4.2}])
async def test_a_critical_end_of_the_range_is_taken_back(bedside: Bedside, correction: dict[str, object]) -> None:
    await bedside.give(lab("b", 0, value=10.0, comparator=">", **K))
    said = await bedside.give(lab("c", 0, 90, supersedes="b", **K, **correction))
    assert told(said) == [("potassium_mmol_per_l", correction.get("value"), [])]
    assert said.counts["revisions_total", ("revised",)] == 1


async def test_a_cancellation_of_the_only_result_leaves_none(bedside: Bedside) -> None:
    await bedside.give(lab("b", 60, value=7.0, **K))
    said = await bedside.give(lab("c", 60, 90, supersedes="b", status="cancelled", **K))
    assert told(said) == [("potassium_mmol_per_l", None, [])]
    assert b"c\0P1\0lab/k" not in bedside.rows


async def test_a_correction_to_another_analyte_moves_the_result(bedside: Bedside) -> None:
    await bedside.give(lab("b", 60, value=7.0, **K))
    said = await bedside.give(
        lab("c", 60, 90, supersedes="b", status="corrected", value=7.0, loinc="2744-1", unit="[pH]")
    )
    assert sorted(told(said)) == [("arterial_ph", 7.0, ["critical_low"]), ("potassium_mmol_per_l", None, [])]


async def test_a_delta_is_against_the_last_final_result(bedside: Bedside) -> None:
    await bedside.give(
        lab("a", 0, value=1.0, **CREATININE), lab("p", 60, value=1.6, status="preliminary", **CREATININE)
    )
    said = await bedside.give(lab("b", 120, value=1.4, **CREATININE))
    assert told(said) == [("creatinine_mg_per_dl", 1.4, ["delta_up"])]
    assert said.scores[0].results[0].previous is not None
    assert said.scores[0].results[0].previous.value == 1.0


async def test_a_preliminary_result_is_flagged_as_such_until_the_final_one(bedside: Bedside) -> None:
    said = await bedside.give(lab("p", 0, 30, value=7.0, status="preliminary", **K))
    assert said.scores[0].results[0].preliminary
    said = await bedside.give(lab("f", 0, 90, value=7.0, supersedes="p", **K))
    assert told(said) == [("potassium_mmol_per_l", 7.0, ["critical_high"])]
    assert not said.scores[0].results[0].preliminary
    restored = await bedside.give(lab("late", 0, 120, value=6.9, supersedes="p", **K))
    assert not restored.scores[0].results[0].preliminary


async def test_a_late_critical_result_says_nothing(bedside: Bedside) -> None:
    await bedside.give(lab("b", 60, value=4.2, **K))
    assert (await bedside.give(lab("a", 0, 90, value=7.0, **K))).scores == []
    assert [one.values["k"] for one in bedside.sets()] == [7.0, 4.2]


async def test_the_example_of_scores_is_what_a_result_says(bedside: Bedside) -> None:
    """A creatinine that is critical and has risen: flags with their sources, SOFA, the stage; then it is withdrawn."""
    about = {"source": "example-gateway", "facility": "north", "patient_id": "p-3f9a1c07", "encounter_id": "e-51c2"}
    times = [datetime(2026, 3, day, hour, minute, tzinfo=UTC) for day, hour, minute in ((13, 9, 0), (13, 20, 30))]
    drawn, told = (datetime(2026, 3, 14, *time, tzinfo=UTC) for time in ((7, 50), (8, 41)))
    await bedside.give(
        admission("a", 0, "admit", **about, observed_at=times[0], received_at=times[0], age_years=61.0, sex="male"),
        lab("b", 0, **about, observed_at=times[1], received_at=times[1], value=1.3, **CREATININE),
        decode("vitals.v1", (EXAMPLES / "vitals.v1.json").read_bytes()),
    )
    cause = {"event_id": UUID("018f6b1e-7c00-7000-8000-000000000021"), "observed_at": drawn, "received_at": told}
    said = await bedside.give(lab("c", 0, **about, **cause, value=4.1, **CREATININE))
    (record,) = said.scores
    assert record == decode("scores.v1", (EXAMPLES / "scores.v1.json").read_bytes())
    assert {score.name for score in record.scores} >= {"news2", "sofa", "kdigo_aki"}
    withdrawal = {"observed_at": drawn, "received_at": told + timedelta(minutes=9), "status": "cancelled"}
    revision = lab("d", 0, **about, **withdrawal, supersedes="c", **CREATININE)
    said = await bedside.give(msgspec.structs.replace(revision, supersedes=cause["event_id"]))
    (record,) = said.scores
    (result,) = record.results
    assert (result.name, result.value, result.flags) == ("creatinine_mg_per_dl", 1.3, ()), "the flags have ended"
    assert next(score for score in record.scores if score.name == "kdigo_aki").value == 0


async def test_histories_survive_a_restart(bedside: Bedside) -> None:
    await bedside.give(lab("a", 0, value=1.0, **CREATININE))
    bedside.restart()
    said = await bedside.give(lab("b", 600, value=1.5, **CREATININE))
    assert told(said) == [("creatinine_mg_per_dl", 1.5, ["delta_up"])]


async def test_thirty_labs_do_not_grow_the_patient_s_row() -> None:
    """What each batch rewrites: with 30 analytes it is as long as with the seven that scores read, alerts apart."""
    quiet = parse_policy(DEFAULT.text.replace('"critical_low", "critical_high"', '"delta_down"'))
    bedside = Bedside(policy=lambda: quiet)
    await bedside.give(vitals("v", 0, **WELL))
    before = len(bedside.rows[b"p\0P1"])
    for number, analyte in enumerate(one for one in ANALYTES[:37] if one.code in BINS_ONLY):
        middle = (analyte.low + analyte.high) / 2
        await bedside.give(lab(analyte.code, number, loinc=analyte.loinc, unit=analyte.unit, value=middle))
    assert len(bedside.rows[b"p\0P1"]) - before < 40  # times change in length
    for number, analyte in enumerate(one for one in ANALYTES if one.code in SCORED):
        middle = (analyte.low + analyte.high) / 2
        await bedside.give(lab(analyte.code, number, loinc=analyte.loinc, unit=analyte.unit, value=middle))
    assert len(bedside.rows[b"p\0P1"]) < 1500

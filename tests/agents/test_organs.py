"""SOFA and KDIGO's stage follow the results that they read, and their revisions."""

from __future__ import annotations

import pytest

from tests.agents.bedside import Bedside, Said
from tests.events import WELL, admission, lab, tick, vitals

CREATININE = {"loinc": "2160-0", "unit": "mg/dL"}


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


async def test_sofa_and_the_kidneys_stage_follow_what_they_read(bedside: Bedside) -> None:
    def names(said: Said) -> list[str]:
        return [score.name for score in said.scores[-1].scores[6:]]

    await bedside.give(admission("adm", 0, "admit", age_years=60))
    assert names(await bedside.give(vitals("v", 0, **WELL))) == []
    assert names(await bedside.give(lab("a", 1, value=1.0, **CREATININE))) == ["sofa", "kdigo_aki"]
    said = await bedside.give(lab("b", 600, value=2.0, **CREATININE))
    sofa, kidneys = said.scores[-1].scores[6:]
    assert (sofa.parts["creatinine_mg_per_dl"], kidneys.value, kidneys.band) == (2, 2, "stage 2")
    assert names(await bedside.give(vitals("hr", 601, heart_rate_bpm=70.0))) == []
    assert names(await bedside.give(vitals("p", 602, mean_pressure_mmhg=60.0))) == ["sofa"]
    assert names(await bedside.give(vitals("u", 603, urine_output_ml=50.0, urine_period_h=1.0))) == [
        "sofa",
        "kdigo_aki",
    ]
    assert names(await bedside.give(lab("plt", 604, loinc="777-3", value=90.0))) == ["sofa"]
    lapsed = await bedside.give(tick(600 + 24 * 60))
    assert names(lapsed) == ["sofa", "kdigo_aki"]
    assert "creatinine_mg_per_dl" in lapsed.scores[-1].scores[-1].missing


async def test_a_correction_restages_the_kidneys(bedside: Bedside) -> None:
    await bedside.give(lab("a", 0, value=1.0, **CREATININE), lab("b", 600, value=3.1, **CREATININE))
    said = await bedside.give(lab("c", 600, 700, value=1.1, status="corrected", supersedes="b", **CREATININE))
    assert said.scores[-1].scores[-1].value == 0
    (result,) = said.scores[-1].results
    assert (result.name, result.value, result.flags) == ("creatinine_mg_per_dl", 1.1, ())


@pytest.mark.parametrize("correction", [{"status": "cancelled"}, {"status": "corrected", "text": "clotted"}])
async def test_sofa_and_the_stage_are_told_once_more_when_nothing_is_left(
    bedside: Bedside, correction: dict[str, object]
) -> None:
    """Who keeps the last of each would keep what came from results that do not exist any more."""
    about = {"supersedes": "b", **CREATININE, **correction}
    said = await bedside.give(lab("b", 600, value=6.0, **CREATININE))
    assert [(one.name, one.value) for one in said.scores[-1].scores[6:]] == [("sofa", 4.0), ("kdigo_aki", 0.0)]
    said = await bedside.give(lab("c", 600, 700, **about))
    assert [(one.name, one.value, one.parts, one.complete) for one in said.scores[-1].scores[6:]] == [
        ("sofa", 0.0, {}, False),
        ("kdigo_aki", 0.0, {}, False),
    ]
    said = await bedside.give(vitals("p", 701, mean_pressure_mmhg=60.0), tick(702))
    assert [score.name for record in said.scores for score in record.scores[6:]] == []


@pytest.mark.parametrize(
    ("correction", "parts"),
    [({"status": "cancelled"}, {}), ({"status": "corrected", "value": 3.0}, {"creatinine_mg_per_dl": 0.0})],
)
async def test_a_baseline_that_is_older_than_the_bins_is_taken_back(
    bedside: Bedside, correction: dict[str, object], parts: dict[str, float]
) -> None:
    await bedside.give(lab("a", 0, value=1.0, **CREATININE))
    said = await bedside.give(lab("b", 100 * 60, value=3.1, **CREATININE))
    assert said.scores[-1].scores[-1].band == "stage 3"
    said = await bedside.give(lab("c", 0, 101 * 60, supersedes="a", **CREATININE, **correction))
    assert (said.scores[-1].scores[-1].name, said.scores[-1].scores[-1].parts) == ("kdigo_aki", parts)


async def test_the_stage_is_told_once_more_when_a_cancelled_collection_was_the_last(bedside: Bedside) -> None:
    await bedside.give(vitals("u", 0, urine_output_ml=0.0, urine_period_h=12.0))
    said = await bedside.give(vitals("c", 0, 30, status="cancelled", supersedes="u"))
    assert [(one.name, one.parts) for one in said.scores[-1].scores[6:]] == [("kdigo_aki", {})]

"""predictions.v1: when the deep model is asked, about whom, and what is published when it does not answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.agents.bedside import Bedside
from tests.events import WELL, admission, at, event_id, lab, tick, vitals
from tests.models.measuring import kept
from wardstream.models import serving
from wardstream.models.explaining import contributions
from wardstream.models.sepsis import (
    HORIZON_H,
    LOOK_BACK,
    NAME,
    SIGNALS,
    TARGET,
    Calibration,
    Inputs,
    Prepared,
    Who,
    prepare,
    stacked,
)
from wardstream.models.serving import ROWS, Served
from wardstream.models.signals import FIELDS
from wardstream.models.triton import Answer, Reason, Unavailable
from wardstream.schemas.decode import decode

THRESHOLD = 0.6


class Server:
    """Answers with the last heart rate less 100, over 10, at every place; or not at all."""

    def __init__(self) -> None:
        self.version = "3"
        self.silent: Reason | None = None
        self.asked: list[Inputs] = []

    async def infer(self, model: str, inputs: Mapping[str, Any]) -> Answer:
        assert model == "sepsis"
        if self.silent is not None:
            raise Unavailable(self.silent)
        self.asked.append(Inputs(**inputs))
        return Answer(self.version, {"logit": (inputs["values"][:, :, 0] - 100) / 10}, 0.001)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def bedside(server: Server, tmp_path: Path) -> Bedside:
    folder = tmp_path / "3"
    folder.mkdir()
    calibration = Calibration(method="platt", slope=1.0, intercept=0.0, thresholds={"alert": THRESHOLD})
    (folder / "calibration.json").write_bytes(msgspec.json.encode(calibration))
    fallback = Calibration(method="platt", slope=0.5, intercept=-4.0)
    (folder / "fallback.json").write_bytes(msgspec.json.encode(fallback))
    return Bedside(sepsis=Served(server, tmp_path))


def admitted(name: str = "a", minutes: float = 0, **fields: Any) -> Any:
    return admission(name, minutes, "admit", **{"age_years": 60.0, "sex": "female"} | fields)


def well(name: str, minutes: float, **fields: Any) -> Any:
    return vitals(name, minutes, **WELL | fields)


def ticks(first: int, last: int) -> list[Any]:
    return [tick(minute) for minute in range(first, last + 1)]


def test_the_example_is_of_this_model_and_explained_in_its_words() -> None:
    raw = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "predictions.v1.json"
    example: Any = decode("predictions.v1", raw.read_bytes())
    assert (example.model, example.target, example.horizon_h) == (NAME, TARGET, HORIZON_H)
    assert set(example.missing) < {FIELDS[code] for code in SIGNALS}
    medians = np.full((13, len(SIGNALS)), np.nan)
    for code, hour, value in (("rr", 12, 26.0), ("temp", 12, 38.6), ("creat", 0, 1.3)):
        medians[hour, SIGNALS.index(code)] = value
    prepared = Prepared(medians, 1, Who(0.0, 61.0, "male"), 0.0, 0.0)
    others = {one.feature: 1.0 - one.contribution for one in example.contributions}
    assert example.contributions == contributions(prepared, 1.0, others)


async def test_after_a_rollback_the_version_that_served_is_stood_in_for(server: Server, tmp_path: Path) -> None:
    served = Served(server, tmp_path)
    for version, slope in (("3", 0.5), ("4", 0.0)):  # 4 is in the repository, and does not serve
        (tmp_path / version).mkdir()
        fallback = Calibration(method="platt", slope=slope, intercept=-4.0)
        (tmp_path / version / "fallback.json").write_bytes(msgspec.json.encode(fallback))
    assert served.version == "4", "before any answer nothing else is known"
    (tmp_path / "config.pbtxt").write_text("version_policy: { specific: { versions: [ 3 ] } }")
    assert served.version == "3", "but who serves is written down"
    (tmp_path / "config.pbtxt").unlink()
    await served.ask([Prepared(np.full((1, len(SIGNALS)), np.nan), 1, Who(0.0, 60.0, "female"), 0.0, 0.0)])
    assert served.version == "3"
    assert served.fall_back(2.0, "deadline").probability == pytest.approx(1 / (1 + np.exp(4.0 - 0.5 * 2)))


async def test_at_the_end_of_each_hour_of_the_stay(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), well("v", 10), *ticks(11, 60))
    assert said.predictions == [], "an hour's tick may come before what was measured at its end"
    said = await bedside.give(*ticks(61, 130))
    assert [(one.observed_at, one.caused_by) for one in said.predictions] == [
        (at(60), event_id("tick 61")),
        (at(120), event_id("tick 121")),
    ]
    first = said.predictions[0]
    assert (first.model, first.version, first.target, first.horizon_h) == ("sepsis", "3", "sepsis_onset", 6.0)
    assert (first.quality, first.reason) == ("ok", None)
    assert first.probability == pytest.approx(1 / (1 + np.exp(2.8)))
    assert first.calibrated_probability == pytest.approx(first.probability)
    assert (first.input_from, first.input_until, first.staleness_s) == (at(10), at(10), 3000.0)
    assert "creatinine_mg_per_dl" in first.missing or any("creat" in name for name in first.missing)
    assert not {"heart_rate_bpm", "systolic_mmhg"} & set(first.missing)


async def test_the_inputs_are_those_of_training(bedside: Bedside, server: Server) -> None:
    await bedside.give(admitted(), well("v", 10), well("w", 70, heart_rate_bpm=88.0), well("x", 110), *ticks(111, 121))
    stay = bedside.patient().stay
    expected = prepare(kept(bedside.sets()), Who(stay.admitted_at, 60.0, "female"), at(120).timestamp())
    assert isinstance(expected, Prepared)
    for given, wanted in zip(server.asked[-1], stacked([expected]), strict=True):  # the hour before was asked with it
        np.testing.assert_array_equal(given[1:], wanted)


async def test_all_patients_of_a_batch_at_once(bedside: Bedside, server: Server) -> None:
    keys = [f"P{number}" for number in range(ROWS + 10)]
    for key in keys:
        await bedside.give(
            admitted(f"a {key}", patient_id=key), well(f"v {key}", 5, patient_id=key, heart_rate_bpm=60.0 + len(key))
        )
    said = await bedside.give(tick(61))
    assert [len(inputs.values) for inputs in server.asked] == [ROWS, 10]
    assert {one.patient_id for one in said.predictions} == set(keys)
    for one in said.predictions:
        assert one.probability == pytest.approx(1 / (1 + np.exp((100 - 60 - len(one.patient_id)) / 10)))


async def test_a_server_that_falls_silent_is_not_asked_for_the_rest(bedside: Bedside, server: Server) -> None:
    keys = [f"P{number}" for number in range(3 * ROWS)]
    for key in keys:
        await bedside.give(admitted(f"a {key}", patient_id=key), well(f"v {key}", 5, patient_id=key))
    answering, tried = server.infer, list[int]()

    async def infer(model: str, inputs: Mapping[str, Any]) -> Answer:
        tried.append(len(inputs["values"]))
        server.silent = "unavailable" if len(tried) > 1 else None
        return await answering(model, inputs)

    server.infer = infer  # type: ignore[method-assign]
    said = await bedside.give(tick(61))
    assert tried == [ROWS] * 2
    assert Counter(one.quality for one in said.predictions) == {
        "ok": ROWS,
        "degraded": len(keys) - ROWS,
    }


async def test_lanes_take_turns_at_the_server(server: Server, tmp_path: Path) -> None:
    served, at_server, most = Served(server, tmp_path), 0, 0
    answering = server.infer

    async def infer(model: str, inputs: Mapping[str, Any]) -> Answer:
        nonlocal at_server, most
        at_server += 1
        most = max(most, at_server)
        await asyncio.sleep(0.001)
        at_server -= 1
        return await answering(model, inputs)

    server.infer = infer  # type: ignore[method-assign]
    row = Prepared(np.full((1, len(SIGNALS)), np.nan), 1, Who(0.0, 60.0, "female"), 0.0, 0.0)
    said = await asyncio.gather(*(served.ask([row] * 2 * ROWS) for _ in range(8)))
    assert most == 1
    assert [len(answers) for answers in said] == [2 * ROWS] * 8
    assert not any(isinstance(one, str) for answers in said for one in answers)


async def test_who_gets_no_turn_within_the_budget_goes_on_without(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "BUDGET_S", 0.05)
    served, ended, answering = Served(server, tmp_path), asyncio.Event(), server.infer

    async def infer(model: str, inputs: Mapping[str, Any]) -> Answer:
        await ended.wait()
        return await answering(model, inputs)

    server.infer = infer  # type: ignore[method-assign]
    row = Prepared(np.full((1, len(SIGNALS)), np.nan), 1, Who(0.0, 60.0, "female"), 0.0, 0.0)
    first = asyncio.create_task(served.ask([row] * 2 * ROWS))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(served.ask([row]), 60) == ["deadline"]
    ended.set()
    assert len(await asyncio.wait_for(first, 60)) == 2 * ROWS


async def test_on_each_new_result(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), well("v", 10), lab("wbc", 30, value=14.0))
    assert [(one.observed_at, one.caused_by) for one in said.predictions] == [(at(30), event_id("wbc"))]
    said = await bedside.give(lab("unknown", 31, loinc="99999-9", unit="mg/dL", value=1.0))
    assert said.predictions == []


@pytest.mark.parametrize(
    "correction",
    [{"status": "cancelled"}, {"status": "corrected", "text": "clotted"}, {"status": "corrected", "value": 9}],
)
async def test_an_alert_that_stood_on_a_result_is_taken_back_with_it(
    bedside: Bedside, server: Server, monkeypatch: pytest.MonkeyPatch, correction: dict[str, Any]
) -> None:
    async def infer(model: str, inputs: Mapping[str, Any]) -> Answer:
        cells = inputs["values"][:, :, SIGNALS.index("wbc")]
        return Answer(server.version, {"logit": np.where(cells > 12, 3.0, -3.0)}, 0.001)

    monkeypatch.setattr(server, "infer", infer)
    said = await bedside.give(admitted(), well("v", 10), lab("wbc", 30, value=14.0))
    assert ("sepsis", "raised") in said.transitions()
    said = await bedside.give(lab("c", 30, 40, supersedes="wbc", **correction))
    assert [(one.observed_at, one.caused_by) for one in said.predictions] == [(at(40), event_id("c"))]
    assert ("sepsis", "retracted") in said.transitions()
    said = await bedside.give(lab("unknown", 30, 41, supersedes="other", status="cancelled"))
    assert said.predictions == [], "it took nothing away"


async def test_abstains_with_a_reason(bedside: Bedside, server: Server) -> None:
    said = await bedside.give(admitted(), vitals("v", 10, heart_rate_bpm=80.0), tick(61))
    (one,) = said.predictions
    assert (one.quality, one.probability, one.calibrated_probability) == ("abstained", None, None)
    assert one.reason == "fewer than 3 of five vital signs in the last 12 h"
    assert "respiratory_rate_per_min" in one.missing
    assert "heart_rate_bpm" not in one.missing
    assert (one.input_from, one.input_until, one.staleness_s) == (at(10), at(10), 3000.0)
    child = {"patient_id": "P2"}
    said = await bedside.give(admitted("b", age_years=9.0, **child), well("w", 62, **child), tick(122))
    assert [one.reason for one in said.predictions if one.patient_id == "P2"] == ["made for adults"]
    assert server.asked == []


@pytest.mark.parametrize("reason", ["deadline", "unavailable", "circuit_open", "overloaded", "rejected"])
async def test_degraded_while_the_server_is_silent(bedside: Bedside, server: Server, reason: Reason) -> None:
    server.silent = reason
    said = await bedside.give(admitted(), well("v", 10, heart_rate_bpm=120.0), tick(61))
    (one,) = said.predictions
    assert one.quality == "degraded"
    assert one.reason is not None
    assert one.reason.endswith("from NEWS2 alone")
    assert one.probability == one.calibrated_probability == pytest.approx(1 / (1 + np.exp(4.0 - 0.5 * 2)))
    assert len(said.scores) == 1, "rule scores go on"
    server.silent = None
    assert (await bedside.give(tick(121))).predictions[0].quality == "ok"


@pytest.mark.parametrize(
    "logit",
    [
        np.full((1, LOOK_BACK), np.nan),
        np.full((1, LOOK_BACK), np.inf),
        np.zeros((1, LOOK_BACK // 2)),
        np.zeros(1),
        None,
    ],
)
async def test_an_answer_that_is_none_is_not_taken(bedside: Bedside, server: Server, logit: Any) -> None:
    answering = server.infer

    async def infer(model: str, inputs: Mapping[str, Any]) -> Answer:
        await answering(model, inputs)
        return Answer("3", {} if logit is None else {"logit": logit}, 0.0)

    server.infer = infer  # type: ignore[method-assign]
    said = await bedside.give(admitted(), well("v", 10), tick(61))
    (one,) = said.predictions
    assert (one.quality, one.reason) == ("degraded", "what the model server said is no answer: from NEWS2 alone")
    assert len(said.scores) == 1, "rule scores go on"
    server.infer = answering  # type: ignore[method-assign]
    assert (await bedside.give(tick(121))).predictions[0].quality == "ok"


async def test_one_answer_that_is_none_takes_nothing_from_the_others(bedside: Bedside, server: Server) -> None:
    for key in ("P1", "P2"):
        await bedside.give(admitted(f"a {key}", patient_id=key), well(f"v {key}", 5, patient_id=key))
    answering = server.infer

    async def infer(model: str, inputs: Mapping[str, Any]) -> Answer:
        answer = await answering(model, inputs)
        answer.outputs["logit"] = np.array(answer.outputs["logit"])
        answer.outputs["logit"][0] = np.nan
        return answer

    server.infer = infer  # type: ignore[method-assign]
    said = await bedside.give(tick(61))
    assert [one.quality for one in said.predictions] == ["degraded", "ok"]


async def test_a_calibration_that_comes_later_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "CALIBRATION_AGAIN_S", 0.0)
    served, folder = Served(server, tmp_path), tmp_path / "3"
    row = Prepared(np.full((1, len(SIGNALS)), np.nan), 1, Who(0.0, 60.0, "female"), 0.0, 0.0)
    (one,) = await served.ask([row])
    assert not isinstance(one, str)
    assert one.quality == "degraded"
    folder.mkdir()
    calibration = Calibration(method="platt", slope=1.0, intercept=0.0)
    (folder / "calibration.json").write_bytes(msgspec.json.encode(calibration))
    (one,) = await served.ask([row])
    assert not isinstance(one, str)
    assert one.quality == "ok"


async def test_an_unknown_version_is_not_read_with_anothers_calibration(bedside: Bedside, server: Server) -> None:
    server.version = "4"
    (one,) = (await bedside.give(admitted(), well("v", 10), tick(61))).predictions
    assert (one.version, one.quality, one.calibrated_probability) == ("4", "degraded", None)


async def test_an_alert_rises_and_ends(bedside: Bedside, server: Server) -> None:
    ill = {"heart_rate_bpm": 106.0}
    said = await bedside.give(admitted(unit="A"), well("v", 10, **ill), tick(61))
    (alert,) = [alert for alert in said.alerts if alert.condition == "sepsis"]
    (prediction,) = said.predictions
    assert (alert.transition, alert.priority, alert.unit) == ("raised", "medium", "A")
    assert alert.reason == "probability of sepsis within 6 h: 65% (alert from 60%)"
    assert alert.evidence.prediction is not None
    assert alert.evidence.prediction.event_id == prediction.event_id
    assert alert.evidence.prediction.calibrated_probability == prediction.calibrated_probability
    server.silent = "deadline"
    said = await bedside.give(well("w", 70), tick(121))
    told = [one for one in said.transitions() if one[0] == "sepsis"]
    assert told == [("sepsis", "escalated"), ("sepsis", "went_stale")], "nothing is known: it stays"
    server.silent = None
    said = await bedside.give(well("x", 130, heart_rate_bpm=98.0), tick(181))
    assert ("sepsis", "resolved") not in said.transitions(), "half of the threshold ends it, not the threshold"
    said = await bedside.give(well("y", 190), tick(241))
    assert ("sepsis", "resolved") in said.transitions()


async def test_nobody_is_asked_about_who_has_left_or_never_came(bedside: Bedside, server: Server) -> None:
    await bedside.give(well("v", 10), *ticks(60, 70))
    said = await bedside.give(admitted("b", 80, patient_id="P2"), well("w", 81, patient_id="P2"))
    said += await bedside.give(admission("c", 100, "discharge", patient_id="P2"), *ticks(140, 210))
    assert said.predictions == []
    assert server.asked == []


async def test_a_restart_asks_for_no_hour_twice_and_a_late_admission_for_no_hour_gone_by(bedside: Bedside) -> None:
    await bedside.give(admitted(), well("v", 10), tick(61))
    bedside.restart()
    assert (await bedside.give(tick(62))).predictions == []
    said = await bedside.give(
        admitted("late", -300, received=63, patient_id="P2"), well("w", 63, patient_id="P2"), tick(64)
    )
    assert [one.observed_at for one in said.predictions] == [at(60)]


async def test_an_alert_says_what_it_was_made_of(bedside: Bedside, server: Server) -> None:
    said = await bedside.give(
        admitted(), well("v", 10, heart_rate_bpm=80.0), well("w", 130, heart_rate_bpm=110.0), tick(181)
    )
    (prediction,) = said.predictions
    largest = prediction.contributions[0]
    assert (largest.feature, largest.text) == ("heart_rate", "heart rate 110 /min (this hour)")
    assert largest.contribution == pytest.approx((110 - 0) / 10), "as if it had never been measured: 0 instead of 110"
    assert [one.contribution for one in prediction.contributions[1:]] == [0.0] * 4
    assert len(server.asked) == 2, "one call for the answer, one for all groups"
    (alert,) = [alert for alert in said.alerts if alert.condition == "sepsis"]
    assert alert.evidence.prediction is not None
    assert alert.evidence.prediction.contributions == prediction.contributions


async def test_an_alert_goes_out_though_the_server_falls_silent_before_its_explanation(
    bedside: Bedside, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = server.infer

    async def once(model: str, inputs: Mapping[str, Any]) -> Answer:
        if server.asked:
            raise Unavailable("deadline")
        return await infer(model, inputs)

    monkeypatch.setattr(server, "infer", once)
    said = await bedside.give(admitted(), well("v", 10, heart_rate_bpm=110.0), tick(61))
    assert ("sepsis", "raised") in said.transitions()
    assert said.predictions[0].contributions == ()

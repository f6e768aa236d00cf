"""What tiles say, of whom, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.events import WELL, admission, at, directive, event_id, lab, tick, vitals
from tests.infra.board.ward import EVERYBODY, OPERATORS, alert_ids, board, prediction, row, silenced, tiles, transition
from wardstream.infra.board import state
from wardstream.infra.board.shelf import Audience
from wardstream.schemas.occupancy import Withdrawn
from wardstream.schemas.scores import Score, Scores


def scores(minutes: float, value: float, **fields: Any) -> Scores:
    news2 = Score(name="news2", version="1", value=value, complete=True, band="high", parts={"rr": value})
    return Scores(
        event_id=event_id(f"s{minutes}"),
        source="test",
        patient_id="P1",
        observed_at=at(minutes),
        received_at=at(minutes),
        caused_by=event_id("v"),
        scores=(news2,),
        **fields,
    )


def test_a_tile_has_what_was_published_last() -> None:
    ward, wall = board()
    wall.go(10)
    for event in (
        row(),
        vitals("v1", 1, **WELL),
        vitals("v2", 3, heart_rate_bpm=130.0),
        vitals("late", 2, heart_rate_bpm=99.0),
        scores(3, 7),
        admission("a", 0, "admit", code_status="dnr", unit="4B"),
        prediction(3, 0.25),
        directive("d", 3, "comfort_care", 600),
    ):
        ward.ward.apply(event)
    ward.hear(transition("a", priority="high"))
    assert ward.flush()
    (tile,) = tiles(ward).values()
    assert (tile["unit"], tile["bed"], tile["age_years"], tile["code_status"]) == ("4B", "1", 70.0, "dnr")
    assert tile["comfort_until"] == "2026-03-01T18:00:00Z"
    assert tile["values"]["heart_rate_bpm"] == {"value": 130.0, "at": "2026-03-01T08:03:00Z"}
    assert tile["values"]["consciousness"]["value"] == "A"
    assert tile["values"]["supplemental_oxygen"]["value"] is False
    assert (tile["news2"]["value"], tile["news2"]["band"], tile["news2"]["parts"]) == (7.0, "high", {"rr": 7.0})
    assert (tile["risk"]["probability"], tile["risk"]["trend"]) == (0.25, [["2026-03-01T08:03:00Z", 0.25]])
    assert (tile["priority"], tile["rank"]) == ("high", 3070.25)
    assert tile["alerts"] == [str(one) for one in alert_ids(ward)]
    version = ward.version
    assert not ward.flush()
    assert ward.version == version


def test_a_correction_takes_the_value_away_and_the_one_before_shows() -> None:
    ward, wall = board()
    wall.go(10)
    ward.ward.apply(row())
    ward.ward.apply(vitals("v1", 1, heart_rate_bpm=80.0, spo2_percent=97.0))
    ward.ward.apply(vitals("v2", 4, heart_rate_bpm=180.0, spo2_percent=90.0))
    ward.ward.apply(vitals("c", 5, status="corrected", supersedes="v2", heart_rate_bpm=81.0, observed_at=at(4)))
    ward.flush()
    values = tiles(ward)["P1"]["values"]
    assert (values["heart_rate_bpm"]["value"], values["spo2_percent"]["value"]) == (81.0, 97.0)
    assert values["spo2_percent"]["at"] == "2026-03-01T08:01:00Z"
    ward.ward.apply(vitals("x", 6, status="cancelled", supersedes="c"))
    ward.flush()
    assert tiles(ward)["P1"]["values"]["heart_rate_bpm"]["value"] == 80.0


def test_results_are_in_one_unit_and_a_version_takes_the_place_of_the_one_before() -> None:
    ward, _ = board()
    potassium: dict[str, Any] = {"loinc": "2823-3", "unit": "mmol/L"}
    ward.ward.apply(row())
    ward.ward.apply(lab("k1", 1, value=4.0, status="preliminary", **potassium))
    ward.ward.apply(lab("k2", 1, value=4.2, supersedes="k1", **potassium))
    ward.ward.apply(lab("k3", 2, value=6.9, flag="HH", **potassium))
    ward.ward.apply(lab("c1", 2, loinc="2160-0", unit="µmol/L", value=88.4))
    ward.ward.apply(lab("odd", 2, loinc="99999-9", unit="x", value=1.0))
    labs = ward.ward.patients["P1"].labs
    assert [(one.value, one.flag, one.preliminary) for one in labs["potassium_mmol_per_l"].results] == [
        (4.2, None, False),
        (6.9, "HH", False),
    ]
    assert labs["creatinine_mg_per_dl"].results[0].value == pytest.approx(1.0, abs=1e-4)
    assert labs["99999-9"].unit == "x"
    ward.ward.apply(lab("k4", 3, status="cancelled", supersedes="k3", **potassium))
    assert len(labs["potassium_mmol_per_l"].results) == 1


def test_silent_models_are_for_operators() -> None:
    ward, wall = board()
    wall.go(10)
    ward.ward.apply(row())
    ward.ward.control(silenced("4B"))
    ward.ward.apply(prediction(1, 0.9, silent=True))
    ward.hear(transition("quiet", silent=True, priority="high"))
    ward.flush()
    told, whole = tiles(ward)["P1"], tiles(ward, OPERATORS)["P1"]
    assert (told["risk"], told["alerts"], told["priority"], told["silent"]) == (None, [], None, True)
    assert (whole["risk"]["probability"], len(whole["alerts"]), whole["priority"]) == (0.9, 1, None)
    assert (alert_ids(ward), len(alert_ids(ward, OPERATORS))) == ([], 1)
    ward.ward.apply(prediction(2, 0.1, model="risk", version="7"))
    ward.flush()
    assert tiles(ward)["P1"]["risk"]["model"] == "risk"
    assert tiles(ward, OPERATORS)["P1"]["risk"]["model"] == "risk"  # what all are shown comes first


def test_an_alert_that_the_policy_tries_in_silence_says_so_and_comes_after_those_that_are_told() -> None:
    ward, wall = board()
    wall.go(10)
    ward.ward.apply(row())
    ward.hear(transition("quiet", silent=True, priority="high"))
    ward.flush()
    told, whole = tiles(ward)["P1"], tiles(ward, OPERATORS)["P1"]
    assert (told["alerts"], told["silent"]) == ([], False)
    assert (len(whole["alerts"]), whole["priority"], whole["silent"]) == (1, None, True)
    ward.hear(transition("told", priority="low"))
    ward.flush()
    told, whole = tiles(ward)["P1"], tiles(ward, OPERATORS)["P1"]
    assert (told["priority"], told["silent"]) == ("low", False)
    assert (whole["alerts"][0], len(whole["alerts"])) == (told["alerts"][0], 2)
    assert (whole["priority"], whole["silent"]) == ("low", True)


def test_the_best_answer_is_shown_and_an_abstention_says_so() -> None:
    ward, _ = board()
    ward.ward.apply(row())
    ward.ward.apply(prediction(1, None))
    ward.flush()
    assert tiles(ward)["P1"]["risk"]["quality"] == "abstained"
    assert tiles(ward)["P1"]["degraded"] is True
    ward.ward.apply(prediction(2, 0.1, model="risk"))
    ward.flush()
    assert tiles(ward)["P1"]["risk"]["model"] == "risk"
    assert tiles(ward)["P1"]["degraded"] is False


def test_the_trend_is_a_point_each_half_hour_of_twelve_hours() -> None:
    ward, wall = board()
    ward.ward.apply(row())
    for minutes in range(0, 20 * 60, 5):
        ward.ward.apply(prediction(minutes, minutes / 2000))
    wall.go(20 * 60)
    ward.flush()
    trend = tiles(ward)["P1"]["risk"]["trend"]
    assert len(trend) == 24
    assert trend[-1] == ["2026-03-02T03:55:00Z", 1195 / 2000]


def test_who_moves_is_in_one_unit_and_who_leaves_in_none() -> None:
    here, there = Audience(frozenset({"4B"}), operator=False), Audience(frozenset({"ICU"}), operator=False)
    ward, wall = board()
    ward.ward.apply(row())
    ward.ward.apply(row("P2"))
    ward.flush()
    version = ward.version
    ward.ward.apply(row(state="left", left_at=at(5), left_to="ICU", minutes=5, since=at(0)))
    ward.ward.apply(row(unit="ICU", minutes=5))
    ward.flush()
    assert ward.tiles.since(version, here) == ([], ["P1"])
    assert (list(tiles(ward, here)), list(tiles(ward, there))) == (["P2"], ["P1"])
    assert [(one.unit, one.bed) for one in ward.ward.patients["P1"].moves] == [("4B", "1"), ("ICU", "1")]
    ward.ward.withdraw(Withdrawn("4B\t\tP2", at(6)))
    ward.flush()
    assert list(tiles(ward)) == ["P1"]
    wall.go(59)
    ward.ward.forget()
    assert "P2" in ward.ward.patients
    wall.go(70)
    ward.ward.forget()
    assert list(ward.ward.patients) == ["P1"]


def test_who_has_no_bed_has_no_tile_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MOST_WITHOUT", 50)
    ward, _ = board()
    ward.ward.apply(row("there"))
    for number in range(500):
        ward.ward.apply(vitals(f"v{number}", 0, patient_id=f"p{number}", heart_rate_bpm=80.0))
    ward.flush()
    assert list(tiles(ward)) == ["there"]
    assert len(ward.ward.patients) <= 102
    ward.ward.forget()
    assert len(ward.ward.patients) == 51
    assert "p499" in ward.ward.patients
    assert "there" in ward.ward.patients


def test_memory_of_a_patient_is_bounded() -> None:
    ward, wall = board()
    ward.ward.apply(row())
    for minute in range(3 * 24 * 60):
        ward.ward.apply(vitals(f"v{minute}", minute, heart_rate_bpm=80.0))
    wall.go(3 * 24 * 60)
    ward.ward.forget()
    line = ward.ward.patients["P1"].vitals["heart_rate_bpm"]
    assert len(line.times) == 1440
    for number in range(400):
        ward.hear(transition(f"a{number}", 4))
    assert len(ward.ward.patients["P1"].alerts) <= 256


def test_the_end_of_an_alert_is_told_for_ten_minutes() -> None:
    ward, wall = board()
    ward.ward.apply(row())
    ward.hear(transition("a"))
    ward.flush()
    version = ward.version
    ward.hear(transition("a", 4))
    ward.flush()
    changes = ward.alerts.since(version, EVERYBODY)
    assert changes is not None
    assert b'"state":"resolved"' in changes.changed[0]
    assert tiles(ward)["P1"]["alerts"] == []
    ward.hear(transition("a"))  # read again after lanes were added
    ward.flush()
    assert tiles(ward)["P1"]["alerts"] == []
    wall.go(11)
    ward.flush()
    assert alert_ids(ward) == []
    ward.hear(transition("gone", 4))  # it had ended when we came
    assert not ward.flush() or alert_ids(ward) == []


def test_an_alert_goes_with_who_survives_a_merge() -> None:
    ward, _ = board()
    ward.ward.apply(row("old"))
    ward.ward.apply(row("new"))
    ward.hear(transition("a", patient_id="old"))
    ward.flush()
    ward.hear(transition("a", 2, patient_id="new"))
    ward.flush()
    shown = tiles(ward)
    assert (shown["old"]["alerts"], len(shown["new"]["alerts"])) == ([], 1)


def test_comfort_care_ends_by_itself() -> None:
    ward, wall = board()
    ward.ward.apply(row())
    ward.ward.apply(directive("d", 0, "comfort_care", 60))
    ward.flush()
    assert tiles(ward)["P1"]["comfort_until"] is not None
    wall.go(61)
    assert ward.flush()
    assert tiles(ward)["P1"]["comfort_until"] is None


def test_a_feed_may_bring_its_own_clock() -> None:
    ward, wall = board()
    wall.go(0)
    ward.clock.tick(tick(1000))
    wall.go(0.05)
    ward.clock.tick(tick(1003))
    assert ward.clock.now == at(1003).timestamp()
    assert ward.clock.pace == pytest.approx(60)

"""The live view's ward: what each topic adds to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from wardstream.infra.view.ward import BedRow, Ward
from wardstream.schemas.admissions import Admission
from wardstream.schemas.alerts import Alert, Evidence
from wardstream.schemas.scores import Score, Scores
from wardstream.schemas.ticks import Tick
from wardstream.schemas.vitals import Vitals

START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def envelope(patient: str, minutes: float, **more: Any) -> dict[str, Any]:
    common = {"source": "test", "patient_id": patient, "observed_at": at(minutes), "received_at": at(minutes)}
    return {"event_id": uuid4(), **common, **more}


def vitals(patient: str, minutes: float, **fields: Any) -> Vitals:
    return Vitals(**envelope(patient, minutes, **fields))


def admission(patient: str, minutes: float, **fields: Any) -> Admission:
    return Admission(**envelope(patient, minutes, **fields))


def scores(patient: str, minutes: float, value: float | None, **fields: Any) -> Scores:
    score = Score(**{"name": "news2", "version": "1", "value": value, "complete": True, **fields})
    return Scores(**envelope(patient, minutes), caused_by=uuid4(), scores=(score,))


def alert(patient: str, minutes: float, transition: Any, alert_id: UUID, raised: float = 0, **fields: Any) -> Alert:
    more = {"condition": "news2", "kind": "score", "priority": "high", "reason": "NEWS2 is 7", "number": 1, **fields}
    more.setdefault("state", "raised" if transition == "worsened" else transition)
    return Alert(
        **envelope(patient, minutes),
        alert_id=alert_id,
        transition=transition,
        raised_at=at(raised),
        caused_by=uuid4(),
        evidence=Evidence(caused_by=uuid4()),
        **more,
    )


def tick(minutes: float) -> Tick:
    return Tick(event_id=uuid4(), source="simulator", observed_at=at(minutes), received_at=at(minutes))


def ward_of(*events: Any) -> Ward:
    ward = Ward()
    for event in events:
        ward.apply(event)
    return ward


def only(ward: Ward) -> BedRow:
    (row,) = ward.rows()
    return row


def test_worst_first_then_alerts_then_place() -> None:
    ward = ward_of(
        admission("a", 0, kind="admit", bed="A-1"),
        admission("b", 0, kind="admit", bed="B-1"),
        admission("c", 0, kind="admit", bed="C-1"),
        admission("d", 0, kind="admit", bed="D-1"),
        scores("a", 1, 2),
        scores("b", 1, 7),
        scores("c", 1, 2, complete=False),
        alert("c", 1, "raised", uuid4(), priority="low"),
    )
    assert [row.place for row in ward.rows()] == ["B-1", "C-1", "A-1", "D-1"]


def test_values_age_with_the_ticks_and_go_stale_when_they_do_for_the_scores() -> None:
    ward = ward_of(
        vitals("a", 0, provenance="device", heart_rate_bpm=80, temperature_celsius=37.0),
        vitals("a", 0, consciousness="A"),
        tick(20),
    )
    signals = only(ward).signals
    assert (signals["hr"].age_s, signals["hr"].stale) == (1200, True)  # a monitor's counts for 15 minutes
    assert not signals["temp"].stale
    assert not signals["acvpu"].stale
    assert signals["acvpu"].value == "A"


def test_late_values_do_not_replace_newer_ones_and_corrections_do() -> None:
    wrong = vitals("a", 10, heart_rate_bpm=180, systolic_mmhg=120)
    ward = ward_of(wrong, vitals("a", 5, heart_rate_bpm=60))
    assert only(ward).signals["hr"].value == 180
    ward.apply(vitals("a", 10, heart_rate_bpm=80, status="corrected", supersedes=wrong.event_id))
    assert only(ward).signals["hr"].value == 80
    assert "sbp" not in only(ward).signals
    right = vitals("a", 11, heart_rate_bpm=81)
    ward.apply(right)
    ward.apply(vitals("a", 11, status="cancelled", supersedes=right.event_id))
    assert "hr" not in only(ward).signals


def test_who_leaves_is_no_longer_shown_until_admitted_again() -> None:
    ward = ward_of(admission("a", 0, kind="admit", bed="A-1"), admission("a", 30, kind="discharge"), scores("a", 31, 3))
    assert ward.rows() == []
    ward.apply(admission("a", 60, kind="admit", bed="A-2"))
    assert only(ward).place == "A-2"


def test_a_transfer_moves_and_an_older_event_does_not() -> None:
    ward = ward_of(
        admission("a", 0, kind="admit", unit="ED", bed="ED-1"),
        admission("a", 30, kind="transfer", unit="Ward A"),
        admission("a", 20, kind="update", bed="ED-2"),
    )
    assert only(ward).place == "Ward A"


def test_trend_holds_a_score_until_the_next() -> None:
    ward = ward_of(scores("a", 0, 2), scores("a", 11, 5), scores("a", 12, 6), tick(25))
    assert only(ward).trend[-6:] == (2, 2, 6, 6, 6, 6)
    assert only(ward).trend[0] is None
    ward.apply(tick(600))
    assert set(only(ward).trend) == {6}


def test_a_late_score_changes_nothing() -> None:
    ward = ward_of(scores("a", 10, 5), scores("a", 8, 1))
    score = only(ward).news2
    assert score is not None
    assert score.value == 5


def test_alerts_open_and_end() -> None:
    one, other = uuid4(), uuid4()
    ward = ward_of(
        alert("a", 0, "raised", one, priority="medium", bed="A-1"),
        alert("a", 3, "raised", other, raised=3, condition="stale", priority="low"),
        alert("a", 5, "worsened", one),
        tick(9),
    )
    row = only(ward)
    assert row.place == "A-1"
    assert [(each.condition, each.priority, each.age_s) for each in row.alerts] == [
        ("news2", "high", 540),
        ("stale", "low", 360),
    ]
    ward.apply(alert("a", 10, "resolved", one))
    assert [each.condition for each in only(ward).alerts] == ["stale"]
    assert [each.transition for each in ward.log] == ["raised", "raised", "worsened", "resolved"]

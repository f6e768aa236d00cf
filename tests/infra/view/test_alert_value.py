"""The counters of alerts become the figures that people ask for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.infra.view.test_pipeline import START, snapshot
from wardstream.agents import metrics as m
from wardstream.agents.meters import Meters
from wardstream.infra.view.alert_value import totals, value_tables
from wardstream.infra.view.pipeline import Pipeline

MEDIUM, HIGH = ("news2", "medium", "no"), ("news2", "high", "no")


def worker(factor: int = 1) -> Meters:
    meters = Meters()
    for labels, what, number in (
        (MEDIUM, "raised", 30),
        (MEDIUM, "in_stay", 24),
        (MEDIUM, "answered", 15),
        (HIGH, "raised", 10),
        (HIGH, "in_stay", 8),
        (HIGH, "escalated", 4),
        (HIGH, "useful", 3),
        (HIGH, "not_useful", 1),
        (("sepsis", "medium", "yes"), "raised", 7),
    ):
        meters.count(m.ALERT_EPISODES, (*labels, what), number * factor)
    for labels, verdict, number in (
        (MEDIUM, "true", 2),
        (MEDIUM, "false", 18),
        (MEDIUM, "censored", 5),
        (HIGH, "true", 5),
    ):
        meters.count(m.ALERT_VERDICTS, (*labels, verdict), number * factor)
    meters.observe(m.ALERT_ANSWERED, 256.0, ("news2", "medium"), 15 * factor)
    meters.count(m.OUTCOMES_JUDGED, ("death",), 4 * factor)
    meters.count(m.OUTCOMES_JUDGED, ("icu_transfer",), 6 * factor)
    for condition in ("news2", "*"):
        for priority, number in (("medium", 2), ("high", 4), ("*", 5)):
            meters.count(m.OUTCOMES_CAUGHT, (condition, priority, "no", "death"), number * factor)
            meters.observe(m.ALERT_LEAD, 8192.0, (condition, priority, "no"), number * factor)
    meters.count(m.UNIT_ALERTS, ("4B",), 32 * factor)
    meters.count(m.PATIENT_HOURS, ("4B",), 24 * 8 * factor)
    meters.count(m.PATIENT_HOURS, ("",), 24 * 2 * factor)
    meters.count(m.CLOCK_HOURS, (), 8)
    return meters


@pytest.fixture
def pipeline() -> Pipeline:
    found = Pipeline()
    found.add(snapshot("a", 0, worker()))
    found.add(snapshot("b", 0, worker(3)))
    return found


def test_sums_are_over_processes_and_classes(pipeline: Pipeline) -> None:
    found = totals(pipeline.counted())
    assert found.classes[MEDIUM].what["raised"] == 120
    assert found.classes["news2", "*", "no"].what["raised"] == 160
    assert found.classes["*", "*", "no"].what["raised"] == 160
    assert found.classes["*", "*", "yes"].what["raised"] == 28
    assert found.classes["*", "*", "no"].verdicts["true"] == 28
    assert found.classes["*", "*", "no"].caught == 20, "one outcome that several caught counts once"
    assert sum(found.classes["news2", "*", "no"].answered.values()) == 60
    assert (found.outcomes, found.patient_days, found.clock_hours) == (40, 40, 16)
    assert pipeline.counted().since == START


def shown(pipeline: Pipeline) -> list[str]:
    """The lines of the tables, with single spaces."""
    console = Console(file=io.StringIO(), width=200)
    console.print(value_tables(pipeline.counted(), "2 processes"))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_tables(pipeline: Pipeline) -> None:
    assert shown(pipeline) == [
        "2 processes",
        "alerts priority number a patient-day answered p50 p95 escalated retracted useful PPV sensitivity lead p50",
        "all 160 3.20 38% 4.3 min 4.3 min 10% 0% 75% of 16 28% of 100 50% of 40 2.3 h",
        "all high 40 0.80 0% 40% 0% 75% of 16 100% of 20 40% of 40 2.3 h",
        "all medium 120 2.40 50% 4.3 min 4.3 min 0% 0% 10% of 80 20% of 40 2.3 h",
        "news2 160 3.20 38% 4.3 min 4.3 min 10% 0% 75% of 16 28% of 100 50% of 40 2.3 h",
        "news2 high 40 0.80 0% 40% 0% 75% of 16 100% of 20 40% of 40 2.3 h",
        "news2 medium 120 2.40 50% 4.3 min 4.3 min 0% 0% 10% of 80 20% of 40 2.3 h",
        "sepsis (silent) medium 28 0.00 0% 0% 0% 0% of 40",
        "40.0 patient-days, 40 outcomes judged, 0 reports after the verdict, since 2026-03-14 08:00 UTC",
        "",
        "By unit, silent ones apart; a shift is 8 hours",
        "unit alerts patient-days a patient-day a shift",
        "not known 0 8.0 0.00 0.00",
        "4B 128 32.0 4.00 64.00",
    ]


def test_before_there_is_anything() -> None:
    pipeline = Pipeline()
    pipeline.add(snapshot("a", 0, Meters()))
    assert "0.0 patient-days, 0 outcomes judged, 0 reports after the verdict" in shown(pipeline)[2]


def test_no_share_is_of_alerts_that_another_start_has_counted() -> None:
    """Eight were raised before a restart, and two since; all are answered after it."""
    counted, found = Meters(), Pipeline()
    counted.count(m.ALERT_EPISODES, (*MEDIUM, "raised"), 2)
    counted.count(m.ALERT_EPISODES, (*MEDIUM, "answered"), 10)
    found.add(snapshot("a", 0, counted))
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(value_tables(found.counted(), "title"))
    text = console.export_text()
    assert "500%" not in text
    assert "10†" in text
    assert "† alerts, not a share: some were raised before the workers' start" in text

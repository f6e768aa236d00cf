"""What the demo counts, and when it is content."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.infra.view.test_ward import START, alert
from wardstream.infra.view.pipeline import Pipeline
from wardstream.infra.view.strip import progress_line, strip
from wardstream.infra.view.tally import Tally, quantile
from wardstream.infra.view.ward import Ward


@pytest.mark.parametrize(("q", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_quantile(q: float, expected: float) -> None:
    assert quantile([float(value) for value in range(100, 0, -1)], q) == expected
    assert quantile([], q) is None


def full() -> Tally:
    tally = Tally()
    for second in range(11):
        tally.input("vitals.v1")
        tally.input("ticks.v1")
        tally.tick(START + timedelta(minutes=second), float(second))
        tally.sample(float(second))
        tally.score(10.0 + second, float(second))
    tally.alert(alert("a", 0, "raised", uuid4()), 30.0, 1.0)
    tally.alert(alert("b", 0, "raised", uuid4(), condition="stale"), 40.0, 1.0)
    tally.dead["future"] += 2
    tally.snapshots += 1
    return tally


def test_rates() -> None:
    tally = full()
    assert tally.events == 11
    assert tally.events_per_s() == pytest.approx(1)
    assert tally.speed() == pytest.approx(60)
    assert tally.stale_raised == 1


def test_every_stage_has_to_show() -> None:
    assert full().silent_stages() == []
    assert Tally().silent_stages() == ["events", "scores", "alerts raised", "dead letters", "metrics snapshots"]
    unraised = full()
    unraised.transitions.clear()
    unraised.transitions["resolved"] += 1
    assert unraised.silent_stages() == ["alerts raised"]


def test_summary() -> None:
    rows = {name: (figure, details) for name, figure, details in full().summary()}
    assert rows["events in"] == ("11", "vitals.v1 11")
    assert rows["ward time"] == ("10 min", "11 ticks")
    assert rows["publish to score"] == ("15 ms", "p50 of 11; p99 20 ms, after the first 5 s 20 ms")
    assert rows["publish to alert"] == ("30 ms", "p50 of 2; p99 40 ms, after the first 5 s –")
    assert rows["dead letters"] == ("2", "future 2")
    assert {name for name, *_ in Tally().summary()} == rows.keys()


def test_the_view_tells_of_the_last_minute_only() -> None:
    tally = full()
    tally.score(500.0, 100.0)
    assert tally.to_score.recent() == [500.0]
    assert len(tally.to_score.all) == 12


def test_lines_of_the_strip_fit_80_columns() -> None:
    tally = full()
    lines = strip(Ward(), tally, Pipeline(), 4, START, 3725.0)
    assert all(len(line) <= 80 for line in lines)
    assert "×60" in lines[0]
    assert "62:05" in lines[0]
    assert "future 2" in lines[2]
    assert "events 11" in progress_line(Ward(), tally, 5.0)

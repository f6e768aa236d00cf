"""Sums over processes: exact, and never less than before, whatever is started anew, lost or late."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.infra.view.test_pipeline import at, snapshot
from wardstream.agents import metrics as m
from wardstream.agents.metrics import Histogram, Meters, quantile, series_name
from wardstream.infra.view.pipeline import QUIET_S, WINDOW_S, Pipeline
from wardstream.schemas.metrics import HistogramSnapshot

EVENTS = series_name(m.EVENTS, ("vitals.v1",))
LATENCY = series_name(m.LATENCY, ("vitals.v1",))
SECONDS = st.floats(min_value=1e-6, max_value=1e5)

# What one worker after another does: how many events it counts, whether its snapshot is lost, and whether it is then
# started anew, after how long.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which worker
        st.lists(SECONDS, max_size=5),
        st.booleans(),
        st.booleans(),
        st.sampled_from([1.0, 5.0, QUIET_S + 1, WINDOW_S + 1]),
    ),
    max_size=40,
)


@given(STEPS)
def test_totals_never_fall(steps: list[tuple[int, list[float], bool, bool, float]]) -> None:
    pipeline, now = Pipeline(), 0.0
    running: dict[int, tuple[int, Meters]] = {worker: (0, Meters()) for worker in range(3)}
    told: dict[str, tuple[int, Counter[int]]] = {}  # what the last snapshot of each process said
    before, before_seen, shown = 0.0, Counter[int](), 0.0
    for worker, latencies, lost, anew, later_s in steps:
        number, meters = running[worker]
        for latency_s in latencies:
            meters.count(m.EVENTS, ("vitals.v1",))
            meters.observe(m.LATENCY, latency_s, ("vitals.v1",))
        now += later_s
        if not lost:
            process = f"{worker}.{number}"
            pipeline.add(snapshot(process, now, meters))
            counts = meters.histograms.get((m.LATENCY, ("vitals.v1",)), Histogram()).counts
            told[process] = sum(counts.values()), Counter(counts)
        if anew:
            running[worker] = number + 1, Meters()
        found = pipeline.counted()
        total, seen = found.counters.get(EVENTS, 0.0), found.histograms.get(LATENCY, Counter())
        assert total == sum(events for events, _ in told.values())
        assert seen == sum((counts for _, counts in told.values()), Counter())
        assert total >= before
        assert seen >= before_seen
        live = _shown(pipeline, at(now))
        assert live == total >= shown
        before, before_seen, shown = total, seen, live


def _shown(pipeline: Pipeline, now: datetime) -> float:
    return sum(value.now for value in pipeline.metrics(now) if value.name == m.EVENTS.name)


@given(st.lists(st.lists(SECONDS, max_size=30), max_size=4))
def test_histograms_of_several_workers_are_that_of_one(workers: list[list[float]]) -> None:
    whole, pipeline = Histogram(), Pipeline()
    for number, values in enumerate(workers):
        meters = Meters()
        for value in values:
            meters.observe(m.LATENCY, value, ("vitals.v1",))
            whole.observe(value)
        pipeline.add(snapshot(str(number), 0, meters))
    merged = pipeline.counted().histograms.get(LATENCY, Counter())
    assert dict(merged) == whole.counts
    assert [quantile(merged, q) for q in (0.5, 0.99)] == [quantile(whole.counts, q) for q in (0.5, 0.99)]


def test_histograms_of_another_scheme_are_left_out() -> None:
    meters = Meters()
    meters.observe(m.LATENCY, 1.0, ("vitals.v1",), times=3)
    ours = snapshot("a", 0, meters)
    theirs = HistogramSnapshot(scheme="linear", counts={7: 5}, sum=1.0, count=5)
    pipeline = Pipeline()
    pipeline.add(ours)
    pipeline.add(type(ours)(process="b", role="worker", started_at=at(0), at=at(1), histograms={LATENCY: theirs}))
    assert dict(pipeline.counted().histograms[LATENCY]) == {0: 3}
    (value,) = (one for one in pipeline.metrics(at(1) + timedelta(seconds=1)) if one.name == m.LATENCY.name)
    assert value.p99 == 1.0

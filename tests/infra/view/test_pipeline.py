"""Snapshots of several processes become totals, rates and quantiles."""

from __future__ import annotations

import io
from collections import deque
from datetime import UTC, datetime, timedelta
from random import Random

from rich.console import Console

from wardstream.agents import metrics as m
from wardstream.agents.metrics import Histogram, Meters, series_name
from wardstream.infra.view.metrics_table import metrics_table
from wardstream.infra.view.pipeline import MOST_GONE, Pipeline, Value
from wardstream.schemas.metrics import HistogramSnapshot, Metrics

START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def snapshot(process: str, seconds: float, meters: Meters) -> Metrics:
    return Metrics(
        process=process,
        role="worker",
        started_at=START,
        at=at(seconds),
        counters=dict(meters.series("counter")),
        gauges=dict(meters.series("gauge")),
        histograms={
            series_name(metric, labels): HistogramSnapshot(
                scheme=Histogram.SCHEME, counts=dict(found.counts), sum=found.sum, count=found.count
            )
            for (metric, labels), found in meters.histograms.items()
        },
    )


def one(values: list[Value], metric: m.Metric, labels: str = "") -> Value:
    (found,) = (value for value in values if value.name == metric.name and value.labels == labels)
    return found


def two_workers() -> Pipeline:
    pipeline = Pipeline()
    for process, per_s in (("a", 10), ("b", 30)):
        meters = Meters()
        meters.set(m.LANES, 2)
        for seconds in (0, 5, 10):
            meters.count(m.EVENTS, ("vitals.v1",), per_s * 5)
            meters.count(m.EVENTS, ("labs.v1",), 5)
            meters.observe(m.LATENCY, 1.0 if seconds == 0 else per_s / 1000, ("vitals.v1",), times=100)
            pipeline.add(snapshot(process, seconds, meters))
    return pipeline


def test_rates_are_differences_added_over_processes() -> None:
    pipeline = two_workers()
    total = one(pipeline.metrics(at(11)), m.EVENTS)
    assert (total.now, total.per_s) == (2 * 15 + 3 * 50 + 3 * 150, 42)
    assert one(pipeline.series(at(11)), m.EVENTS, 'topic="vitals.v1"').per_s == 40


def test_histograms_merge_and_tell_the_last_minute() -> None:
    latency = one(two_workers().metrics(at(11)), m.LATENCY)
    assert latency.now == 600
    assert latency.p50 is not None
    assert latency.p99 is not None
    assert 0.010 <= latency.p50 <= 0.0119  # bounds of the classes: 19 % apart
    assert 0.030 <= latency.p99 <= 0.0357  # the slow first ones came before the first snapshot


def test_who_is_gone_has_no_gauges_and_keeps_its_totals() -> None:
    pipeline = two_workers()
    assert pipeline.lanes(at(11)) == 4
    meters = Meters()
    meters.set(m.LANES, 4)
    pipeline.add(snapshot("c", 30, meters))
    assert pipeline.lanes(at(31)) == 4
    assert len(pipeline.processes(at(31))) == 1
    assert one(pipeline.metrics(at(31)), m.EVENTS).now == 630
    assert one(pipeline.metrics(at(31)), m.EVENTS).per_s is None


def test_a_process_that_started_anew_is_another() -> None:
    pipeline = two_workers()
    meters = Meters()
    meters.count(m.EVENTS, ("vitals.v1",), 1)
    pipeline.add(snapshot("a2", 12, meters))
    rate = one(pipeline.metrics(at(13)), m.EVENTS).per_s
    assert rate is not None
    assert rate > 0


def test_the_table_names_unit_and_meaning_of_each() -> None:
    pipeline = two_workers()
    pipeline.add(Metrics(process="n", role="worker", started_at=START, at=at(10), counters={'new_total{a="b"}': 3}))
    out = io.StringIO()
    console = Console(file=out, width=180)
    console.print(metrics_table(pipeline.series(at(11)), "2 processes"))
    console.print(metrics_table(pipeline.metrics(at(11)), "2 processes"))
    shown = out.getvalue()
    for said in (m.EVENTS.name, m.EVENTS.meaning, 'topic="vitals.v1"', m.LATENCY.meaning, "ms", "lanes", 'a="b"'):
        assert said in shown


def test_totals_do_not_fall_when_processes_end_come_back_or_are_many() -> None:
    """A feed of starts and ends: each counts 10 and observes once; a reader of all of it never sees a total fall."""
    pipeline, total, alive = Pipeline(), 0.0, deque[tuple[str, Meters]](maxlen=3)
    for number in range(3 * MOST_GONE):
        alive.append((f"w{number}", Meters()))
        for name, meters in alive:
            meters.count(m.EVENTS, ("vitals.v1",), 10)
            meters.observe(m.LATENCY, 0.5, ("vitals.v1",))
            pipeline.add(snapshot(name, 10.0 * number, meters))
        pipeline.retire([name for name, _ in alive])
        now = one(pipeline.metrics(at(10.0 * number)), m.EVENTS).now
        assert now > total
        total = now
    expected = 10 * sum(min(3, number + 1) for number in range(3 * MOST_GONE))
    assert total == expected
    counted = pipeline.counted()
    assert counted.counters['events_total{topic="vitals.v1"}'] == expected
    assert counted.histograms['publish_to_output_seconds{topic="vitals.v1"}'].total() == expected / 10
    assert one(pipeline.metrics(at(10.0 * number)), m.LATENCY).now == expected / 10
    pipeline.retire([])  # Kafka was away: all are silent, and then they are back
    name, meters = alive[-1]
    meters.count(m.EVENTS, ("vitals.v1",), 1)
    pipeline.add(snapshot(name, 10.0 * number + 2000, meters))
    assert one(pipeline.metrics(at(10.0 * number + 2000)), m.EVENTS).now == expected + 1


def test_histograms_of_workers_merge_into_that_of_one_that_saw_all() -> None:
    rng, alone, pipeline = Random(4), Meters(), Pipeline()
    for process in "abc":
        meters = Meters()
        for _ in range(500):
            value = rng.lognormvariate(-3, 2)
            for into in (alone, meters):
                into.observe(m.LATENCY, value, ("vitals.v1",))
        pipeline.add(snapshot(process, 0, meters))
    whole = alone.histograms[m.LATENCY, ("vitals.v1",)]
    assert pipeline.counted().histograms['publish_to_output_seconds{topic="vitals.v1"}'] == whole.counts
    shown = one(pipeline.metrics(at(1)), m.LATENCY)
    assert (shown.p50, shown.p99) == (m.quantile(whole.counts, 0.5), m.quantile(whole.counts, 0.99))

"""What Prometheus reads is what was counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from wardstream.agents import metrics as m
from wardstream.agents.metrics import METRICS, Histogram, Meters
from wardstream.infra.observability.exposition import PREFIX, buckets, registry

ABOUT = {"role": "worker", "process": "a"}


def everything() -> Meters:
    """Every metric there is, with two series where it is split."""
    meters = Meters()
    for metric in METRICS:
        for value in ("one", 'a\\b"\n'):
            labels = (value,) * len(metric.labels)
            if metric.kind == "histogram":
                meters.observe(metric, 0.3, labels)
            elif metric.kind == "counter":
                meters.count(metric, labels, 2)
            else:
                meters.set(metric, 3, labels)
    return meters


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_every_metric_is_read_as_what_it_is(form: str) -> None:
    written = generate_latest if form == "text" else openmetrics.generate_latest
    read = parse if form == "text" else parse_openmetrics
    text = written(registry(everything(), ABOUT, lambda: None)).decode()
    families = {family.name: family for family in read(text)}
    for metric in METRICS:
        name = PREFIX + metric.name.removesuffix("_total")
        family = families.get(name) or families[f"{name}_total"]
        assert family.type == metric.kind
        assert metric.meaning in family.documentation
        values = {sample.labels.get(metric.labels[0]) for sample in family.samples} if metric.labels else {None}
        assert values == ({"one", 'a\\b"\n'} if metric.labels else {None})


def test_what_the_process_is() -> None:
    text = generate_latest(registry(Meters(), ABOUT, lambda: None)).decode()
    assert 'wardstream_process_info{process="a",role="worker"} 1.0' in text


def test_gauges_are_set_when_somebody_asks() -> None:
    meters = Meters()
    text = generate_latest(registry(meters, ABOUT, lambda: meters.set(m.SPOOL_RECORDS, 7))).decode()
    assert "wardstream_spool_records 7.0" in text


@given(st.lists(st.floats(min_value=-1, max_value=1e8, allow_nan=False), max_size=50), st.sampled_from(["s", "rows"]))
def test_buckets_are_exact(values: list[float], unit: str) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    found = buckets(histogram, unit)
    for bound, count in found:
        limit = math.inf if bound == "+Inf" else float(bound)
        near = sum(math.isclose(value, limit, rel_tol=1e-12) for value in values)  # a logarithm's last digit
        assert abs(count - sum(value <= limit for value in values)) <= near
    assert [count for _, count in found] == sorted(count for _, count in found)
    assert found[-1] == ("+Inf", len(values))


def test_buckets_are_the_same_from_the_beginning() -> None:
    """Else a class that comes later would look like a burst to `rate`."""
    before = [bound for bound, _ in buckets(Histogram(), "s")]
    histogram = Histogram()
    histogram.observe(12.0)
    assert [bound for bound, _ in buckets(histogram, "s")] == before
    assert len(before) == len(set(before))

"""Spans by OpenTelemetry: what is sampled, whom it follows, and that a collector that is away costs nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.tracing import CALLER, TRACE, Collector
from wardstream.agents import tracing
from wardstream.infra.observability.spans import OpenTelemetry
from wardstream.infra.observability.tracing import traced
from wardstream.infra.settings import SettingsError, load_settings


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_a_trace_follows_its_parent_whatever_share_is_sampled(collector: Collector) -> None:
    tracer = OpenTelemetry(collector.url, 0.0, "worker")
    assert tracer.begin("receive", "server", None, None, {}) is None, "nothing that begins here"
    assert tracer.begin("receive", "server", f"{CALLER[:-1]}0", None, {}) is None, "nor what its caller does not trace"
    received = tracer.begin("receive", "server", CALLER, None, {})
    assert received is not None
    handled = tracer.begin("process", "consumer", received.traceparent, 1_700_000_000.0, {"messaging.kafka.offset": 7})
    assert handled is not None
    handled.end({"more": "said"})
    received.end()
    tracer.close(30)
    collector.wait(1)
    inner, outer = collector.spans
    assert (outer.service, outer.name, outer.trace, outer.parent) == (
        "wardstream-worker",
        "receive",
        TRACE,
        CALLER.split("-")[2],
    )
    assert (inner.parent, inner.attributes) == (outer.id, {"messaging.kafka.offset": 7, "more": "said"})


@pytest.mark.parametrize("parent", ["", "p-1", "00-0-0-01", CALLER.upper().replace("00-", "zz-"), "é" * 99])
def test_a_parent_that_is_none_begins_no_trace_in_the_stream(collector: Collector, parent: str) -> None:
    tracer = OpenTelemetry(collector.url, 1.0, "worker")
    assert tracer.begin("process", "consumer", parent, None, {}) is None
    begun = tracer.begin("receive", "server", parent, None, {})
    assert begun is not None, "but a gateway begins one"
    assert TRACE not in begun.traceparent
    tracer.close(30)


def test_a_collector_that_is_away_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        tracer = OpenTelemetry(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/traces", 1.0, "worker")
        for _ in range(10_000):
            span = tracer.begin("process", "consumer", CALLER, None, {})
            assert span is not None
            span.end()
        tracer.close(0.5)


def test_a_process_traces_where_a_collector_is_set(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with traced(load_settings(), "api"):
        assert not tracing.traces()
    monkeypatch.setenv("WARDSTREAM_TRACES_URL", collector.url)
    monkeypatch.setenv("WARDSTREAM_TRACES_SHARE", "1")
    with traced(load_settings(), "api"), tracing.receiving("receive") as span:
        assert span is not None
        assert tracing.trace_id.get() == span.traceparent.split("-")[1]
    assert not tracing.traces()
    assert tracing.trace_id.get() is None
    assert [one.service for one in collector.wait(1)] == ["wardstream-api"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACES_URL", "collector:4317"),
        ("TRACES_URL", "grpc://collector"),
        ("TRACES_URL", "https://u:secret@collector/v1/traces"),
        ("TRACES_SHARE", "1.1"),
        ("TRACES_SHARE", "nan"),
    ],
)
def test_settings_that_are_wrong_are_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WARDSTREAM_{name}", value)
    with pytest.raises(SettingsError, match=f"WARDSTREAM_{name}") as said:
        load_settings()
    assert value not in str(said.value)

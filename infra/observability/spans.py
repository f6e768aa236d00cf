"""Spans by OpenTelemetry, sent by OTLP over HTTP: needs the extra `traces`.

Its queue is bounded (2,048 spans, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise) and a thread of its own sends them: a
collector that is slow or away loses spans, and delays nothing.
"""

from __future__ import annotations

import threading
from typing import Final
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wardstream.agents.tracing import TRACEPARENT, Attributes, Kind

_SEND_S: Final = 5.0
_KINDS: Final[dict[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "client": SpanKind.CLIENT,
}


class OpenTelemetry:
    """A tracer.

    Parameters
    ----------
    url : str
        Of the collector's traces, as `http://127.0.0.1:4318/v1/traces`.
    share : float
        Of the traces that begin here, 0 to 1. One that was begun elsewhere is followed as its parent says.
    role : str
        What the process is.
    """

    def __init__(self, url: str, share: float, role: str) -> None:
        about = {"service.name": f"wardstream-{role}", "service.instance.id": str(uuid4())}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)), resource=Resource.create(about), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_SEND_S)))
        self._tracer = self._provider.get_tracer("wardstream")
        self._propagator = TraceContextTextMapPropagator()

    def begin(
        self, name: str, kind: Kind, parent: str | None, began_s: float | None, attributes: Attributes
    ) -> _Span | None:
        """See `wardstream.agents.tracing.Tracer`. A parent that is none of the standard's begins a trace in a gateway
        ("server"), and none elsewhere."""
        context = self._propagator.extract({} if parent is None else {TRACEPARENT: parent})
        if kind != "server" and not get_current_span(context).get_span_context().is_valid:
            return None
        start = None if began_s is None else int(began_s * 1e9)
        span = self._tracer.start_span(name, context, _KINDS[kind], dict(attributes), start_time=start)
        return _Span(span) if span.is_recording() else None

    def close(self, deadline_s: float) -> None:
        """Send what there is, for so long at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)  # where nobody answers it takes longer
        closing.start()
        closing.join(deadline_s)


class _Span:
    def __init__(self, span: Span) -> None:
        self._span = span
        about = span.get_span_context()
        self.traceparent = f"00-{about.trace_id:032x}-{about.span_id:016x}-{about.trace_flags:02x}"

    def end(self, attributes: Attributes | None = None) -> None:
        if attributes:
            self._span.set_attributes(dict(attributes))
        self._span.end()

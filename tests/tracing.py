"""Tracers for tests: one that notes its spans, and a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from wardstream.agents import tracing
from wardstream.agents.tracing import Attributes, Kind

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


class Noted:
    """A span that is noted when it ends."""

    def __init__(self, tracer: Notes, name: str, parent: str | None, traceparent: str) -> None:
        self._tracer, self.name, self.parent, self.traceparent = tracer, name, parent, traceparent

    def end(self, attributes: Attributes | None = None) -> None:
        self._tracer.ended.append(self)


class Notes:
    """A tracer; a trace that begins in it is sampled."""

    def __init__(self) -> None:
        self.ended: list[Noted] = []
        self._numbers = count(1)

    def begin(self, name: str, kind: Kind, parent: str | None, began_s: float | None, attributes: Attributes) -> Noted:
        return Noted(self, name, parent, f"00-{TRACE}-{next(self._numbers):016x}-01")


@contextmanager
def noted() -> Iterator[Notes]:
    """This process traces."""
    notes = Notes()
    tracing.use(notes)
    try:
        yield notes
    finally:
        tracing.use(None)


class Told(NamedTuple):
    """A span as a collector is told of it."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]


class Collector:
    """Takes traces on loopback, as OpenTelemetry's own does."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                collector._take(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._changed = threading.Condition()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            for resource in request.resource_spans:
                about = {one.key: one.value.string_value for one in resource.resource.attributes}
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    attributes = {one.key: _value(one.value) for one in span.attributes}
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    self.spans.append(Told(about["service.name"], span.name, *ids, attributes))
            self._changed.notify_all()

    def wait(self, services: int, seconds: float = 60) -> list[Told]:
        """The spans, when they are of so many services."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while len({span.service for span in self.spans}) < services:
                assert self._changed.wait(max(0.0, deadline - time.monotonic())), self.spans
            return list(self.spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))

"""Traces of single events, from a gateway through the lanes to who is told of an alert.

W3C trace context (https://www.w3.org/TR/trace-context/) travels in the header `traceparent` of Kafka's records.
Gateways decide which events are traced, and write it on no others: those cost a look at headers that are empty.
As with logging, a process has one tracer, or none; then a trace that comes through goes on unchanged. Spans say where
a record was and how long it took, and nothing of what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, Protocol

TRACEPARENT: Final = "traceparent"

Headers = tuple[tuple[str, bytes], ...]
Kind = Literal["server", "consumer", "producer", "client"]
Attributes = Mapping[str, str | int]


class Span(Protocol):
    """What is being done for a traced event. One that is never ended is never told of."""

    @property
    def traceparent(self) -> str:
        """What comes of it has this as its parent."""

    def end(self, attributes: Attributes | None = None) -> None:
        """It is done."""


class Tracer(Protocol):
    """Makes spans."""

    def begin(
        self, name: str, kind: Kind, parent: str | None, began_s: float | None, attributes: Attributes
    ) -> Span | None:
        """A span; None: it is not to be traced.

        Parameters
        ----------
        parent
            A traceparent; None: a trace begins here, if it is to be sampled.
        began_s
            When, s since 1970; None: now.
        """


_tracer: Tracer | None = None
trace_id: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)
"""Of what this task is doing; logs have it."""


def use(tracer: Tracer | None) -> None:
    """Have this process trace, or trace no more."""
    global _tracer
    _tracer = tracer


def trace_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The traceparent among a record's headers; None: it is not traced."""
    for name, value in headers:
        if name == TRACEPARENT and value is not None:
            return value.decode("latin-1")
    return None


def headers_of(traceparent: str | None) -> Headers:
    """As a record's headers."""
    return () if traceparent is None else ((TRACEPARENT, traceparent.encode("latin-1", "replace")),)


def begin(
    name: str, kind: Kind, parent: str, began_s: float | None = None, attributes: Attributes | None = None
) -> Span | None:
    """What is done for a traced event; None: nobody traces here."""
    return None if _tracer is None else _tracer.begin(name, kind, parent, began_s, attributes or {})


def traces() -> bool:
    """Whether this process traces."""
    return _tracer is not None


@contextmanager
def receiving(name: str, caller: str | None = None, attributes: Attributes | None = None) -> Iterator[Span | None]:
    """A trace begins with what comes in, or goes on from its caller's; the span ends with the block.

    None: it is not sampled, or nobody traces here.
    """
    span = None if _tracer is None else _tracer.begin(name, "server", caller, None, attributes or {})
    if span is None:
        yield None
        return
    token = trace_id.set(span.traceparent.split("-")[1])
    try:
        yield span
    finally:
        trace_id.reset(token)
        span.end()

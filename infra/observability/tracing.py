"""Whether a process traces: where its settings name a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wardstream.agents import tracing
from wardstream.infra.failure import Failure
from wardstream.infra.secrets import PREFIX
from wardstream.infra.settings import Settings

_CLOSE_S: Final = 5.0


@contextmanager
def traced(settings: Settings, role: str) -> Iterator[None]:
    """Trace while the block runs, if a collector is set; what is left is sent at its end.

    Raises
    ------
    Failure
        OpenTelemetry is not installed.
    """
    if settings.traces_url is None:
        yield
        return
    try:
        from wardstream.infra.observability.spans import OpenTelemetry
    except ImportError:
        raise Failure(f"{PREFIX}TRACES_URL needs OpenTelemetry: pip install 'wardstream[traces]'") from None
    tracer = OpenTelemetry(settings.traces_url, settings.traces_share, role)
    tracing.use(tracer)
    try:
        yield
    finally:
        tracing.use(None)
        tracer.close(_CLOSE_S)

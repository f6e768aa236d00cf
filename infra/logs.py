"""What a service logs: itself from its level on; libraries that tell every step, only what matters, now and then.

As text for people, or as JSON, an object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `role` (what the
process is), `exception` where there is one, and `trace_id` where what is being done is traced.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

import structlog
from structlog.typing import EventDict

from wardstream.agents.tracing import trace_id
from wardstream.infra.observability.settings import LogFormat

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Repeats(logging.Filter):
    """Lets a message through once in ten seconds: brokers that are away are tried, and told, many times a second."""

    EVERY_S = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, record.msg if isinstance(record.msg, str) else ""), time.monotonic()
        if now - self._told.get(key, -self.EVERY_S) < self.EVERY_S:
            return False
        self._told[key] = now
        return True


def log_service(level: int, chatty: Iterable[str], role: str, form: LogFormat = "text") -> None:
    """Log to stderr. Call it when all is imported: a logger's filter does not see what its children log.

    Parameters
    ----------
    level
        From which level on.
    chatty
        Libraries (or modules of ours) that log each step: heard from warnings on, unless everything is asked for.
    role, form
        What the process is, and how it is written.
    """
    names = tuple(chatty)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_FORMAT) if form == "text" else json_formatter(role))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if level <= logging.DEBUG:
        return
    for name in names:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(names):
            logging.getLogger(name).addFilter(Repeats())


def json_formatter(role: str) -> logging.Formatter:
    """Writes a record as one JSON object; `role` says what the process is."""

    def about(_: object, __: str, event: EventDict) -> EventDict:
        event["role"] = role
        if (trace := trace_id.get()) is not None:
            event["trace_id"] = trace
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper("iso", utc=True, key="time"),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            about,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )

"""What a service logs: itself from its level on; libraries that tell every step, only what matters, now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

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


def log_service(level: int, chatty: Iterable[str]) -> None:
    """Log to stderr. Call it when all is imported: a logger's filter does not see what its children log.

    Parameters
    ----------
    level
        From which level on.
    chatty
        Libraries (or modules of ours) that log each step: heard from warnings on, unless everything is asked for.
    """
    names = tuple(chatty)
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    if level <= logging.DEBUG:
        return
    for name in names:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(names):
            logging.getLogger(name).addFilter(Repeats())

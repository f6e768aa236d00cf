"""What services write to their logs, in both forms."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.tracing import TRACE, noted
from wardstream.agents.tracing import receiving
from wardstream.infra.logs import json_formatter, log_service


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def record(message: str, *values: object, error: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if error else None
    return logging.LogRecord("wardstream.agents.labs", logging.WARNING, __file__, 1, message, values, info)


def test_an_object_a_line() -> None:
    line = json_formatter("worker").format(record("lane %d\nhas %s", 3, 'a "word"'))
    assert "\n" not in line
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).utcoffset() is not None
    assert found == {
        "level": "warning",
        "logger": "wardstream.agents.labs",
        "message": 'lane 3\nhas a "word"',
        "role": "worker",
    }


def test_what_is_traced_has_the_trace() -> None:
    with noted(), receiving("receive vitals.v1"):
        line = json_formatter("http-gateway").format(record("refused"))
    assert json.loads(line)["trace_id"] == TRACE
    assert "trace_id" not in json.loads(json_formatter("http-gateway").format(record("refused")))


def test_a_failure_keeps_its_trace() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        line = json_formatter("worker").format(record("failed", error=True))
    assert "\n" not in line
    assert "KeyError" in json.loads(line)["exception"]


@pytest.mark.parametrize(("form", "begins"), [("json", '{"level"'), ("text", "20")])
def test_services_write_it(form: str, begins: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_service(logging.INFO, ("chatty",), "api", form)  # type: ignore[arg-type]
    logging.getLogger("somebody").info("said")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(begins)
    assert "said" in line

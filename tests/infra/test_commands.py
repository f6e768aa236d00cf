"""The command line: help, failures as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wardstream.infra.cli import main
from wardstream.schemas.topics import TOPICS

RUN = CliRunner()


def test_failure_is_one_line_without_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDSTREAM_BROKER_URL", raising=False)
    result = RUN.invoke(main, ["topics", "list"])
    assert result.exit_code == 2
    assert result.stderr.startswith("wardstream: WARDSTREAM_BROKER_URL is not set")
    assert "Traceback" not in result.output


def test_unreachable_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_BROKER_URL", "kafka://127.0.0.1:1")
    result = RUN.invoke(main, ["topics", "create"])
    assert result.exit_code == 2
    assert result.stderr.startswith("wardstream: Kafka at 127.0.0.1:1: ")


def test_documents(tmp_path: Path) -> None:
    result = RUN.invoke(main, ["topics", "doc", str(tmp_path / "doc")])
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "doc" / "asyncapi.json").read_bytes())
    assert document["asyncapi"].startswith("3.")
    written = {path.name for path in (tmp_path / "doc").iterdir()}
    assert written == {"asyncapi.json"} | {f"{name}.schema.json" for name in TOPICS}


def test_a_home_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "file"
    home.write_text("")
    monkeypatch.setenv("WARDSTREAM_HOME", str(home))
    result = RUN.invoke(main, ["kafka", "fetch"])
    assert result.exit_code == 2
    assert result.stderr.startswith("wardstream: ")
    assert str(home) in result.stderr
    assert "Traceback" not in result.output

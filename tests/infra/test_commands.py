"""The command line: help, failures as one line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.workers import WARDSTREAM
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


def test_a_learner_without_a_cluster_says_so(tmp_path: Path) -> None:
    settings = {"BROKER_URL": "kafka://127.0.0.1:1", "HOME": str(tmp_path), "RISK_OUTCOMES": '["death"]'}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARDSTREAM_")}
    environment |= {f"WARDSTREAM_{name}": value for name, value in settings.items()}
    result = subprocess.run([WARDSTREAM, "learner"], env=environment, capture_output=True, timeout=120, check=False)
    assert result.returncode == 2
    assert b"wardstream: the cluster does not answer: " in result.stderr
    assert b"Traceback" not in result.stderr


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

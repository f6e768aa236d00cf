"""`wardstream triton`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.tiny_model import write_model
from wardstream.infra.triton.environment import Environment

COMMAND = [sys.executable, "-P", "-m", "wardstream.infra.cli", "triton"]
PATIENCE_S = 120.0


def variables(**mine: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("WARDSTREAM_")}
    return ours | {f"WARDSTREAM_{name}": value for name, value in mine.items()}


def status(**mine: str) -> tuple[int, str]:
    command = [*COMMAND, "status"]
    ran = subprocess.run(
        command, env=variables(**mine), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return ran.returncode, ran.stdout


def test_status_without_a_server(tmp_path: Path) -> None:
    assert status(MODELS=str(tmp_path)) == (1, f"WARDSTREAM_TRITON_URL is not set; models in {tmp_path}: none\n")
    code, said = status(TRITON_URL="127.0.0.1:9")
    assert (code, said) == (1, "the Triton at 127.0.0.1:9 is not ready\n")


@pytest.mark.connected
def test_it_is_started_asked_and_stopped(tmp_path: Path, triton_environment: Environment) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "triton").symlink_to(triton_environment.folder.parent)
    write_model(tmp_path / "models", version=3)
    mine = variables(HOME=str(tmp_path / "home"), MODELS=str(tmp_path / "models"))
    command = [*COMMAND, "start", "--folder", str(tmp_path / "here")]
    with subprocess.Popen(command, env=mine, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        try:
            assert started.stdout is not None
            said = started.stdout.readline()
            found = re.fullmatch(r"export WARDSTREAM_TRITON_URL=(127\.0\.0\.1:\d+)\n", said)
            assert found is not None, said
            assert "Triton is running with tiny" in started.stdout.readline()
            code, said = status(TRITON_URL=found[1])
            assert (code, said) == (0, f"the Triton at {found[1]} is ready\ntiny: 3\n")
            started.send_signal(signal.SIGINT)
            assert started.wait(PATIENCE_S) == 0
        finally:
            started.kill()

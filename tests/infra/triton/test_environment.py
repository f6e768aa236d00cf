"""What the local Triton is made of: recorded completely, and taken only as recorded."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from wardstream.infra.triton import environment as module
from wardstream.infra.triton.environment import (
    Environment,
    TritonMissing,
    environment,
    fetch,
    libpython,
    recorded,
)

QUIET = Console(quiet=True)


def test_every_package_has_one_version_and_a_hash() -> None:
    names = [name for name, _ in recorded()]
    assert {"nvidia-pytriton", "onnxruntime", "numpy"} <= {name.partition("==")[0] for name in names}
    for _, line in recorded():
        assert re.fullmatch(r"[\w-]+==[\d.]+(\s+--hash=sha256:[0-9a-f]{64})+", line)


def test_the_library_is_that_of_this_python() -> None:
    assert libpython().name == f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    assert libpython().exists()


def test_what_is_not_here_is_said(tmp_path: Path) -> None:
    with pytest.raises(TritonMissing, match="wardstream triton fetch"):
        environment(tmp_path)


def test_another_record_is_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module._place(tmp_path)
    monkeypatch.setattr(module, "recorded", lambda: [("other==1", "other==1 --hash=sha256:0")])
    assert module._place(tmp_path) != first


@pytest.mark.parametrize(("name", "value"), [("machine", "aarch64"), ("version_info", (3, 14, 0))])
def test_a_machine_that_cannot_have_it_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(*((module.platform, name, lambda: value) if name == "machine" else (module.sys, name, value)))
    with pytest.raises(TritonMissing, match="local Triton"):
        fetch(tmp_path, console=QUIET)
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


@pytest.mark.connected
def test_a_package_that_is_not_the_recorded_one_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [("packaging==26.3", "packaging==26.3 --hash=sha256:" + 64 * "0")]
    monkeypatch.setattr(module, "recorded", lambda: wrong)
    with pytest.raises(TritonMissing, match=r"(?s)packaging==26.3 cannot be installed.*(HASH|hash)"):
        fetch(tmp_path, console=QUIET)
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


@pytest.mark.connected
def test_it_is_complete(triton_environment: Environment) -> None:
    names = {path.name for path in triton_environment.backend_files()}
    assert {"libtriton_python.so", "triton_python_backend_stub", "triton_python_backend_utils.py"} <= names
    assert all(path.exists() for path in [triton_environment.server, *triton_environment.backend_files()])

"""Regions of processes that are no more are removed, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wardstream.infra.triton import shared_memory
from wardstream.infra.triton.shared_memory import prefix, remove, remove_of_the_dead


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    return tmp_path


def test_only_those_of_the_dead(folder: Path) -> None:
    code = "from wardstream.infra.triton.shared_memory import prefix; print(prefix(1))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    elsewhere = dead.replace(dead.split("-")[2], "0")  # a container's: its numbers are not ours
    mine = prefix(1)
    for name in (dead, elsewhere, mine, "someone-elses"):
        (folder / f"{name}x").touch()
    remove_of_the_dead()
    assert {path.name for path in folder.iterdir()} == {f"{elsewhere}x", f"{mine}x", "someone-elsesx"}


def test_only_those_of_one_server(folder: Path) -> None:
    for number in (1, 11):
        (folder / f"{prefix(number)}x").touch()
    remove(prefix(1))
    assert [path.name for path in folder.iterdir()] == [f"{prefix(11)}x"]

"""The house rules that no linter knows: where things are, and that none is forgotten."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wardstream.agents.metrics import METRICS
from wardstream.infra.worker import HANDLERS, IMAGING
from wardstream.schemas.topics import TOPICS

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("agents", "infra", "models", "schemas")
TOP_LEVEL = {"agents", "models", "schemas", "infra", "tests", "pyproject.toml", "README.md"}
FOR_TOOLS = {"Makefile", "LICENSE", "SECURITY.md"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = sorted(path for folder in (*FOLDERS, "tests") for path in (ROOT / folder).rglob("*.py"))


def tracked() -> list[str]:
    ran = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip("not a git checkout")
    return ran.stdout.splitlines()


def test_top_level_is_fixed() -> None:
    found = {name.split("/")[0] for name in tracked()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL | FOR_TOOLS


def test_every_package_is_installed() -> None:
    """pyproject lists packages one by one; a folder that is missing there would be missing for users."""
    folders = {
        path.parent for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
    }
    listed = set()
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        mapped = PROJECT["tool"]["setuptools"]["package-dir"]
        root = max((known for known in mapped if package == known or package.startswith(f"{known}.")), key=len)
        listed.add(ROOT / mapped[root] / package.removeprefix(root).removeprefix(".").replace(".", "/"))
    assert {folder.relative_to(ROOT) for folder in folders} == {folder.relative_to(ROOT) for folder in listed}
    assert all((folder / "py.typed").exists() for folder in folders)


@pytest.mark.parametrize("topic", sorted(HANDLERS | IMAGING))
def test_an_event_is_where_one_looks_for_it(topic: str) -> None:
    """vitals.v1 → schemas/vitals.py, agents/vitals.py, its test and its example, and one line in the worker's table."""
    stem = topic.removesuffix(".v1")
    assert topic in TOPICS
    for path in (
        f"schemas/{stem}.py",
        f"schemas/examples/{topic}.json",
        f"agents/{stem}.py",
        f"tests/agents/test_{stem}.py",
    ):
        assert (ROOT / path).is_file(), path


def test_modules_are_small() -> None:
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ\b|getenv)", path.read_text())
    }
    # Children are given the environment they run in; nothing else is read from it.
    assert readers <= {"infra/settings.py", "infra/demo.py", "infra/kafka/process.py", "infra/kafka/broker.py"}


def test_what_listens_asks_first() -> None:
    """A new listener goes through the rule that the gateways go through (`tests/infra/gateways/test_listeners.py`)."""
    opens = re.compile(
        r"\b(create_server|start_server|start_unix_server|serve_forever|HTTPServer|add_\w+_port)\b|\.bind\("
    )
    found = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if opens.search(path.read_text())
    }
    free_ports = {"infra/kafka/ports.py"}  # taken on loopback, and let go again
    assert found - free_ports == {"infra/gateways/mllp.py", "infra/gateways/listeners.py"}
    assert "    allow(listener)\n" in (ROOT / "infra/gateways/listeners.py").read_text()
    assert "listener: Listener" in (ROOT / "infra/gateways/mllp.py").read_text()


def test_metrics_are_named_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    assert all(metric.unit and metric.meaning for metric in METRICS)
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in METRICS)


def test_importing_connects_to_nothing_and_reads_no_environment() -> None:
    code = """
import socket
def refuse(*_): raise AssertionError("connects at import")
socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = refuse
import wardstream.infra.cli, wardstream.infra.worker
"""
    bare = {"PATH": "/usr/bin:/bin", "WARDSTREAM_LANES": "not a number"}
    subprocess.run([sys.executable, "-c", code], env=bare, check=True, timeout=60)

"""Jars: recorded hashes, and what is refused."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from wardstream.infra.kafka import jars
from wardstream.infra.kafka.jars import Jar, JarError, fetch, recorded, verify

CONTENT = {"one-1.0.jar": b"one", "two-2.0.jar": b"two"}
EXPECTED = tuple(
    Jar(f"org/example/{name.split('-')[0]}/{name[4:7]}/{name}", hashlib.sha256(content).hexdigest())
    for name, content in CONTENT.items()
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


class Repository:
    """Gives what it has, and counts what it is asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, jar: Jar, partial: Path) -> Path:
        self.asked.append(jar.name)
        partial.mkdir(exist_ok=True)
        path = partial / jar.name
        path.write_bytes(self.content[jar.name])
        return path


def test_recorded_list_is_kafkas() -> None:
    assert len(recorded()) == 45
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in recorded())
    kafka = next(jar for jar in recorded() if jar.name.startswith("kafka_2.13-"))
    assert kafka.coordinate == ("org.apache.kafka", "kafka_2.13", jars.KAFKA_VERSION)


def test_unchanged(folder: Path) -> None:
    verify(folder, EXPECTED)


def test_changed_jar_is_refused(folder: Path) -> None:
    (folder / "two-2.0.jar").write_bytes(b"two, and a little more")
    with pytest.raises(JarError, match=r"two-2\.0\.jar is not the recorded jar.* It is not used"):
        verify(folder, EXPECTED)


def test_unknown_jar_is_refused(folder: Path) -> None:
    (folder / "three-3.0.jar").write_bytes(b"three")
    with pytest.raises(JarError, match=r"Unknown jar .*three-3\.0\.jar"):
        verify(folder, EXPECTED)


def test_missing_jar_names_the_command(folder: Path) -> None:
    (folder / "two-2.0.jar").unlink()
    with pytest.raises(JarError, match=r"1 of 2 .*`wardstream kafka fetch`"):
        verify(folder, EXPECTED)
    with pytest.raises(JarError, match="2 of 2"):
        verify(folder / "nowhere", EXPECTED)


def test_only_what_is_missing_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "two-2.0.jar").unlink()
    repository = Repository(CONTENT)
    monkeypatch.setattr(jars, "_get", repository)
    shown = io.StringIO()
    fetch(folder, EXPECTED, console=Console(file=shown, width=120))
    assert "1/1" in shown.getvalue()
    shown = io.StringIO()
    fetch(folder, EXPECTED, console=Console(file=shown))
    assert repository.asked == ["two-2.0.jar"]
    assert shown.getvalue() == ""


def test_what_a_repository_forges_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "two-2.0.jar").unlink()
    monkeypatch.setattr(jars, "_get", Repository({"two-2.0.jar": b"forged"}))
    with pytest.raises(JarError, match=r"repository sent .*not kept"):
        fetch(folder, EXPECTED, console=Console(file=io.StringIO()))
    assert sorted(path.name for path in folder.glob("**/*.jar")) == ["one-1.0.jar"]

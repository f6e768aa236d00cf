"""Apache Kafka's jars: fetched once, checked against recorded hashes each time they are used.

`jars.sha256` beside this file lists the whole dependency tree of `org.apache.kafka:kafka_2.13` by Maven path, as
jgo's pure Python resolver found it, and log4j-slf4j-impl, without which Kafka logs nothing, not even why it ends. So a
fetch asks for exactly these files: nothing a changed POM may add gets in, and neither Maven, Java nor jgo's own
environment builder (which may fetch a second Java to classify jars) takes part. To move to another version, resolve
both anew with jgo, write the file from that, and say in the change what was compared.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wardstream.infra.failure import Failure
from wardstream.infra.settings import Settings

KAFKA_VERSION = "4.4.0"
_AT_ONCE = 4  # downloads; more gains nothing and is unkind to the repository
_TIMEOUT_S = 60


class JarError(Failure):
    """A jar is missing, unknown or not the one that was recorded; the text says which and what to do."""


@dataclass(frozen=True)
class Jar:
    """One line of `jars.sha256`."""

    path: str
    """Path in a Maven repository: group/…/artifact/version/artifact-version.jar."""
    sha256: str

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rpartition("/")[2]

    @property
    def coordinate(self) -> tuple[str, str, str]:
        """Group, artifact and version."""
        *group, artifact, version, _ = self.path.split("/")
        return ".".join(group), artifact, version


def recorded() -> tuple[Jar, ...]:
    """The jars of Apache Kafka and their SHA-256."""
    text = files("wardstream.infra.kafka").joinpath("jars.sha256").read_text(encoding="ascii")
    return tuple(Jar(path, sha256) for sha256, path in (line.split() for line in text.splitlines() if line))


def verify(folder: Path, expected: Sequence[Jar] | None = None) -> None:
    """Check that `folder` holds every expected (recorded) jar unchanged, and no other (43 MB; 0.03 s).

    Raises
    ------
    JarError
        A jar is missing, differs or is unknown.
    """
    jars = {jar.name: jar for jar in (recorded() if expected is None else expected)}
    present = {path.name for path in folder.glob("*.jar")} if folder.is_dir() else set()
    if unknown := sorted(present - jars.keys()):
        raise JarError(f"Unknown jar in {folder}: {', '.join(unknown)}. Remove what does not belong there.")
    if missing := sorted(jars.keys() - present):
        raise JarError(f"{len(missing)} of {len(jars)} Kafka jars are missing; run `wardstream kafka fetch`.")
    for name in sorted(present):
        if (found := _sha256(folder / name)) != jars[name].sha256:
            raise JarError(
                f"{folder / name} is not the recorded jar: its SHA-256 is {found}, expected {jars[name].sha256}. "
                "It is not used. Find out why before you delete it and run `wardstream kafka fetch`."
            )


def jars_folder(settings: Settings) -> Path:
    """Where the jars of an installation lie."""
    return settings.home / "kafka" / "jars"


def fetch(folder: Path, expected: Sequence[Jar] | None = None, *, console: Console | None = None) -> None:
    """Bring the jars into `folder` unless they are there, and verify all; a progress bar goes to `console` (stderr).

    Raises
    ------
    JarError
        A jar differs from what was recorded (it is not used), is unknown, or cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        jars = recorded() if expected is None else expected
        if missing := [jar for jar in jars if not (folder / jar.name).exists()]:
            _download(missing, folder, console or Console(stderr=True))
        verify(folder, jars)


def _download(jars: list[Jar], folder: Path, console: Console) -> None:
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)  # what an interrupted fetch left
    columns = (TextColumn("Apache Kafka " + KAFKA_VERSION), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress, ThreadPoolExecutor(_AT_ONCE) as pool:
            task = progress.add_task("", total=len(jars))
            try:
                for jar, path in zip(jars, pool.map(lambda jar: _get(jar, partial), jars), strict=True):
                    if (found := _sha256(path)) != jar.sha256:
                        raise JarError(
                            f"What the repository sent as {jar.name} is not the recorded jar: its SHA-256 is {found}, "
                            f"expected {jar.sha256}. It was not kept."
                        )
                    os.replace(path, folder / jar.name)
                    progress.advance(task)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _get(jar: Jar, partial: Path) -> Path:
    # Imported here: only the extra `local` brings jgo, and only a fetch needs it.
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise JarError("jgo is not installed: pip install 'wardstream[local]'") from error
    import requests

    logging.getLogger("jgo").setLevel(logging.ERROR)  # its SHA-1 warning is not our check
    group, artifact, version = jar.coordinate
    context = MavenContext(repo_cache=partial, resolver=PythonResolver(), timeout=_TIMEOUT_S)
    try:
        return Path(context.project(group, artifact).at_version(version).artifact().resolve())
    except (requests.RequestException, RuntimeError) as error:
        raise JarError(f"{jar.name} cannot be fetched: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One fetch at a time in a folder, across processes."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

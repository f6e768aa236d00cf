"""Who takes part: how each is started, what it guarantees, how many events it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Literal

from tests.bench.running import BENCH, OURS, ROOT

JAVA_FOLDER = ROOT / ".wardstream" / "bench" / "java"
Job = Literal["relay", "vitals"]


@dataclass(frozen=True)
class Run:
    """What one run is given."""

    broker: str
    name: str
    source: str
    target: str
    folder: Path


@dataclass(frozen=True)
class Contestant:
    """`share` is how many of the events it gets: plain Faust needs few, a JVM needs many to be warm.

    `bounds` says what bounds its figure.
    """

    name: str
    job: Job
    keeps: str
    bounds: str
    command: Callable[[Run], Sequence[str | Path]]
    share: Literal["few", "all", "many"] = "all"
    uses_worker_topics: bool = False


def _python(python: Path, module: str, *extra: str) -> Callable[[Run], Sequence[str | Path]]:
    def command(run: Run) -> Sequence[str | Path]:
        arguments = [str(run.folder) if one == "FOLDER" else one for one in extra]
        return [python, "-m", f"tests.bench.jobs.{module}", run.broker, run.name, run.source, run.target, *arguments]

    return command


def _java(run: Run) -> Sequence[str | Path]:
    java = which("java") or "java"
    return [java, "-Xmx1g", "-XX:+UseSerialGC", "-cp", f"{JAVA_FOLDER}:{JAVA_FOLDER}/*", "Relay", run.broker, run.name,
            run.source, run.target, run.folder]  # fmt: skip


def _worker(run: Run) -> Sequence[str | Path]:
    return [OURS.parent / "wardstream", "worker", "--log-level", "warning"]


ALL: tuple[Contestant, ...] = (
    Contestant(
        "wardstream lanes",
        "relay",
        "exactly once, state in Kafka",
        "Python and aiokafka's record handling, a transaction a batch",
        _python(OURS, "relay_wardstream"),
    ),
    Contestant(
        "Faust, idiomatic",
        "relay",
        "at least once, state in Kafka",
        "Faust's machinery for each message",
        _python(OURS, "relay_faust"),
        "few",
    ),
    Contestant(
        "Quix Streams, with state",
        "relay",
        "at least once, state in RocksDB and Kafka",
        "Python for each message, state encoded and written for each",
        _python(BENCH, "relay_quix", "FOLDER", "at-least-once"),
    ),
    Contestant(
        "Bytewax, with recovery",
        "relay",
        "state in SQLite each second; outputs at least once",
        "Python calls from Rust for each item, one `produce` a message",
        _python(BENCH, "relay_bytewax", "FOLDER"),
    ),
    Contestant(
        "Kafka Streams",
        "relay",
        "exactly once, state in RocksDB and Kafka",
        "cold: the compiler shares the core; warm: state and serialisation, a commit each 100 ms",
        _java,
        "many",
    ),
    Contestant(
        "confluent-kafka loop",
        "relay",
        "at least once, state lost with the process",
        "Python calls for each message",
        _python(BENCH, "relay_confluent"),
    ),
    Contestant(
        "wardstream worker",
        "vitals",
        "exactly once, state in Kafka",
        "scoring, state and outputs encoded in Python",
        _worker,
        uses_worker_topics=True,
    ),
    Contestant(
        "Faust, idiomatic",
        "vitals",
        "at least once, state in Kafka",
        "Faust's machinery for each message and three tables",
        _python(OURS, "vitals_faust"),
        "few",
    ),
    Contestant(
        "confluent-kafka loop",
        "vitals",
        "at least once, state lost with the process",
        "the scoring code itself",
        _python(BENCH, "vitals_confluent"),
    ),
)


def present(contestant: Contestant) -> bool:
    """Whether it can run here: Java is optional."""
    return contestant.command is not _java or (JAVA_FOLDER / "Relay.class").exists()

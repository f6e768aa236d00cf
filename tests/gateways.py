"""Gateway processes for connected tests, and invented messages for them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from base64 import b64encode
from pathlib import Path

from tests.workers import WARDSTREAM, create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster

KEYS = {
    name: b64encode(bytes([number + 1]) * 32).decode() for number, name in enumerate(("PSEUDONYM_KEY", "IDENTITY_KEY"))
}
PLAIN = """
[feeds.icu]
timezone = "Europe/Berlin"
authority = "north"
identifier_types = ["MR"]

[feeds.icu.mllp]
listen = "127.0.0.1:0"
"""
NAMES = (b"Habermehl", b"Wilhelmine", b"Lindenallee", b"8847120", b"19510203", b"0171555")
"""Of the people below: never anywhere in clear."""
_ADDRESS = re.compile(r"listens on 127\.0\.0\.1:(\d+)|127\.0\.0\.1:(\d+)/v1")
_START_S = 240


def segment(name: str, **fields: str) -> str:
    """A segment of the fields `f<number>`."""
    numbered = {int(number.removeprefix("f")): value for number, value in fields.items()}
    return "|".join((name, *(numbered.get(number, "") for number in range(1, max(numbered) + 1))))


def _patient(number: str) -> str:
    address, phone = "Lindenallee 3^^Neustadt", "0171555"
    name = "Habermehl^Wilhelmine"
    return segment("PID", f1="1", f3=f"{number}^^^NORTH^MR", f5=name, f7="19510203", f8="F", f11=address, f13=phone)


def admit(control_id: str, number: str = "8847120", tail: str = "") -> bytes:
    """ADT^A01 of an invented patient; `tail` is MSH from the 13th field on."""
    return "\r".join(
        (
            f"MSH|^~\\&|HIS|NORTH|WS|HUB|20260301080000||ADT^A01|{control_id}|P|2.5|{tail}",
            segment("EVN", f1="A01", f2="20260301080000"),
            _patient(number),
            segment("PV1", f1="1", f2="I", f3="ICU^1^A", f19=f"V{number}", f44="20260301075500"),
            "",
        )
    ).encode()


def result(control_id: str, number: str = "8847120", value: str = "4.1", tail: str = "", minute: int = 0) -> bytes:
    """ORU^R01: one potassium."""
    code, at = "2823-3^Potassium^LN", f"2026030108{minute % 60:02}00"
    return "\r".join(
        (
            f"MSH|^~\\&|LAB|NORTH|WS|HUB|20260301091500||ORU^R01|{control_id}|P|2.5|{tail}",
            _patient(number),
            segment("OBR", f1="1", f3=f"F{control_id}", f4=code, f7=at, f25="F"),
            segment("OBX", f1="1", f2="NM", f3=code, f5=value, f6="mmol/L", f7="3.5-5.1", f8="N", f11="F", f14=at),
            "",
        )
    ).encode()


class Gateways:
    """`wardstream serve` processes on one cluster; ended by id."""

    def __init__(self, cluster: Cluster, folder: Path, feeds: str = PLAIN, **settings: str) -> None:
        self._folder = folder
        (folder / "feeds.toml").write_text(feeds)
        self.environment = worker_environment(
            cluster, folder / "home", FEEDS_FILE=str(folder / "feeds.toml"), **KEYS, **settings
        )
        create_topics(self.environment)
        self._all: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []

    def start(self, what: str = "mllp") -> tuple[subprocess.Popen[bytes], int]:
        """A process and the port it listens on."""
        log = self._folder / f"{what}{len(self._all)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [WARDSTREAM, "serve", what],
                env=self.environment | {"PYTHONUNBUFFERED": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._all.append(process)
        self.logs.append(log)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and process.poll() is None:
            if (found := _ADDRESS.search(log.read_text())) is not None:
                return process, int(found[1] or found[2])
            time.sleep(0.05)
        raise AssertionError(log.read_text())

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Another `wardstream` command in the same environment."""
        environment = self.environment | {f"WARDSTREAM_{name}": value for name, value in more.items()}
        return subprocess.run(
            [WARDSTREAM, *words], env=environment, capture_output=True, text=True, timeout=90, check=False
        )

    def end(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(60)


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9, and wait until it is gone."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)

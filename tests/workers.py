"""Worker processes for connected tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

from wardstream.infra.kafka.broker import Cluster

WARDSTREAM = Path(sys.executable).parent / "wardstream"
LANES = 4
APP_ID = "test"


class Workers:
    """Worker processes, each with its log in a file; ended by id when the test ends, however it ends."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        log = (self._folder / f"worker{len(self._all)}.log").open("wb")
        worker = subprocess.Popen([WARDSTREAM, "worker"], env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        self._all.append(worker)
        return worker

    def end(self) -> None:
        for worker in self._all:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait(60)


def worker_environment(cluster: Cluster, home: Path, **settings: str) -> dict[str, str]:
    """The environment of `wardstream` commands on a cluster; `settings` without their prefix."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("WARDSTREAM_")}
    own = {
        "BROKER_URL": cluster.broker_url,
        "APP_ID": APP_ID,
        "LANES": str(LANES),
        "REPLICATION": str(min(3, len(cluster.bootstrap_servers))),
        "HOME": str(home),
        "DEAD_LETTER_KEY": b64encode(bytes(32)).decode(),
        **settings,
    }
    return others | {f"WARDSTREAM_{name}": value for name, value in own.items()}


def create_topics(environment: dict[str, str]) -> None:
    """All topics of the registry."""
    create = [WARDSTREAM, "topics", "create"]
    subprocess.run(create, env=environment, check=True, timeout=240, stdout=subprocess.DEVNULL)


def caught_up(environment: dict[str, str], *topics: str) -> bool:
    """Whether the lanes have read these inputs to their ends, and so have written all they have to say of them."""
    shown = subprocess.run(
        [WARDSTREAM, "lanes", "show"], env=environment, timeout=120, capture_output=True, check=False
    )
    behind = shown.stdout.decode().partition("behind")[2]  # below the table of topics
    return bool(behind) and not any(topic in behind for topic in topics)

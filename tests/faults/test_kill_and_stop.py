"""Exactly once, with workers killed and stopped under load; judged by a program that knows nothing of ours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workers import APP_ID, LANES, Workers
from wardstream.infra.kafka.broker import Cluster

HERE = Path(__file__).parent

pytestmark = [pytest.mark.connected, pytest.mark.timeout(280)]


def test_one_worker_killed_and_one_stopped(own_kafka: Cluster, workers: Workers, tmp_path: Path) -> None:
    """kill -9 under load, then SIGSTOP for longer than the session and back: each event applied and emitted once."""
    bootstrap, ledger = ",".join(own_kafka.bootstrap_servers), tmp_path / "ledger.ndjson"
    first, second = workers.start(), workers.start()
    load = subprocess.Popen([sys.executable, HERE / "load.py", bootstrap, "40", "1000", "200", "7", ledger])
    try:
        time.sleep(10)
        first.kill()
        time.sleep(3)
        workers.start()
        time.sleep(4)
        second.send_signal(signal.SIGSTOP)  # for longer than its session of 10 s: it wakes as a zombie
        time.sleep(14)
        second.send_signal(signal.SIGCONT)
        assert load.wait(90) == 0
    finally:
        if load.poll() is None:
            load.kill()
        load.wait(10)
    verdict = judged(bootstrap, APP_ID, ledger)
    assert verdict["wrong"] == 0, verdict
    assert verdict["applied"] > 25_000  # the load was really there


def judged(bootstrap: str, app_id: str, ledger: Path, patience_s: float = 60) -> dict[str, int]:
    """The checker's verdict, once the workers have caught up or patience has ended."""
    until = time.monotonic() + patience_s
    while True:
        ran = subprocess.run(
            [sys.executable, HERE / "checker.py", bootstrap, app_id, str(LANES), ledger],
            capture_output=True,
            timeout=150,
            text=True,
            check=False,
        )
        assert ran.stdout, ran.stderr[-2000:]
        verdict: dict[str, int] = json.loads(ran.stdout)
        if not verdict["wrong"] or time.monotonic() > until:
            return verdict
        time.sleep(2)

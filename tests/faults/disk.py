"""A disk for one broker that can be made full, and freed again.

Where this process may mount (root, as a rule), it is a memory file system in a mount namespace of this process and its
children: nobody else sees it, and it is gone with the last of them, however they end. Full means that its size is what
it holds: every further write fails with ENOSPC. Elsewhere the broker's own limit on the size of files is set to
nothing, so that every write that lengthens a file fails with EFBIG.
"""

from __future__ import annotations

import ctypes
import resource
import subprocess
from pathlib import Path

import psutil

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
_REMOUNT = 0x20  # MS_REMOUNT
_ROOMS_KIB = (64, 512, 4_096)  # the broker writes on between the look and the limit
_SIZE_KIB = 16 << 20  # a limit: only what is written takes memory
_libc = ctypes.CDLL(None, use_errno=True)


class Disk:
    """Made before any thread or process is started: they belong to the namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kind = "file size limit"
        if _libc.unshare(_NEW_MOUNTS) == 0:
            folder.mkdir(parents=True, exist_ok=True)
            private = _run("mount", "--make-rprivate", "/")
            if private and _run(
                "mount", "-t", "tmpfs", "-o", f"size={_SIZE_KIB}k,mode=700", "wardstream-faults", str(folder)
            ):
                self.kind = "tmpfs"

    def fill(self, pid: int) -> None:
        """From now on the broker of this process id finds no room."""
        if self.kind == "tmpfs":
            for room in _ROOMS_KIB:
                if self._limit(psutil.disk_usage(str(self.folder)).used // 1024 + room):
                    return
            raise RuntimeError("the disk cannot be made full")
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))

    def free(self) -> None:
        """There is room again, for the next process of the broker."""
        if self.kind == "tmpfs" and not self._limit(_SIZE_KIB):
            raise RuntimeError("the disk cannot be freed")

    def leave(self) -> None:
        """Let the folder be removed: what is mounted on is busy."""
        if self.kind == "tmpfs" and not _run("umount", "--lazy", str(self.folder)):
            raise RuntimeError("the disk cannot be left")

    def _limit(self, kib: int) -> bool:
        """Set the size of the file system.

        Without the program `mount`: on a busy machine the broker writes more than the room while that is started.
        """
        return _libc.mount(None, str(self.folder).encode(), None, _REMOUNT, f"size={kib}k,mode=700".encode()) == 0


def _run(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

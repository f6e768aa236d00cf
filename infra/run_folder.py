"""A folder for one run of the demo, held by a lock, so that what a killed run left is known for it and removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wardstream.infra.failure import Failure


@contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """A folder for one run, removed at its end; only the logs stay when it failed. Folders nobody holds are removed."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(parent):
        for old in parent.iterdir():
            with suppress(BlockingIOError), _locked(old, fcntl.LOCK_NB):
                shutil.rmtree(old)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    except Failure:
        for log in folder.glob("kafka/broker-*/kafka.log"):
            log.replace(folder / "kafka.log")
        for log in folder.glob("triton/triton.log"):
            log.replace(folder / "triton.log")
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".log":
                path.unlink()
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    else:
        shutil.rmtree(folder)
    finally:
        os.close(held)
        with suppress(OSError):  # another demo's folder is there
            parent.rmdir()


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """Hold a folder against other demos."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(held)

"""Processes that a command of ours starts and watches: which they are, and what their logs say when one ends."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from wardstream.infra.failure import Failure

TAIL_LINES = 15


class ChildEnded(Failure):
    """A process that should run has ended; the text has the end of its log."""


@dataclass(frozen=True)
class Child:
    """A process of ours, and where it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `ChildEnded` if it is no longer there."""
        code = self.process.poll()
        if code is not None:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise ChildEnded(
                f"the {self.name} has ended by itself ({how}); the end of {shown(self.log)}:\n{tail(self.log)}"
            )


def tail(log: Path) -> str:
    """The last lines of a log."""
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])


def shown(path: Path) -> str:
    """A path as short as it can be told."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

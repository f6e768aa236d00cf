"""Which code is measured: figures without it could be of any."""

from __future__ import annotations

import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = (":!tests/bench/results", ":!tests/faults/ledger.json")


def commit() -> str:
    """The commit of the checkout, with a + if files differ from it (results apart); "unknown" outside of one."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return f"{head}{'+' if _git('status', '--porcelain', '--untracked-files=no', '--', '.', *_RESULTS) else ''}"
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=_ROOT, check=True, timeout=60, capture_output=True, text=True)
    return done.stdout.strip()

"""Headless Chromium for tests, driven by playwright-core (`driver.mjs`). Both are fetched when absent, as pinned here.

The npm packages are checked against the hashes in `packages.txt`; Chromium is the distribution's, by apt where we may.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".wardstream" / "browser"
HERE = Path(__file__).parent
_FETCH_S, _DO_S, _END_S = 300, 60, 20


class Absent(Exception):
    """The machine has no browser, and none could be installed; the text says what is missing."""


def chromium() -> str:
    """Where Chromium is; installs it by apt when absent and we are root."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    if os.getuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", "-y", "chromium"]):
            asks_nothing = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, env=asks_nothing, check=False, capture_output=True, timeout=_FETCH_S)
        if (found := shutil.which("chromium")) is not None:
            return found
    raise Absent("no chromium on this machine, and it could not be installed: apt-get install chromium")


def packages() -> Path:
    """The folder of the npm packages, fetched when they are not those of `packages.txt`."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Absent("no node and npm on this machine: apt-get install nodejs npm")
    wanted = (HERE / "packages.txt").read_text(encoding="ascii")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want them
        done = FOLDER / "packages.txt"
        if not done.exists() or done.read_text(encoding="ascii") != wanted:
            _fetch([line.split() for line in wanted.splitlines()])
            done.write_text(wanted, encoding="ascii")
    return FOLDER / "node_modules"


def _fetch(wanted: list[list[str]]) -> None:
    versions = {name: version for name, version, _ in wanted}
    tree: dict[str, Any] = {"": {"dependencies": versions}}
    tree |= {f"node_modules/{name}": {"version": version, "integrity": digest} for name, version, digest in wanted}
    (FOLDER / "package.json").write_text(json.dumps({"private": True, "dependencies": versions}))
    (FOLDER / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": tree}))
    command = ["npm", "ci", "--prefix", str(FOLDER), "--ignore-scripts", "--no-audit", "--no-fund"]
    ran = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    if ran.returncode:
        raise Absent("the npm packages of tests/board/packages.txt could not be fetched")


class Browser:
    """Pages by name, each in a browser of its own. What went wrong in any of them is in `wrong`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, page: str, code: str, **options: Any) -> Any:
        """What an async JavaScript function returns whose body is given `page` and `tools`.

        Raises
        ------
        AssertionError
            It has thrown: the text says what.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"page": page, "code": code, "options": options}).encode() + b"\n")
        async with asyncio.timeout(_DO_S):
            raw = await self._process.stdout.readline()
        assert raw, "the browser's driver has ended"
        answer = json.loads(raw)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    async def wrong(self, page: str) -> list[str]:
        """Requests to elsewhere, errors and breaches of the policy, of all pages so far."""
        found: list[str] = await self.do(page, "return tools.wrong")
        return found


@asynccontextmanager
async def browser(modules: Path, path: str) -> AsyncIterator[Browser]:
    """A driver; its browsers end with it."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "driver.mjs"),
        str(modules),
        path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    try:
        yield Browser(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()

"""The board for tests: its real application over a ward that a test fills, and a browser that looks at it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.board.browser import Absent, Browser, browser, chromium, packages
from tests.board.serving import Shown, shown


@pytest.fixture(scope="session")
def chromium_and_packages() -> tuple[Path, str]:
    """What drives a browser, and the browser."""
    try:
        return packages(), chromium()
    except Absent as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))  # a promise to have run everything is not kept by skipping
        pytest.skip(str(missing))


@pytest.fixture
async def chrome(chromium_and_packages: tuple[Path, str]) -> AsyncIterator[Browser]:
    async with browser(*chromium_and_packages) as one:
        yield one


@pytest.fixture
async def board(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shown]:
    async with shown(monkeypatch) as one:
        yield one

"""Examples of all topics, as tests change them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples"


@pytest.fixture(scope="session")
def examples_folder() -> Path:
    return EXAMPLES


@pytest.fixture(scope="session")
def _read() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in EXAMPLES.glob("*.json")}


@pytest.fixture
def examples(_read: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The example of each topic, to change at will."""
    return copy.deepcopy(_read)

"""Who may decide about models."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Role, add_token
from wardstream.infra.operators import operator_of
from wardstream.infra.settings import Settings


def shown(folder: Path, role: Role = "operator", units: tuple[str, ...] | None = None) -> Settings:
    """Settings of who shows a token."""
    tokens = folder / "tokens.json"
    token = add_token(tokens, "m.garcia", (role,), units, None)
    return Settings(tokens_file=tokens, token=token)


def test_an_operator_decides(tmp_path: Path) -> None:
    assert operator_of(shown(tmp_path), "why").name == "m.garcia"


def test_another_role_does_not(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not have the role"):
        operator_of(shown(tmp_path, "clinician"), "why")


@pytest.mark.parametrize(("units", "may"), [((), False), (("4B",), True), (("4B", "ICU"), False)])
def test_who_is_limited_to_a_unit_decides_for_that_one_only(tmp_path: Path, units: tuple[str, ...], may: bool) -> None:
    settings = shown(tmp_path, units=("4B",))
    if may:
        assert operator_of(settings, "why", units).name == "m.garcia"
    else:
        with pytest.raises(Failure, match="limited to units"):
            operator_of(settings, "why", units)

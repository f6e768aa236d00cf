"""A subscription is told no more than its owner may see now."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wardstream.infra.delivery.owners import held
from wardstream.infra.gateways.auth import Principal, TokenFile, add_token, remove_token
from wardstream.schemas.subscriptions import Subscription

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def row(scope: tuple[str, ...] | None) -> Subscription:
    return Subscription(name="s", at=NOW, made_at=NOW, who="ca", scope=scope, may_answer=True)


@pytest.mark.parametrize(
    ("scope", "units", "left"),
    [
        (("A",), None, ("A",)),
        (None, {"B", "A"}, ("A", "B")),
        (("A", "B"), {"B"}, ("B",)),
        (("A",), {"B"}, ()),
        (None, None, None),
    ],
)
def test_the_scope_is_what_both_allow(
    scope: tuple[str, ...] | None, units: set[str] | None, left: tuple[str, ...] | None
) -> None:
    owner = Principal("ca", frozenset({"clinician"}), None if units is None else frozenset(units))
    found = held(row(scope), {"ca": owner})
    assert found is not None
    assert (found.scope, found.may_answer) == (left, True)


def test_who_is_no_clinician_any_more_answers_nothing() -> None:
    found = held(row(None), {"ca": Principal("ca", frozenset({"viewer"}))})
    assert found is not None
    assert not found.may_answer


def test_without_its_token_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    add_token(path, "ca", ["clinician"], ["A"])
    add_token(path, "feed", ["publisher"])
    tokens = TokenFile(path)
    assert held(row(("A",)), tokens.principals()) == row(("A",))
    assert held(Subscription(name="f", at=NOW, made_at=NOW, who="feed"), tokens.principals()) is None
    remove_token(path, "ca")
    assert held(row(("A",)), tokens.principals()) is None
    path.unlink()
    assert tokens.principals() == {}
    assert held(row(("A",)), None) == row(("A",)), "where there are no tokens it holds as it was made"

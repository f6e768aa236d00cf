"""When what failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wardstream.infra.delivery.receiver import MAX_REST_S, rest
from wardstream.infra.delivery.trying import AT_LEAST, FIRST_S, LONGEST_S, Trying

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_bounds_double_and_end() -> None:
    most, none = Trying(60, lambda: 1.0), Trying(60, lambda: 0.0)
    assert [most.wait_s(attempt, 0) for attempt in (1, 2, 3, 4)] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert most.wait_s(40, 0) == most.wait_s(4_000, 0) == LONGEST_S
    assert none.wait_s(7, 0) == 0


def test_what_the_receiver_asks_for_is_the_least() -> None:
    assert Trying(60, lambda: 0.0).wait_s(1, 20) == 20
    assert Trying(60, lambda: 1.0).wait_s(40, 20) == LONGEST_S


def test_the_limit_is_an_age_and_a_number() -> None:
    trying = Trying(60, lambda: 1.0)
    assert not trying.over(AT_LEAST - 1, 1e9)  # what was published while nobody delivered is tried, too
    assert not trying.over(1_000, 59)
    assert trying.over(AT_LEAST, 60)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("7", 7),
        ("99999999999999999999", MAX_REST_S),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30),
        ("soon", 0),
        ("-5", 0),
        ("²", 0),
        ("", 0),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert rest(header, NOW) == seconds

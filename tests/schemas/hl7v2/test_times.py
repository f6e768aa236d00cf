"""Times: any precision, offsets, the two hours that a clock that is put back shows, and the one it leaves out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schemas.hl7v2.messages import utc
from wardstream.schemas.hl7v2.times import Ambiguous, Moments, day, stated

BERLIN = ZoneInfo("Europe/Berlin")


def moments(ambiguous: Ambiguous = "earlier", sent_at: str = "") -> Moments:
    return Moments(BERLIN, ambiguous, sent_at)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("202603101200", utc(2026, 3, 10, 11)),
        ("2026031012", utc(2026, 3, 10, 11)),
        ("20260310120005", utc(2026, 3, 10, 11, 0, 5)),
        ("20260310120005.1234", utc(2026, 3, 10, 11, 0, 5, 123400)),
        ("20260310120005.123456789", utc(2026, 3, 10, 11, 0, 5, 123456)),
        ("202603101200+0000", utc(2026, 3, 10, 12)),
        ("202603101200-0530", utc(2026, 3, 10, 17, 30)),
        ("20260710120000", utc(2026, 7, 10, 10)),
        ("20260310", utc(2026, 3, 9, 23)),
        (" 202603101200 ", utc(2026, 3, 10, 11)),
        ("202603", None),
        ("2026", None),
        ("", None),
        ('""', None),
        ("18APR06", None),
        ("20260230", None),
        ("202603102460", None),
        ("2026031025", None),
        ("00000000", None),
        ("202603101200+99", None),
        ("202603101200+9999", None),
        ("00010101000000+1400", None),
        ("２０２６０３１０", None),
        ("20260310" + "0" * 100, None),
    ],
)
def test_reading(text: str, moment: datetime | None) -> None:
    assert moments().read(text) == moment


@pytest.mark.parametrize(
    ("ambiguous", "twice", "left_out"),
    [
        ("earlier", utc(2026, 10, 25, 0, 30), utc(2026, 3, 29, 1, 30)),
        ("later", utc(2026, 10, 25, 1, 30), utc(2026, 3, 29, 1, 30)),
        ("reject", None, None),
    ],
)
def test_the_hours_of_summer_time(ambiguous: Ambiguous, twice: datetime | None, left_out: datetime | None) -> None:
    clock = moments(ambiguous)
    assert clock.read("202610250230") == twice
    assert clock.read("202603290230") == left_out
    assert clock.read("202610250230+0100") == utc(2026, 10, 25, 1, 30)
    assert clock.read("202610250130") == utc(2026, 10, 24, 23, 30)


def test_the_offset_of_the_message_is_the_default_where_it_is_not_the_zones() -> None:
    assert moments(sent_at="20260310120000-0500").read("202603100900") == utc(2026, 3, 10, 14)
    assert moments(sent_at="20260310120000+0100").read("202607100900") == utc(2026, 7, 10, 7)  # the zone's own
    for offset in ("+0200", "+0100"):  # sent in the hour that comes twice: both are the zone's
        assert moments(sent_at=f"20261025023000{offset}").read("202607100900") == utc(2026, 7, 10, 7)
    assert moments(sent_at="nonsense").read("202603100900") == utc(2026, 3, 10, 8)


def test_a_date_is_made_more_exact_by_a_time_of_the_same_day() -> None:
    clock = moments()
    assert clock.first(["", "20260310", "202603101200"]) == utc(2026, 3, 10, 11)
    assert clock.first(["20260310", "202603111200"]) == utc(2026, 3, 9, 23)
    assert clock.first(["202603", "x", "202603111200", "20260310"]) == utc(2026, 3, 11, 11)
    assert clock.first(["2026", ""]) is None


def test_days() -> None:
    assert day("19600229") == date(1960, 2, 29)
    assert day("19600229103000-0600") == date(1960, 2, 29)
    assert day("196002") is day("") is day("19610229") is None


@given(st.text(alphabet="0123456789+-. ", max_size=30) | st.text(max_size=30))
def test_whatever_the_text_is(text: str) -> None:
    for ambiguous in ("earlier", "later", "reject"):
        moment = moments(ambiguous, text).read(text)  # type: ignore[arg-type]
        assert moment is None or moment.tzinfo is UTC


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_there_and_back(naive: datetime) -> None:
    said = stated(f"{naive:%Y%m%d%H%M%S}.{naive.microsecond:06d}")
    assert said is not None
    assert said.naive == naive


@pytest.mark.parametrize("ambiguous", ["earlier", "later", "reject"])
@pytest.mark.parametrize(
    ("sent_at", "text", "moment"),
    [
        ("20261025023500+0100", "20261025023000", utc(2026, 10, 25, 1, 30)),
        ("20261025023500+0200", "20261025023000", utc(2026, 10, 25, 0, 30)),
        ("20261025031500+0100", "20261025023000", utc(2026, 10, 25, 1, 30)),
        ("20261025021500+0100", "20261025025000", utc(2026, 10, 25, 0, 50)),  # the second has not come yet
        ("20261025023000+0100", "20261025023200", utc(2026, 10, 25, 1, 32)),  # clocks differ
    ],
)
def test_of_an_hour_that_comes_twice_the_offset_of_the_message_decides(
    ambiguous: Ambiguous, sent_at: str, text: str, moment: datetime
) -> None:
    assert moments(ambiguous, sent_at).read(text) == moment


def test_an_offset_outside_of_the_hour_that_comes_twice_changes_nothing() -> None:
    assert moments("reject", "20260710120000+0200").read("20260329023000") is None
    assert moments("later", "20260710120000+0200").read("20261025023000") == utc(2026, 10, 25, 1, 30)  # planned

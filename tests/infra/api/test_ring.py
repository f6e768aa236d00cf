"""Positions and the ring: from any position on, everything that is at or after it is told, whatever was read first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alerts import alert
from wardstream.infra.api.ring import Ring, Row, position_of, text_of
from wardstream.infra.api.table import ENDED_S, Standings
from wardstream.schemas.decode import encode

ONE = alert("one")


def rows(parts: list[int], begin: tuple[int, ...] = (0, 0, 0)) -> list[Row]:
    """The next row of each of these partitions."""
    after, found = list(begin), []
    for part in parts:
        after[part] += 1
        found.append(Row(ONE, b"{}", part, after[part] - 1, tuple(after), False))
    return found


@given(
    read=st.lists(st.integers(0, 2), max_size=40),
    size=st.integers(1, 8),
    at=st.tuples(*[st.integers(0, 12)] * 3),
)
def test_all_rows_at_or_after_any_position_are_found_or_known_to_be_gone(
    read: list[int], size: int, at: tuple[int, int, int]
) -> None:
    ring, all_rows = Ring((0, 0, 0), size), rows(read)
    for row in all_rows:
        ring.add(row)
    wanted = [row for row in all_rows if row.offset >= at[row.part]]
    found = ring.since(at)
    if found is None:
        assert len(all_rows) > size  # of few rows none is gone
    else:
        assert list(found) == wanted
    assert ring.since(ring.end) == []
    kept = ring.since(ring.begin)
    assert kept is not None
    assert len(kept) >= min(size, len(all_rows))


@given(st.lists(st.integers(0, 2**62), max_size=64))
def test_positions_come_back_as_they_were(offsets: list[int]) -> None:
    position = tuple(offsets)
    assert position_of(text_of(position), len(position)) == position
    assert position_of(text_of(position), len(position) + 2) == (*position, 0, 0)  # lanes were added
    if position:
        with pytest.raises(ValueError, match="no position"):
            position_of(text_of(position), len(position) - 1)


@given(st.text(max_size=80))
def test_other_texts_are_no_positions_or_harmless_ones(text: str) -> None:
    try:
        found = position_of(text, 3)
    except ValueError:
        return
    assert len(found) == 3
    assert min(found) >= 0


def test_lines_of_a_record_do_not_break_a_frame() -> None:
    assert Row(ONE, b'{\r\n"a":1}', 0, 0, (1,), False).value == b'{  "a":1}'


def test_how_alerts_stand() -> None:
    table, after = Standings(), (0,) * 4
    steps = [alert("a", number) for number in (1, 2, 3, 4)]
    for offset, step in enumerate(steps[:3]):
        table.add(Row(step, encode(step), 1, offset, after, False), 100.0)
    table.add(Row(steps[0], b"", 1, 0, after, False), 100.0)  # read again
    urgent = alert("b", priority="high")
    table.add(Row(urgent, encode(urgent), 2, 0, after, False), 100.0)
    assert [one.row.alert for one in table] == [urgent, steps[2]]
    table.add(Row(steps[3], encode(steps[3]), 1, 9, after, False), 200.0)
    ended = table.get(steps[0].alert_id)
    assert ended is not None
    assert (ended.ended, ended.offsets) == (True, [0, 1, 2, 9])
    table.forget(200.0 + ENDED_S)
    assert table.get(steps[0].alert_id) is ended
    table.forget(200.1 + ENDED_S)
    assert table.get(steps[0].alert_id) is None
    assert [one.row.alert for one in table] == [urgent]  # open ones stay, however old

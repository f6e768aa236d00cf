"""Census and forecast fans as a table and as a picture."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from rich.console import Console

from wardstream.infra.flow_reading import Board
from wardstream.infra.view.fan import Shown, flow_board, flow_table, picture, strip
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.flow import Flow

EXAMPLE = Path(__file__).resolve().parents[3] / "schemas/examples/flow.v1.json"


def example() -> Flow:
    return decoder_of(Flow)(json.dumps(json.loads(EXAMPLE.read_text())).encode())


def test_a_row_says_what_a_unit_saw_and_expects() -> None:
    console = Console(width=200, record=True)
    console.print(flow_table([Shown(example())], "now", 200))
    text = console.export_text()
    assert "ward-4b" in text
    assert "…" not in text
    assert "31 (29–34)" in text
    assert "in 3 h" in text


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_in_a_narrow_terminal_columns_are_left_out_and_none_is_cut(width: int) -> None:
    console = Console(width=width, record=True)
    flow = example()
    other = msgspec.structs.replace(flow, unit="Intensive care, surgical")
    console.print(flow_table([Shown(flow), Shown(other)], "now", width))
    text = console.export_text()
    assert "…" not in text
    for head in ("unit", "there", "staffed", "24 h", "full in 24 h"):
        assert head in text
    assert str(flow.census) in text
    assert ("peak" in text) == (width > 80)


@pytest.mark.parametrize(
    ("width", "height", "units"), [(80, 24, 40), (120, 40, 38), (120, 40, 39), (80, 4, 7), (30, 3, 5)]
)
def test_more_units_than_lines_are_shown_in_pages(width: int, height: int, units: int) -> None:
    """Each page fits into the terminal and says how many it leaves out; together they show every unit."""
    flows = [Shown(msgspec.structs.replace(example(), unit=f"W{number:02}")) for number in range(units)]
    title = "beds needed, median (10–90 %), from 2026-03-14 09:00 UTC on"
    pages = []
    for page in range(units):
        console = Console(width=width, height=height, record=True)
        console.print(flow_board(flows, title, width, height, page))
        pages.append(console.export_text().splitlines())
    assert all(len(lines) <= height for lines in pages)
    for lines in pages:
        shown = sum(line.startswith("W") for line in lines)
        assert shown > 0
        assert (f"+ {units - shown} more u" in lines[-1]) == (units > height - 2)
    rows = {line.split()[0] for lines in pages for line in lines if line.startswith("W")}
    assert rows == {one.flow.unit for one in flows}
    assert len({tuple(lines[int(height > 4)].split()) for lines in pages}) == 1, "all pages have the same columns"


def test_a_strip_goes_from_the_lowest_to_the_highest() -> None:
    assert strip([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]) == "▁▄█" or strip([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]) == "▁▅█"
    assert strip([5.0, 5.0]) == "▁"
    assert strip([]) == ""


def test_a_picture_is_sound_and_escapes_names() -> None:
    flow = msgspec.structs.replace(example(), unit="A & <B>")
    census = [(flow.observed_at - timedelta(hours=h), 30 + h % 3) for h in range(200, -1, -1)]
    root = ElementTree.fromstring(picture(flow.unit, census, Shown(flow)))
    texts = [one.text or "" for one in root.iter() if one.tag.endswith("text")]
    assert any("A & <B>" in text for text in texts)
    fans = [one for one in root.iter() if one.tag.endswith("polygon")]
    assert len(fans) == 3
    numbers = [float(n) for one in fans for pair in one.attrib["points"].split() for n in pair.split(",")]
    assert min(numbers) >= 0.0


def test_the_board_keeps_the_last_of_each_hour_and_the_newest_forecast() -> None:
    board, first = Board(), example()
    later = msgspec.structs.replace(
        first,
        hour_from=first.hour_from + timedelta(hours=1),
        observed_at=first.observed_at + timedelta(hours=1),
        received_at=first.observed_at + timedelta(hours=1),
        census=33,
    )
    corrected = msgspec.structs.replace(first, census=30, ahead=(), course=(), status="corrected")
    for flow in (first, later, corrected):
        board.add(encode(flow))
    board.add(b"{}")
    assert [there for _, there in board.census("ward-4b")] == [30, 33]
    assert board.forecasts["ward-4b"].census == 33


def hours_later(flow: Flow, hours: int, **fields: Any) -> Flow:
    """Of a later hour."""
    after = timedelta(hours=hours)
    moved = {name: getattr(flow, name) + after for name in ("hour_from", "observed_at", "received_at")}
    return msgspec.structs.replace(flow, **moved, **fields)


def text_of(board: Board, width: int = 200) -> str:
    console = Console(width=width, record=True)
    console.print(flow_board(board.now(), "now", width, 20))
    return console.export_text()


def test_a_corrected_census_is_what_is_shown() -> None:
    board, flow = Board(), example()
    board.add(encode(flow))
    board.add(encode(msgspec.structs.replace(flow, census=17, admissions=9, ahead=(), course=(), status="corrected")))
    (shown,) = board.now()
    assert (shown.flow.census, shown.flow.admissions, shown.silent_since) == (17, 9, None)
    assert shown.flow.ahead == flow.ahead
    assert "17" in text_of(board)
    assert "31 (29–34)" in text_of(board)
    assert "silent" not in text_of(board)


def test_a_silent_unit_is_marked_and_its_last_forecast_is_not_shown() -> None:
    """It was told as silent, or not at all while another unit was."""
    told, untold = Board(), Board()
    for board in (told, untold):
        board.add(encode(example()))
        board.add(encode(hours_later(example(), 3, unit="other")))
    told.add(encode(hours_later(example(), 3, census=28, ahead=(), course=(), silent=True)))
    for board, there in ((told, 28), (untold, 31)):
        _, shown = board.now()
        assert (shown.flow.census, shown.flow.ahead) == (there, ())
        assert shown.silent_since == example().observed_at
        assert f"{there}?" in text_of(board)
        assert f"{example().observed_at:%d %b %H:%M}" in text_of(board, 60)
        root = ElementTree.fromstring(picture("ward-4b", board.census("ward-4b"), shown))
        texts = [one.text or "" for one in root.iter() if one.tag.endswith("text")]
        assert any(f"silent since {example().observed_at:%Y-%m-%d %H:%M}" in text for text in texts)
    again = hours_later(example(), 4)
    told.add(encode(again))
    assert told.now()[-1] == Shown(again)


def test_while_an_hour_is_told_no_unit_is_silent() -> None:
    board = Board()
    board.add(encode(example()))
    board.add(encode(hours_later(example(), 1, unit="other")))
    assert [shown.silent_since for shown in board.now()] == [None, None]


def test_a_unit_that_ended_is_not_shown() -> None:
    board = Board()
    board.add(encode(example()))
    board.add(encode(hours_later(example(), 1, census=0, ahead=(), course=(), ended=True)))
    assert board.now() == []

"""Census and forecast fans as a table and as a picture."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from rich.console import Console

from wardstream.infra.flow_reading import Board
from wardstream.infra.view.fan import flow_board, flow_table, picture, strip
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.flow import Flow

EXAMPLE = Path(__file__).resolve().parents[3] / "schemas/examples/flow.v1.json"


def example() -> Flow:
    return decoder_of(Flow)(json.dumps(json.loads(EXAMPLE.read_text())).encode())


def test_a_row_says_what_a_unit_saw_and_expects() -> None:
    console = Console(width=200, record=True)
    console.print(flow_table([example()], "now", 200))
    text = console.export_text()
    assert "ward-4b" in text
    assert "…" not in text
    assert "31 (29–34)" in text
    assert "in 3 h" in text


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_in_a_narrow_terminal_columns_are_left_out_and_none_is_cut(width: int) -> None:
    console = Console(width=width, record=True)
    flow = example()
    console.print(flow_table([flow, msgspec.structs.replace(flow, unit="Intensive care, surgical")], "now", width))
    text = console.export_text()
    assert "…" not in text
    for head in ("unit", "there", "staffed", "24 h", "full in 24 h"):
        assert head in text
    assert str(flow.census) in text
    assert ("peak" in text) == (width > 80)


@pytest.mark.parametrize(("width", "height", "units"), [(80, 24, 40), (120, 40, 38), (120, 40, 39), (80, 4, 7)])
def test_more_units_than_lines_are_shown_in_pages(width: int, height: int, units: int) -> None:
    """Each page fits into the terminal and says how many it leaves out; together they show every unit."""
    flows = [msgspec.structs.replace(example(), unit=f"W{number:02}") for number in range(units)]
    pages = []
    for page in range(units):
        console = Console(width=width, height=height, record=True)
        console.print(flow_board(flows, "from now on", width, height, page))
        pages.append(console.export_text().splitlines())
    assert all(len(lines) <= height for lines in pages)
    for lines in pages:
        shown = sum(line.startswith("W") for line in lines)
        assert (f"+ {units - shown} more units" in lines[-1]) == (units > height - 2)
    assert {line.split()[0] for lines in pages for line in lines if line.startswith("W")} == {one.unit for one in flows}
    assert len({tuple(lines[1].split()) for lines in pages}) == 1, "all pages have the same columns"


def test_a_strip_goes_from_the_lowest_to_the_highest() -> None:
    assert strip([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]) == "▁▄█" or strip([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]) == "▁▅█"
    assert strip([5.0, 5.0]) == "▁"
    assert strip([]) == ""


def test_a_picture_is_sound_and_escapes_names() -> None:
    flow = msgspec.structs.replace(example(), unit="A & <B>")
    census = [(flow.observed_at - timedelta(hours=h), 30 + h % 3) for h in range(200, -1, -1)]
    root = ElementTree.fromstring(picture(flow.unit, census, flow))
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
    assert board.units() == ["ward-4b"]
    assert [there for _, there in board.census("ward-4b")] == [30, 33]
    assert board.forecasts["ward-4b"].census == 33

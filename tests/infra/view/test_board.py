"""The board fits its terminal, and tells nothing by colour alone."""

from __future__ import annotations

import io
from uuid import uuid4

import pytest
from rich.console import Console

from tests.infra.view.test_ward import admission, alert, scores, tick, vitals, ward_of
from wardstream.infra.view.board import Board, render
from wardstream.infra.view.ward import Ward

SIZES = [(80, 24), (100, 30), (120, 40), (200, 60), (40, 12)]


def a_ward(beds: int = 30) -> Ward:
    ward = ward_of()
    for number in range(beds):
        patient = f"sim-abcdef-{number:05d}"
        ward.apply(admission(patient, 0, kind="admit", unit="Ward A", bed=f"Ward A-{number:02d}"))
        ward.apply(vitals(patient, 1, provenance="device", heart_rate_bpm=88, respiratory_rate_per_min=21))
        ward.apply(
            vitals(patient, 2, temperature_celsius=38.4, systolic_mmhg=118, diastolic_mmhg=70, consciousness="A")
        )
        ward.apply(vitals(patient, 3, supplemental_oxygen=True, oxygen_flow_l_per_min=4))
        band = ("low", "low-medium", "medium", "high")[number % 4]
        ward.apply(scores(patient, 3, float(number % 4 * 3), band=band, complete=number % 2 == 0))
        ward.apply(alert(patient, 4, "raised", uuid4(), bed=f"Ward A-{number:02d}", reason="NEWS2 is 7; " + "x" * 200))
    ward.apply(tick(20))
    return ward


def text_of(ward: Ward, width: int, height: int, **console: object) -> str:
    out = io.StringIO()
    head = ("first " + "x" * 300, "second", "third")
    board = Board(head, ward.rows(), list(reversed(ward.log)))
    Console(file=out, width=width, height=height, **console).print(render(board, width, height))  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("beds", [0, 3, 30])
def test_it_fills_its_terminal_and_no_more(width: int, height: int, beds: int) -> None:
    lines = text_of(a_ward(beds), width, height).splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), SIZES[:4])
def test_without_colour_all_is_said(width: int, height: int) -> None:
    shown = text_of(a_ward(4), width, height, color_system=None)
    assert "\x1b" not in shown
    bed = {line.split()[1]: line for line in shown.splitlines() if line.startswith("Ward A-0")}
    worst, next_worst = bed["A-03"], bed["A-02"]
    assert "≥9 H" in worst or "≥9 high" in worst
    assert " 6 M" in next_worst or " 6 medium" in next_worst
    assert " 3 " not in bed["A-01"]  # a lower bound is never shown as a score
    assert "88?" in worst  # of a monitor, 19 minutes ago
    assert "38.4" in worst
    assert "38.4?" not in worst
    assert "4L" in worst
    assert "!!!" in worst
    assert "more beds" not in shown


def test_a_small_terminal_says_how_many_it_does_not_show() -> None:
    shown = text_of(a_ward(30), 80, 24)
    assert shown.count("Ward A-") == 13 + 4  # beds, and the log
    assert "… 17 more beds, NEWS2 at most 6" in shown


def test_a_wide_one_gives_every_value_its_age() -> None:
    worst = next(line for line in text_of(a_ward(4), 120, 40).splitlines() if line.startswith("Ward A-03"))
    for said in ("21? 19m", "118/70 18m", "88? 19m", "38.4 18m", "A 18m", "!!! news2 20m"):
        assert said in worst


def test_a_score_that_must_not_be_used() -> None:
    ward = ward_of(scores("p-1", 1, None, complete=False, not_applicable="under 16 years"))
    assert "n/a" in text_of(ward, 80, 24)
    assert "n/a under" in text_of(ward, 120, 40)

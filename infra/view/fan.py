"""Census and forecast fans: as a table for a terminal, and as a picture. Pure; others write and read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from rich.table import Table
from rich.text import Text

from wardstream.schemas.flow import LEVELS, Ahead, Flow

BLOCKS = "▁▂▃▄▅▆▇█"
_LOW, _MIDDLE, _HIGH = (LEVELS.index(level) for level in (0.1, 0.5, 0.9))
_WIDTH, _HEIGHT, _EDGE = 720, 260, 44


def flow_table(forecasts: Iterable[Flow], title: str) -> Table:
    """One row a unit: what it saw in the last hour, and its fan: 10 to 90 % of beds needed at each horizon."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    table.add_column("unit", no_wrap=True)
    for name in ("there", "staffed", "came", "left"):
        table.add_column(name, justify="right")
    table.add_column("next 48 h", no_wrap=True)
    horizons: Sequence[Ahead] = ()
    rows = list(forecasts)
    if rows:
        horizons = rows[0].ahead
    for one in horizons:
        table.add_column(f"{one.horizon_h} h", justify="right", no_wrap=True)
    for name in ("peak", "full in 24 h", "short of", "nurses"):
        table.add_column(name, justify="right", no_wrap=True)
    for flow in rows:
        day = next((one for one in flow.ahead if one.horizon_h == 24), None)
        table.add_row(
            flow.unit,
            str(flow.census),
            "" if flow.staffed is None else str(flow.staffed),
            str(flow.admissions + flow.transfers_in),
            str(flow.discharges + flow.transfers_out + flow.lost),
            strip(flow.course),
            *(_fan(one, flow.staffed) for one in flow.ahead),
            "" if flow.peak_h is None else f"in {flow.peak_h} h",
            "" if day is None or day.full is None else f"{day.full:.0%}",
            "" if day is None or day.shortfall is None else f"{day.shortfall:.1f}",
            "" if day is None or day.nurses is None else f"{day.nurses[1]} ({day.nurses[0]}–{day.nurses[2]})",
        )
    return table


def strip(values: Sequence[float]) -> str:
    """Each second value as a bar from the lowest to the highest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    step = (high - low) / (len(BLOCKS) - 1) or 1.0
    return "".join(BLOCKS[round((value - low) / step)] for value in values[::2])


def _fan(one: Ahead, staffed: int | None) -> Text:
    low, middle, high = (one.beds.quantiles[i] for i in (_LOW, _MIDDLE, _HIGH))
    style = "" if staffed is None or high < staffed else "red" if middle >= staffed else "yellow"
    return Text(f"{middle} ({low}–{high})", style=style)


def picture(unit: str, census: Sequence[tuple[datetime, int]], flow: Flow) -> str:
    """A unit's census of its last days and the fan of beds needed, as SVG."""
    past = [(at, there) for at, there in census if -168 <= _hours(flow, at) <= 0]
    fan = [(0.0, (flow.census,) * len(LEVELS)), *((float(a.horizon_h), a.beds.quantiles) for a in flow.ahead)]
    values = [there for _, there in past] + [q for _, quantiles in fan for q in quantiles]
    most = max([*values, flow.staffed or 0, 1])
    first = min((_hours(flow, at) for at, _ in past), default=0.0)
    last = fan[-1][0]

    def place(hours: float, beds: float) -> str:
        x = _EDGE + (hours - first) / max(last - first, 1.0) * (_WIDTH - 2 * _EDGE)
        return f"{x:.1f},{_HEIGHT - _EDGE - beds / most * (_HEIGHT - 2 * _EDGE):.1f}"

    shapes = []
    for low in range(len(LEVELS) // 2):
        lower = [place(h, quantiles[low]) for h, quantiles in fan]
        upper = [place(h, quantiles[-1 - low]) for h, quantiles in reversed(fan)]
        shapes.append(f'<polygon points="{" ".join(lower + upper)}" fill="#2a6fb0" fill-opacity="0.22"/>')
    middle = " ".join(place(h, quantiles[_MIDDLE]) for h, quantiles in fan)
    shapes.append(f'<polyline points="{middle}" fill="none" stroke="#2a6fb0" stroke-width="2"/>')
    line = " ".join(place(_hours(flow, at), there) for at, there in past)
    shapes.append(f'<polyline points="{line}" fill="none" stroke="#222" stroke-width="1.5"/>')
    if flow.staffed is not None:
        ends = f"{place(first, flow.staffed)} {place(last, flow.staffed)}"
        shapes.append(f'<polyline points="{ends}" fill="none" stroke="#b03030" stroke-dasharray="6 4"/>')
    shapes += [
        _text(_EDGE, 20, f"{unit}: patients until {flow.observed_at:%Y-%m-%d %H:%M} UTC, and beds needed"),
        _text(_EDGE, _HEIGHT - 14, f"{first:.0f} h"),
        _text(_WIDTH - _EDGE - 30, _HEIGHT - 14, f"+{last:.0f} h"),
        _text(8, _EDGE + 4, str(most)),
        _text(8, _HEIGHT - _EDGE, "0"),
    ]
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return "\n".join((f'<svg xmlns="http://www.w3.org/2000/svg" {box}>', *shapes, "</svg>", ""))


def _hours(flow: Flow, at: datetime) -> float:
    return (at - flow.observed_at).total_seconds() / 3600.0


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="13">{escape(text)}</text>'

"""Census and forecast fans: as a table for a terminal, and as a picture. Pure; others write and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from html import escape
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from wardstream.schemas.flow import LEVELS, Ahead, Flow

BLOCKS = "▁▂▃▄▅▆▇█"
_LOW, _MIDDLE, _HIGH = (LEVELS.index(level) for level in (0.1, 0.5, 0.9))
_WIDTH, _HEIGHT, _EDGE = 720, 260, 44
_DAY_H = 24
_COURSE = "next 48 h"
_SILENT = "silent since"
_LEFT_OUT = (
    *(_COURSE, "2 h", "12 h", "1 h", "4 h", "48 h", "nurses", "peak", "short of", "left", "came", "8 h"),
    *("full in 24 h", "staffed", _SILENT),
)
_LEAST_HEIGHT = 5  # lines, to have one for the title
_MEASURING = Console(width=10_000)
_Column = Callable[["Shown"], str | Text]


class Shown(NamedTuple):
    """A unit's last hour. `silent_since`: when it made its last forecast; None: of this hour, or never any."""

    flow: Flow
    silent_since: datetime | None = None


def flow_board(forecasts: Sequence[Shown], title: str, width: int, height: int, page: int = 0) -> RenderableType:
    """The table in the lines that there are (`height`); of more units than fit one page is shown, of those in turn."""
    if height < _LEAST_HEIGHT:
        title = ""
    fits = max(height - 1 - bool(title), 1)
    if len(forecasts) <= fits:
        return flow_table(forecasts, title, width)
    fits = max(fits - 1, 1)  # the last line says what is not shown
    first = page % -(-len(forecasts) // fits) * fits
    shown = forecasts[first : first + fits]
    more = f"units {first + 1} to {first + len(shown)} of {len(forecasts)}: + {len(forecasts) - len(shown)} more units"
    table = flow_table(shown, title, width, forecasts)
    return Group(table, Text(more, style="dim", no_wrap=True, overflow="ellipsis"))


def flow_table(
    forecasts: Iterable[Shown], title: str, width: int, measured: Iterable[Shown] | None = None
) -> RenderableType:
    """One row a unit: what it saw in the last hour, and its fan: 10 to 90 % of beds needed at each horizon.

    Where not all fits into the width (characters), columns are left out as a whole, the least important first; so that
    all pages have the same ones, the rows of all can be measured. `31?`: the unit is silent, so many were there.
    """
    rows = list(forecasts)
    whole = rows if measured is None else list(measured)
    columns = _columns(next(([one.horizon_h for one in shown.flow.ahead] for shown in whole if shown.flow.ahead), []))
    if all(shown.silent_since is None for shown in whole):
        del columns[_SILENT]
    for name in _LEFT_OUT:
        if Measurement.get(_MEASURING, _MEASURING.options, _table(whole, columns)).maximum <= width:
            break
        columns.pop(name, None)
    table = _table(rows, columns)
    return Group(Text(title, style="italic", no_wrap=True, overflow="ellipsis"), table) if title else table


def _table(rows: Iterable[Shown], columns: Mapping[str, _Column]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    for name in columns:
        table.add_column(name, justify="left" if name in ("unit", _COURSE) else "right", no_wrap=True)
    for shown in rows:
        table.add_row(*(column(shown) for column in columns.values()))
    return table


def _columns(horizons: Sequence[int]) -> dict[str, _Column]:
    """What the table can say of a unit, by the head of the column."""
    return {
        "unit": lambda shown: shown.flow.unit,
        "there": _there,
        _SILENT: lambda shown: "" if shown.silent_since is None else f"{shown.silent_since:%d %b %H:%M}",
        "staffed": lambda shown: "" if shown.flow.staffed is None else str(shown.flow.staffed),
        "came": lambda shown: str(shown.flow.admissions + shown.flow.transfers_in),
        "left": lambda shown: str(shown.flow.discharges + shown.flow.transfers_out + shown.flow.lost),
        _COURSE: lambda shown: strip(shown.flow.course),
        **{f"{h} h": partial(_fan, h) for h in horizons},
        "peak": lambda shown: "" if shown.flow.peak_h is None else f"in {shown.flow.peak_h} h",
        "full in 24 h": lambda shown: _in_a_day(shown, lambda day: None if day.full is None else f"{day.full:.0%}"),
        "short of": lambda shown: _in_a_day(
            shown, lambda day: None if day.shortfall is None else f"{day.shortfall:.1f}"
        ),
        "nurses": lambda shown: _in_a_day(
            shown, lambda day: None if day.nurses is None else f"{day.nurses[1]} ({day.nurses[0]}–{day.nurses[2]})"
        ),
    }


def _there(shown: Shown) -> str | Text:
    return str(shown.flow.census) if shown.silent_since is None else Text(f"{shown.flow.census}?", style="yellow")


def strip(values: Sequence[float]) -> str:
    """Each second value as a bar from the lowest to the highest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    step = (high - low) / (len(BLOCKS) - 1) or 1.0
    return "".join(BLOCKS[round((value - low) / step)] for value in values[::2])


def _fan(horizon_h: int, shown: Shown) -> Text:
    one = _ahead(shown.flow, horizon_h)
    if one is None:
        return Text()
    low, middle, high = (one.beds.quantiles[i] for i in (_LOW, _MIDDLE, _HIGH))
    staffed = shown.flow.staffed
    style = "" if staffed is None or high < staffed else "red" if middle >= staffed else "yellow"
    return Text(f"{middle} ({low}–{high})", style=style)


def _in_a_day(shown: Shown, say: Callable[[Ahead], str | None]) -> str:
    day = _ahead(shown.flow, _DAY_H)
    return "" if day is None else say(day) or ""


def _ahead(flow: Flow, horizon_h: int) -> Ahead | None:
    return next((one for one in flow.ahead if one.horizon_h == horizon_h), None)


def picture(unit: str, census: Sequence[tuple[datetime, int]], shown: Shown) -> str:
    """A unit's census of its last days and the fan of beds needed, as SVG; of a silent one the census alone."""
    flow, since = shown
    past = [(at, there) for at, there in census if -168 <= _hours(flow, at) <= 0]
    fan = [(0.0, (flow.census,) * len(LEVELS)), *((float(a.horizon_h), a.beds.quantiles) for a in flow.ahead)]
    values = [there for _, there in past] + [q for _, quantiles in fan for q in quantiles]
    most = max([*values, flow.staffed or 0, 1])
    first = min((_hours(flow, at) for at, _ in past), default=0.0)
    last = fan[-1][0]

    def place(hours: float, beds: float) -> str:
        x = _EDGE + (hours - first) / max(last - first, 1.0) * (_WIDTH - 2 * _EDGE)
        return f"{x:.1f},{_HEIGHT - _EDGE - beds / most * (_HEIGHT - 2 * _EDGE):.1f}"

    shapes = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>']
    days = [hour for hour in range(-168, round(last) + 1, _DAY_H) if hour >= first]
    for hour in days:
        stroke = "#888" if hour == 0 else "#ddd"
        shapes.append(f'<polyline points="{place(hour, 0)} {place(hour, most)}" fill="none" stroke="{stroke}"/>')
        x = float(place(hour, 0).partition(",")[0])
        shapes.append(_text(round(x) - 14, _HEIGHT - _EDGE + 16, "now" if hour == 0 else f"{hour:+d} h"))
    for low in range(len(LEVELS) // 2):
        lower = [place(h, quantiles[low]) for h, quantiles in fan]
        upper = [place(h, quantiles[-1 - low]) for h, quantiles in reversed(fan)]
        shapes.append(f'<polygon points="{" ".join(lower + upper)}" fill="#2a6fb0" fill-opacity="0.22"/>')
    middle = " ".join(place(h, quantiles[_MIDDLE]) for h, quantiles in fan)
    shapes.append(f'<polyline points="{middle}" fill="none" stroke="#2a6fb0" stroke-width="2"/>')
    line = " ".join(place(_hours(flow, at), there) for at, there in past)
    shapes.append(f'<polyline points="{line}" fill="none" stroke="#222" stroke-width="1.5"/>')
    legend = "" if flow.staffed is None else f"; dashed: {flow.staffed} staffed beds"
    if flow.staffed is not None:
        ends = f"{place(first, flow.staffed)} {place(last, flow.staffed)}"
        shapes.append(f'<polyline points="{ends}" fill="none" stroke="#b03030" stroke-dasharray="6 4"/>')
    above = f"{unit}: patients until {flow.observed_at:%Y-%m-%d %H:%M} UTC"
    above += ", and beds needed" if since is None else f", as last known; silent since {since:%Y-%m-%d %H:%M}"
    shapes += [
        _text(_EDGE, 20, above),
        _text(_EDGE, _HEIGHT - 8, f"beds needed: median, 50, 80 and 95 %{legend}"),
        _text(8, _EDGE + 4, str(most)),
        _text(8, _HEIGHT - _EDGE, "0"),
    ]
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return "\n".join((f'<svg xmlns="http://www.w3.org/2000/svg" {box}>', *shapes, "</svg>", ""))


def _hours(flow: Flow, at: datetime) -> float:
    return (at - flow.observed_at).total_seconds() / 3600.0


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="13">{escape(text)}</text>'

"""The live ward board: what the view knows, as text for a terminal of a given size. Pure; rich does the writing.

Nothing is told by colour alone: NEWS2's band is written beside it, priorities carry the marks of IEC 60601-1-8
(!!!, !!, !), a value that is too old has a question mark. The colours are Okabe and Ito's, which stay apart for the
colour-blind. A terminal of 80×24 gets the same with fewer words and rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wardstream.infra.view.ward import BedRow, OpenAlert, Seen
from wardstream.schemas.alerts import Alert, Priority, State
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Score

WIDE_FROM = 118  # columns from which ages and words fit
# Columns and their widths; None: what is left.
NARROW: dict[str, int | None] = {
    **{"bed": 9, "pat.": 5, "NEWS2": 5, "RR": 3, "SpO2": 4, "O2": 3, "BP": 4, "HR": 4, "°C": 5, "C": 2, "age": 3},
    **{"sep.": 4, "trend": 6, "alerts": None},
}
WIDE: dict[str, int | None] = {
    **{"bed": 10, "pat.": 5, "NEWS2": 11, "RR": 7, "SpO2": 7, "O2": 3, "BP": 11, "HR": 8, "°C": 8, "ACVPU": 5},
    **{"sepsis": 6, "trend 1 h": 12, "alerts": None},
}
LOG: dict[str, int | None] = {"time": 5, "bed": 9, "mark": 3, "transition": 9, "condition": 6, "reason": None}
MARKS: dict[Priority, str] = {"high": "!!!", "medium": "!!", "low": "!"}
STATES: dict[State, str] = {"escalated": "▲", "acknowledged": "✓", "snoozed": "z"}  # after the age; ? is stale
PRIORITY_STYLE: dict[Priority, str] = {"high": "bold #d55e00", "medium": "#e69f00", "low": "#56b4e9"}
BAND_STYLE = {
    "high": "bold white on #b04a00",
    "medium": "bold black on #e69f00",
    "low-medium": "black on #f0e442",
    "low": "#56b4e9",
}
BAND_SHORT = {"high": "high", "medium": "medium", "low-medium": "low-med", "low": "low"}
BAND_LETTER = {"high": "H", "medium": "M", "low-medium": "m", "low": "L"}
_BARS = "▁▂▃▄▅▆▇█"
_TREND_TOP = 12.0  # NEWS2 from which on the bar is full
LEGEND = (
    "≥ at least this: parts are missing   ? too old to count   ~ by NEWS2   !!! high, !! medium, ! low   Ctrl-C ends"
)
SHORT_LEGEND = "≥ at least ? too old ~ by NEWS2  H high M medium m low-med L low  !!! !! ! alert"


class Board(NamedTuple):
    """What is to be shown.

    Attributes
    ----------
    head : lines of the strip above the beds.
    beds : worst first.
    log : transitions of alerts, the newest first.
    """

    head: tuple[str, ...]
    beds: list[BedRow]
    log: list[Alert]


def render(board: Board, width: int, height: int) -> RenderableType:
    """The board in exactly the rows there are."""
    logged = min(max(height // 5, 3), 12)
    rows = max(1, height - len(board.head) - logged - 3)  # the heading, the rule, the legend
    parts: list[RenderableType] = [_line(line, "bold" if not place else "") for place, line in enumerate(board.head)]
    parts.append(_beds(board.beds, width, rows))
    parts.append(_line("─ alerts, newest first " + "─" * width, "dim", crop=width))
    parts.append(_log(board.log[:logged], width))
    parts += [Text("") for _ in range(logged - len(board.log[:logged]))]
    parts.append(_line(LEGEND if width >= WIDE_FROM else SHORT_LEGEND, "dim"))
    return Group(*parts)


def _line(text: str, style: str = "", crop: int | None = None) -> Text:
    return Text(text if crop is None else text[:crop], style=style, no_wrap=True, overflow="ellipsis")


def _table() -> Table:
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, header_style="bold underline")


def _beds(beds: list[BedRow], width: int, rows: int) -> RenderableType:
    hidden = len(beds) - rows
    shown = beds if hidden <= 0 else beds[: rows - 1]
    table = _wide(shown) if width >= WIDE_FROM else _narrow(shown)
    parts: list[RenderableType] = [table]
    if hidden > 0:
        best = beds[rows - 1]
        parts.append(_line(f"… {hidden + 1} more beds, NEWS2 at most {_points(best.news2).strip()}", "dim"))
    else:
        parts += [Text("") for _ in range(-hidden)]
    return Group(*parts)


def _columns(table: Table, columns: Mapping[str, int | None]) -> None:
    for name, width in columns.items():
        table.add_column(name, width=width, ratio=None if width else 1, no_wrap=True, overflow="ellipsis")


def _narrow(beds: list[BedRow]) -> Table:
    table = _table()
    _columns(table, NARROW)
    for bed in beds:
        s = bed.signals
        cells = [_value(s.get(code)) for code in ("rr", "spo2")]
        cells += [
            _oxygen(s),
            _value(s.get("sbp")),
            _value(s.get("hr")),
            _value(s.get("temp"), 1),
            _value(s.get("acvpu")),
        ]
        newest = min((seen.age_s for seen in s.values()), default=None)
        table.add_row(
            bed.place,
            bed.patient_id[-5:],
            _news2(bed.news2, f"{_points(bed.news2)} {_letter(bed.news2)}"),
            *cells,
            _age(newest),
            _risk(bed.sepsis),
            _trend(bed.trend[-6:]),
            _alerts(bed.alerts, ""),
        )
    return table


def _wide(beds: list[BedRow]) -> Table:
    table = _table()
    _columns(table, WIDE)
    for bed in beds:
        s = bed.signals
        table.add_row(
            bed.place,
            bed.patient_id[-5:],
            _news2(bed.news2, f"{_points(bed.news2)} {BAND_SHORT.get(_band(bed.news2), _band(bed.news2))}"),
            _aged(s.get("rr")),
            _aged(s.get("spo2")),
            _oxygen(s),
            _pressure(s.get("sbp"), s.get("dbp")),
            _aged(s.get("hr")),
            _aged(s.get("temp"), 1),
            _aged(s.get("acvpu")),
            _risk(bed.sepsis),
            _trend(bed.trend),
            _alerts(bed.alerts, " "),
        )
    return table


def _points(score: Score | None) -> str:
    """Three columns: a lower bound has its sign."""
    if score is None:
        return "  –"
    if score.not_applicable is not None or score.value is None:
        return "n/a" if score.not_applicable is not None else "  –"
    return f"{'' if score.complete else '≥'}{score.value:.0f}".rjust(3)


def _band(score: Score | None) -> str:
    if score is None:
        return ""
    if score.not_applicable is not None:
        return score.not_applicable
    return score.band or ""


def _letter(score: Score | None) -> str:
    return BAND_LETTER.get(_band(score), "")


def _news2(score: Score | None, text: str) -> Text:
    return Text(text, style=BAND_STYLE.get(_band(score), "dim"), no_wrap=True, overflow="ellipsis")


def _value(seen: Seen | None, digits: int = 0) -> Text:
    if seen is None:
        return Text("–", style="dim")
    value = seen.value
    text = f"{value:.{digits}f}" if isinstance(value, float) else str(value)
    return Text(text + "?", style="dim") if seen.stale else Text(text)


def _aged(seen: Seen | None, digits: int = 0) -> Text:
    text = _value(seen, digits)
    return text if seen is None else text + Text(f" {_age(seen.age_s)}", style="dim")


def _pressure(systolic: Seen | None, diastolic: Seen | None) -> Text:
    if systolic is None or diastolic is None:
        return _aged(systolic)
    text = Text(
        f"{systolic.value:.0f}/{diastolic.value:.0f}{'?' if systolic.stale else ''}", "dim" if systolic.stale else ""
    )
    return text + Text(f" {_age(systolic.age_s)}", style="dim")


def _oxygen(signals: dict[str, Seen]) -> Text:
    """The newest statement: a flow in L/min, or just whether oxygen is given."""
    flow, given = signals.get("o2flow"), signals.get("o2")
    if given is not None and (flow is None or not given.value or given.age_s < flow.age_s):
        newest, text = given, "O2" if given.value else "air"
    elif flow is not None:
        newest, text = flow, f"{flow.value:.0f}L"
    else:
        return Text("–", style="dim")
    return Text(text + "?", style="dim") if newest.stale else Text(text)


def _risk(prediction: Prediction | None) -> Text:
    """The calibrated probability of sepsis within its horizon; with a tilde where NEWS2 stands in for the model."""
    if prediction is None or prediction.calibrated_probability is None:
        return Text("–", style="dim")
    text = f"{prediction.calibrated_probability:.0%}"
    return Text(text) if prediction.quality == "ok" else Text(f"~{text}", style="dim")


def _trend(trend: tuple[float | None, ...]) -> Text:
    top = len(_BARS) - 1
    bars = (" " if value is None else _BARS[min(top, int(value / _TREND_TOP * top + 0.5))] for value in trend)
    return Text("".join(bars))


def _alerts(alerts: tuple[OpenAlert, ...], gap: str) -> Text:
    text = Text()
    for place, alert in enumerate(alerts):
        text.append(" " * bool(place))
        stands = STATES.get(alert.state, "") + "?" * alert.stale
        text.append(
            f"{MARKS[alert.priority]}{gap}{alert.condition} {_age(alert.age_s)}{stands}", PRIORITY_STYLE[alert.priority]
        )
    return text


def _log(alerts: list[Alert], width: int) -> Table:
    table = _table()
    table.show_header = False
    _columns(table, LOG)
    for alert in alerts:
        style = PRIORITY_STYLE[alert.priority]
        table.add_row(
            f"{alert.observed_at:%H:%M}",
            alert.bed or alert.unit or alert.patient_id[-5:],
            Text(MARKS[alert.priority], style),
            Text(alert.transition, style if alert.transition in ("raised", "worsened", "escalated") else "dim"),
            alert.condition,
            alert.reason,
        )
    return table


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 6000:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.0f}h" if seconds < 360_000 else f"{seconds / 86400:.0f}d"


def clock(at: datetime | None) -> str:
    """The ward's time of day."""
    return "--:--" if at is None else f"{at:%d %b %H:%M}"

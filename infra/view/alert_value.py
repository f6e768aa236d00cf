"""What alerts cost and are worth, from the counters of all workers: the figures, and as tables for a terminal. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wardstream.agents import metrics as m
from wardstream.agents.meters import Metric, quantile
from wardstream.infra.view.pipeline import Counted

ANY = "*"
_BEFORE = "†"
_SHARED = ("answered", "escalated", "retracted")  # are shown as shares of what was raised
SHIFT_H = 8.0
DAY_H = 24.0
_LABEL = re.compile(r'[a-z_]+="([^"]*)"')

Value = TypeVar("Value")
Class = tuple[str, str, str]
"""Condition, priority, and whether it is silent: yes or no."""


@dataclass
class Figures:
    """Of alerts of one class. `what` and `verdicts` are numbers of alerts, `caught` of outcomes; times in seconds."""

    what: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    caught: float = 0.0
    answered: Counter[int] = field(default_factory=Counter)
    lead: Counter[int] = field(default_factory=Counter)


@dataclass
class Totals:
    """All figures: by class, and by unit; `outcomes` are those that were judged, `overtaken` what came too late."""

    classes: dict[Class, Figures] = field(default_factory=dict)
    unit_alerts: Counter[str] = field(default_factory=Counter)
    patient_hours: Counter[str] = field(default_factory=Counter)
    clock_hours: float = 0.0
    outcomes: float = 0.0
    overtaken: float = 0.0

    def of(self, condition: str, priority: str, silent: str) -> Figures:
        """The figures of a class, to be added to."""
        return self.classes.setdefault((condition, priority, silent), Figures())

    @property
    def patient_days(self) -> float:
        return sum(self.patient_hours.values()) / DAY_H


def totals(counted: Counted) -> Totals:
    """Add up the series. What is counted of each alert once is added to the classes that are shown as sums, too."""
    found = Totals()
    for labels, value in _series(counted.counters, m.ALERT_EPISODES):
        for place in _classes(*labels[:3]):
            found.of(*place).what[labels[3]] += int(value)
    for labels, value in _series(counted.counters, m.ALERT_VERDICTS):
        for place in _classes(*labels[:3]):
            found.of(*place).verdicts[labels[3]] += int(value)
    for labels, value in _series(counted.counters, m.OUTCOMES_CAUGHT):
        found.of(*labels[:3]).caught += value
    for labels, counts in _series(counted.histograms, m.ALERT_ANSWERED):
        for place in _classes(labels[0], labels[1], "no"):
            found.of(*place).answered.update(counts)
    for labels, counts in _series(counted.histograms, m.ALERT_LEAD):
        found.of(*labels).lead.update(counts)
    for (unit,), value in _series(counted.counters, m.UNIT_ALERTS):
        found.unit_alerts[unit] += int(value)
    for (unit,), value in _series(counted.counters, m.PATIENT_HOURS):
        found.patient_hours[unit] += int(value)
    found.clock_hours = sum(value for _, value in _series(counted.counters, m.CLOCK_HOURS))
    found.outcomes = sum(value for _, value in _series(counted.counters, m.OUTCOMES_JUDGED))
    found.overtaken = sum(value for _, value in _series(counted.counters, m.VERDICTS_OVERTAKEN))
    return found


def value_tables(counted: Counted, title: str) -> RenderableType:
    """A table by class and one by unit, and what the figures rest on."""
    found = totals(counted)
    since = "" if counted.since is None else f", since {counted.since:%Y-%m-%d %H:%M} UTC"
    rests = (
        f"{found.patient_days:,.1f} patient-days, {found.outcomes:,.0f} outcomes judged, "
        f"{found.overtaken:,.0f} reports after the verdict{since}"
    )
    notes = [Text(rests, style="dim")]
    if any(max(one.what[what] for what in _SHARED) > one.what["raised"] for one in found.classes.values()):
        notes.append(Text(f"{_BEFORE} alerts, not a share: some were raised before the workers' start", style="dim"))
    return Group(_by_class(found, title), *notes, Text(""), _by_unit(found))


def _by_class(found: Totals, title: str) -> Table:
    table = _table(title, "alerts", "priority")
    for name in ("number", "a patient-day", "answered", "p50", "p95", "escalated", "retracted", "useful"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("PPV", "sensitivity", "lead p50"):
        table.add_column(name, justify="right", no_wrap=True)
    for condition, priority, silent in sorted(found.classes, key=lambda one: (one[2], one)):
        if (silent == "yes" and condition == ANY) or _repeats(found, condition, priority, silent):
            continue
        one = found.classes[condition, priority, silent]
        raised, rated = one.what["raised"], one.what["useful"] + one.what["not_useful"]
        judged = one.verdicts["true"] + one.verdicts["false"]
        table.add_row(
            ("all" if condition == ANY else condition) + (" (silent)" if silent == "yes" else ""),
            "" if priority == ANY else priority,
            f"{raised:,}",
            _rate(one.what["in_stay"], found.patient_days),
            _share(one.what["answered"], raised),
            _time(quantile(one.answered, 0.5)),
            _time(quantile(one.answered, 0.95)),
            _share(one.what["escalated"], raised),
            _share(one.what["retracted"], raised),
            _share_of(one.what["useful"], rated),
            _share_of(one.verdicts["true"], judged),
            _share_of(one.caught, found.outcomes),
            _time(quantile(one.lead, 0.5)),
        )
    return table


def _by_unit(found: Totals) -> Table:
    table = _table("By unit, silent ones apart; a shift is 8 hours", "unit")
    for name in ("alerts", "patient-days", "a patient-day", "a shift"):
        table.add_column(name, justify="right", no_wrap=True)
    for unit in sorted(found.unit_alerts.keys() | found.patient_hours.keys()):
        alerts, days = found.unit_alerts[unit], found.patient_hours[unit] / DAY_H
        shift = _rate(alerts, found.clock_hours / SHIFT_H)
        table.add_row(unit or "not known", f"{alerts:,}", f"{days:,.1f}", _rate(alerts, days), shift)
    return table


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _classes(condition: str, priority: str, silent: str) -> Iterator[Class]:
    """The classes that an alert is counted in."""
    for one in (condition, ANY):
        for other in (priority, ANY):
            yield one, other, silent


def _repeats(found: Totals, condition: str, priority: str, silent: str) -> bool:
    """Whether a sum over priorities has one of them only, and would be said twice."""
    priorities = {one[1] for one in found.classes if one[0] == condition and one[2] == silent}
    return priority == ANY and condition != ANY and len(priorities) == 2


def _series(values: Mapping[str, Value], metric: Metric) -> Iterator[tuple[list[str], Value]]:
    """The label values and values of a metric's series."""
    for series, value in values.items():
        if series.partition("{")[0] == metric.name:
            yield _LABEL.findall(series), value


def _share(part: float, whole: float) -> str:
    """Of what was raised since the start.

    Counters begin anew with each worker and alerts do not: where more has come of alerts than were raised since, a
    share would mean nothing, and the number is shown.
    """
    if part > whole:
        return f"{part:,.0f}{_BEFORE}"
    return f"{part / whole:.0%}" if whole else ""


def _share_of(part: float, whole: float) -> str:
    return f"{part / whole:.0%} of {whole:,.0f}" if whole else ""


def _rate(number: float, by: float) -> str:
    return f"{number / by:.2f}" if by else ""


def _time(seconds: float | None) -> str:
    """In a unit that suits it. Quantiles are the upper bounds of their classes: 9 % off at the most."""
    if seconds is None:
        return ""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"

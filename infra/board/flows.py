"""flow.v1 as the board shows it: each unit's last days, its newest forecast, and how good forecasts have been."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from wardstream.agents.metrics import (
    FLOW_COVERED,
    FLOW_CRPS,
    FLOW_ERROR,
    FLOW_PINBALL,
    FLOW_SCORED,
    FLOW_UNIT_COVERED,
    FLOW_UNIT_ERROR,
    FLOW_UNIT_SCORED,
)
from wardstream.infra.board.shelf import Audience
from wardstream.infra.view.pipeline import Value
from wardstream.schemas.flow import Flow

FORECAST: Final = "forecast"  # as the forecaster whose forecasts are published is counted

HOURS: Final = 72
MOST_UNITS: Final = 1024
_SCORED: Final = frozenset((FLOW_SCORED.name, FLOW_UNIT_SCORED.name))
_MEASURES: Final = {
    **dict.fromkeys((FLOW_ERROR.name, FLOW_UNIT_ERROR.name), "mae"),
    FLOW_CRPS.name: "crps",
    FLOW_PINBALL.name: "pinball",
    FLOW_UNIT_COVERED.name: "covered_80",
}
_Key = tuple[str, ...]
"""Unit, what, forecaster, horizon."""


class Flows:
    """What units last said."""

    def __init__(self) -> None:
        self._hours: dict[str, dict[datetime, Flow]] = {}
        self._forecasts: dict[str, Flow] = {}

    def take(self, flow: Flow) -> None:
        """Take a record in: an hour that is told again takes the place of what was told before."""
        if flow.ended:
            self._hours.pop(flow.unit, None)
            self._forecasts.pop(flow.unit, None)
            return
        if flow.unit not in self._hours and len(self._hours) >= MOST_UNITS:
            return
        hours = self._hours.setdefault(flow.unit, {})
        hours[flow.hour_from] = replace(flow, ahead=(), course=())
        newest = max(hours)
        for old in [at for at in hours if at <= newest - timedelta(hours=HOURS)]:
            del hours[old]
        known = self._forecasts.get(flow.unit)
        if flow.ahead and (known is None or flow.hour_from >= known.hour_from):
            self._forecasts[flow.unit] = flow

    def units(self, audience: Audience) -> set[str]:
        """Units of which an audience sees the flow."""
        return {unit for unit in self._hours if audience.sees(unit)}

    def rows(self, audience: Audience) -> list[dict[str, Any]]:
        """The units that an audience sees, by name."""
        return [self._row(unit) for unit in sorted(self.units(audience))]

    def _row(self, unit: str) -> dict[str, Any]:
        hours = [flow for _, flow in sorted(self._hours[unit].items())]
        last, said = hours[-1], self._forecasts.get(unit)
        return {
            "unit": unit,
            "census": last.census,
            "staffed": last.staffed if said is None or last.staffed is not None else said.staffed,
            "hours": [
                (one.hour_from, one.census, one.admissions + one.transfers_in, one.discharges + one.transfers_out)
                for one in hours
            ],
            "made_at": None if said is None else said.observed_at,
            "ahead": [] if said is None else [_whole(one) for one in said.ahead],
            "course": () if said is None else said.course,
            "peak_h": None if said is None else said.peak_h,
            "silent": last.silent,
        }


def _whole(ahead: Any) -> dict[str, Any]:
    """A forecast with what is not known as null."""
    return {name: getattr(ahead, name) for name in ahead.__struct_fields__}


def quality(values: list[Value], audience: Audience) -> list[dict[str, Any]]:
    """How good forecasts have been since the processes' start: of all units together and of each forecaster, and what
    was published of each unit that an audience sees.

    Parameters
    ----------
    values : list of Value
        Of metrics.v1, by series.
    """
    scored: dict[_Key, float] = {}
    sums: dict[_Key, dict[str, float]] = {}
    for value in values:
        labels = labels_of(value.labels)
        key = tuple(labels.get(name, "") for name in ("unit", "what", "forecaster", "horizon_h"))
        if value.name in _SCORED:
            scored[key] = value.now
        elif value.name in _MEASURES:
            sums.setdefault(key, {})[_MEASURES[value.name]] = value.now
        elif value.name == FLOW_COVERED.name:
            sums.setdefault(key, {})[f"covered_{labels.get('percent', '')}"] = value.now
    found = []
    for key, forecasts in sorted(scored.items()):
        unit, what, forecaster, horizon = key
        if forecasts > 0 and horizon.isdecimal() and (not unit or audience.sees(unit)):
            found.append(
                {
                    "unit": unit or None,
                    "target": what,
                    "forecaster": forecaster or FORECAST,
                    "horizon_h": int(horizon),
                    "forecasts": int(forecasts),
                    "measures": {name: total / forecasts for name, total in sums.get(key, {}).items()},
                }
            )
    return found


def labels_of(labels: str) -> dict[str, str]:
    """Labels as Prometheus writes them, by name."""
    found = {}
    for part in labels.split('",'):
        name, _, value = part.partition('="')
        if name:
            found[name] = value.removesuffix('"')
    return found

"""The file of `WARDSTREAM_FLOW_FILE`: what a hospital states of its units, in TOML.

timezone = "Europe/Berlin"      # by which the units live; UTC if it is not stated
patients_per_nurse = 6          # of units that state none themselves
[special]                       # days that are not like others, known long before: each name has one effect
"2026-12-25" = ["christmas"]
[units.ED]
emergency = true                # who leaves it for another unit has been admitted
[units."Ward 4B"]
staffed = 34                    # beds with staff
patients_per_nurse = 5
[units."Day clinic"]
closed = ["saturday", "sunday", "christmas"]  # weekdays and special days on which nobody comes
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from wardstream.infra.settings import PREFIX, Settings, SettingsError
from wardstream.models.flow.calendar import WEEKDAYS, Calendar
from wardstream.models.flow.site import Site, UnitRules

_Staffed = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
_Ratio = Annotated[float, msgspec.Meta(ge=0.1, le=1_000)]


class _Unit(msgspec.Struct, forbid_unknown_fields=True):
    staffed: _Staffed | None = None
    patients_per_nurse: _Ratio | None = None
    emergency: bool = False
    closed: frozenset[str] = frozenset()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    timezone: str = "UTC"
    patients_per_nurse: _Ratio | None = None
    special: dict[date, tuple[str, ...]] = {}
    units: dict[str, _Unit] = {}


def flow_site(settings: Settings) -> Site:
    """What the hospital states; nothing, where there is no file.

    Raises
    ------
    SettingsError
        The file cannot be read, or states what cannot be.
    """
    if settings.flow_file is None:
        return Site()
    try:
        return _site(settings.flow_file)
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise SettingsError(f"{PREFIX}FLOW_FILE cannot be used: {error}") from None


def _site(path: Path) -> Site:
    raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    file = msgspec.convert(raw, _File)
    calendar = Calendar(ZoneInfo(file.timezone), file.special)
    units = {}
    for name, unit in file.units.items():
        unknown = unit.closed.difference(WEEKDAYS, calendar.names)
        if unknown:
            raise ValueError(f"units.{name}.closed: no weekday, nor a name in [special]: {', '.join(sorted(unknown))}")
        units[name] = UnitRules(
            staffed=unit.staffed,
            patients_per_nurse=unit.patients_per_nurse or file.patients_per_nurse,
            emergency=unit.emergency,
            closed=unit.closed,
        )
    return Site(calendar, units, UnitRules(patients_per_nurse=file.patients_per_nurse))

"""What a hospital states of its units."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from wardstream.infra.flow_site import flow_site
from wardstream.infra.settings import Settings, SettingsError

GOOD = """
timezone = "Europe/Berlin"
patients_per_nurse = 6
[special]
"2026-12-25" = ["christmas"]
[units.ED]
emergency = true
[units."Ward 4B"]
staffed = 34
patients_per_nurse = 5
closed = ["sunday", "christmas"]
"""


def test_units_and_calendar(tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(GOOD)
    site = flow_site(Settings(flow_file=path))
    assert site.departments == {"ED"}
    assert (site.unit("Ward 4B").staffed, site.unit("Ward 4B").patients_per_nurse) == (34, 5.0)
    assert (site.unit("ED").staffed, site.unit("ED").patients_per_nurse) == (None, 6.0)
    assert (site.unit("another").staffed, site.unit("another").patients_per_nurse) == (None, 6.0)
    noon = int(datetime(2026, 12, 25, 11, tzinfo=UTC).timestamp()) // 3600
    assert site.calendar.at(noon).hour_of_week == 4 * 24 + 12
    assert site.calendar.at(noon).special == ("christmas",)
    assert site.calendar.names == ("christmas",)
    assert date(2026, 12, 25).weekday() == 4
    days = {day: noon + 24 * (day - 25) for day in (24, 25, 26, 27, 28)}
    assert [day for day, hour in days.items() if site.is_closed("Ward 4B", hour)] == [25, 27]
    assert not any(site.is_closed("ED", hour) for hour in days.values())


def test_without_a_file_nothing_is_stated() -> None:
    site = flow_site(Settings())
    assert site.departments == frozenset()
    assert site.unit("A").staffed is None


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("staffed = 34", "stafed = 34", "stafed"),
        ("staffed = 34", "staffed = -1", "staffed"),
        ("patients_per_nurse = 5", "patients_per_nurse = -5", "patients_per_nurse"),
        ("patients_per_nurse = 5", "patients_per_nurse = 0", "patients_per_nurse"),
        ("patients_per_nurse = 6", "patients_per_nurse = 0", "patients_per_nurse"),
        ("patients_per_nurse = 6", "patients_per_nurse = -1", "patients_per_nurse"),
        ("patients_per_nurse = 6", "patients_per_nurse = nan", "patients_per_nurse"),
        ("staffed = 34", "staffed = 99999999999999999999", "staffed"),
        ("Europe/Berlin", "Europe/Nowhere", "Europe/Nowhere"),
        ("2026-12-25", "christmas", "special"),
        ("[special]", "[special", "FLOW_FILE"),
        ("sunday", "sundays", "closed"),
        ('"sunday", "christmas"', '"sunday", "xmas"', "closed"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(SettingsError, match="WARDSTREAM_FLOW_FILE") as refused:
        flow_site(Settings(flow_file=path))
    assert named in str(refused.value)

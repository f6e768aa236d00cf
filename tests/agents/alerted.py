"""A patient with an alert, for tests of what follows."""

from __future__ import annotations

from typing import Any

from tests.agents.bedside import Bedside
from tests.events import WELL, admission, vitals
from wardstream.schemas.alerts import Alert

MAN = admission("a", 0, "admit", age_years=70.0, sex="male", unit="4B", bed="1", code_status="dnr")
ILL = WELL | {"respiratory_rate_per_min": 26.0, "heart_rate_bpm": 118.0, "spo2_percent": 92.0}  # 3 + 2 + 2: high
UNWELL = WELL | {"respiratory_rate_per_min": 22.0, "heart_rate_bpm": 118.0, "spo2_percent": 95.0}  # 2 + 2 + 1
POTASSIUM = {"loinc": "2823-3", "unit": "mmol/L"}


async def raised(bedside: Bedside, **values: Any) -> Alert:
    said = await bedside.give(MAN, vitals("v", 1, **(values or ILL)))
    (alert,) = said.alerts
    return alert

"""directives.v1: comfort care and a patient's own thresholds on a lane."""

from __future__ import annotations

import pytest

from tests.agents.alerted import ILL, MAN, UNWELL, raised
from tests.agents.bedside import Bedside, Said
from tests.events import directive, tick, vitals
from wardstream.schemas.directives import Thresholds


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


def steps(said: Said) -> list[tuple[str, str, int]]:
    return [(alert.transition, alert.state, alert.number) for alert in said.alerts]


async def test_comfort_care_closes_and_what_holds_at_its_end_is_raised(bedside: Bedside) -> None:
    first = await raised(bedside)
    said = await bedside.give(directive("c", 10, "comfort_care", 120))
    assert [(one.transition, one.alert_id) for one in said.alerts] == [("closed", first.alert_id)]
    order = directive("c", 10, "comfort_care", 120)
    assert [(one.until, one.actor) for one in said.alerts] == [(order.expires_at, order.ordered_by)]
    assert (await bedside.give(vitals("w", 60, **ILL), tick(61))).alerts == []
    bedside.restart()
    said = await bedside.give(tick(119), tick(120), tick(121))
    assert [(one.transition, one.condition) for one in said.alerts] == [("raised", "news2")]
    assert said.alerts[0].alert_id != first.alert_id


async def test_comfort_care_that_is_taken_back_suppresses_no_more(bedside: Bedside) -> None:
    await raised(bedside)
    await bedside.give(directive("c", 10, "comfort_care", 120))
    said = await bedside.give(directive("k", 20, "comfort_care", 120, status="cancelled", supersedes="c"), tick(21))
    assert [one.transition for one in said.alerts] == ["raised"]


async def test_a_patients_own_thresholds_hold_until_they_end(bedside: Bedside) -> None:
    await bedside.give(MAN, directive("t", 0, "thresholds", 60, condition="news2", thresholds=Thresholds(medium=6.0)))
    said = await bedside.give(vitals("v", 1, **UNWELL), tick(59))
    assert said.alerts == [], "five points are usual here"
    bedside.restart()
    said = await bedside.give(tick(60))
    assert [(one.transition, one.priority) for one in said.alerts] == [("raised", "medium")]


@pytest.mark.parametrize("status", ["cancelled", "corrected"])
async def test_an_order_that_was_ended_sooner_does_not_hold_again(bedside: Bedside, status: str) -> None:
    await raised(bedside)
    sooner = directive("k", 20, "comfort_care", 30, status=status, supersedes="c")
    said = await bedside.give(directive("c", 10, "comfort_care", 600), sooner, tick(30))
    assert [one.transition for one in said.alerts if one.transition in ("closed", "raised")] == ["closed", "raised"]
    bedside.restart()
    other = directive("t", 33, "thresholds", 60, condition="shock", thresholds=Thresholds(low=1.0))
    said = await bedside.give(tick(31), vitals("w", 32, **ILL), other, tick(34))
    assert "closed" not in [one.transition for one in said.alerts]

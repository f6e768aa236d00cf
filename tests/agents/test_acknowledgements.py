"""acknowledgements.v1: what people say to alerts on a lane."""

from __future__ import annotations

import pytest

from tests.agents.alerted import ILL, UNWELL, raised
from tests.agents.bedside import Bedside, Said
from tests.events import answer, at, event_id, tick, vitals


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


def steps(said: Said) -> list[tuple[str, str, int]]:
    return [(alert.transition, alert.state, alert.number) for alert in said.alerts]


async def test_an_answer_ends_escalation_and_the_alert_comes_again_if_it_persists(bedside: Bedside) -> None:
    first = await raised(bedside)
    given = answer("k", 3, first.alert_id, "acknowledge", seen=1)
    said = await bedside.give(given)
    assert steps(said) == [("acknowledged", "acknowledged", 2)]
    (alert,) = said.alerts
    assert (alert.actor, alert.actor_role, alert.assigned_to, alert.until) == ("s-1", "nurse", "s-1", at(243))
    assert (alert.next_at, alert.caused_by) == (None, event_id("k"))
    assert said.counts["alert_answers_total", ("acknowledge", "taken")] == 1
    again = await bedside.give(answer("k2", 4, first.alert_id, "acknowledge"))
    assert (again.alerts, again.counts["alert_answers_total", ("acknowledge", "repeated")]) == ([], 1)
    assert (await bedside.give(*(tick(minute) for minute in range(5, 243)))).alerts == []
    said = await bedside.give(tick(243))
    assert [one.transition for one in said.alerts] == ["raised_again"]


async def test_answers_to_nobodys_alert_are_counted(bedside: Bedside) -> None:
    said = await bedside.give(answer("k", 3, event_id("none"), "acknowledge"))
    assert said.counts["alert_answers_total", ("acknowledge", "unknown")] == 1
    assert not [key for key in bedside.rows if key.startswith(b"p")], "no patient is made of it"
    await raised(bedside)
    said = await bedside.give(answer("l", 3, event_id("none"), "rate", useful=True))
    assert said.counts["alert_answers_total", ("rate", "unknown")] == 1


async def test_snooze_hand_over_rate_and_resolve(bedside: Bedside) -> None:
    first = await raised(bedside, **UNWELL)
    said = await bedside.give(
        answer("s", 3, first.alert_id, "snooze", snooze_until=at(33)),
        answer("h", 4, first.alert_id, "hand_over", handed_to="night"),
        answer("r", 5, first.alert_id, "rate", useful=False),
    )
    assert steps(said) == [("snoozed", "snoozed", 2), ("handed_over", "snoozed", 3), ("rated", "snoozed", 4)]
    assert (said.alerts[-1].assigned_to, said.alerts[-1].useful, said.alerts[-1].until) == ("night", False, at(33))
    said = await bedside.give(vitals("w", 6, **ILL))
    assert steps(said) == [("worsened", "raised", 5)], "worse breaks a snooze"
    said = await bedside.give(answer("e", 7, first.alert_id, "resolve"))
    assert steps(said) == [("resolved", "resolved", 6)]
    assert said.alerts[0].actor == "s-1"
    said = await bedside.give(vitals("x", 8, **ILL), tick(9))
    assert said.alerts == [], "silenced"
    said = await bedside.give(tick(37))
    assert [(one.transition, one.priority) for one in said.alerts] == [("raised", "high")], "but not for ever"
    said = await bedside.give(answer("u", 38, first.alert_id, "rate", useful=True))
    assert [(one.transition, one.state, one.alert_id) for one in said.alerts] == [("rated", "resolved", first.alert_id)]

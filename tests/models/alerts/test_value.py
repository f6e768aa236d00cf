"""What is counted of an alert while it lives: each thing once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.events import at, event_id
from wardstream.models.alerts.life import Change
from wardstream.models.alerts.states import OpenAlert, pin
from wardstream.models.alerts.value import HOUR, KEPT_ALERTS, Ledger, News, Watched
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Answer, Evidence, Transition

DAY_S = 24 * HOUR
RAISED = at(0).timestamp()
ID = event_id("alert")


def answer(minutes: float, action: str = "acknowledge", **fields: Any) -> Acknowledgement:
    return Acknowledgement(
        event_id=event_id(f"answer {minutes}"),
        source="test",
        patient_id="P1",
        observed_at=at(minutes),
        received_at=at(minutes),
        alert_id=ID,
        action=action,  # type: ignore[arg-type]
        actor="A1",
        **fields,
    )


def change(transition: Transition, given: Acknowledgement | None = None, **fields: Any) -> Change:
    condition = fields.pop("condition", "news2")
    about: dict[str, Any] = {
        "alert_id": ID,
        "kind": "score",
        "priority": "medium",
        "raised_at": RAISED,
        "stepped_at": RAISED,
        "reason": "NEWS2 is 6",
        "evidence": pin(Evidence(caused_by=event_id("v"))),
    }
    return Change(condition, OpenAlert(**about | fields), transition, "NEWS2 is 6", answer=given)


def follow(ledger: Ledger, *changes: Change) -> list[str]:
    """What was counted, in order; the ledger goes through its row each time."""
    found: list[str] = []
    for one in changes:
        news = ledger.follow(one, DAY_S, in_stay=True)
        found += () if news is None else news.what
        again = msgspec.json.decode(msgspec.json.encode(ledger), type=Ledger)
        assert again == ledger
    return found


def test_each_thing_is_counted_once() -> None:
    ledger = Ledger()
    first, second = answer(5), answer(9, "snooze")
    assert follow(ledger, change("raised")) == ["raised", "in_stay"]
    assert follow(ledger, change("escalated", state="escalated"), change("escalated", state="escalated")) == [
        "escalated"
    ]
    assert follow(ledger, change("acknowledged", first), change("snoozed", second)) == ["answered"]
    assert follow(ledger, change("worsened", priority="high"), change("raised_again")) == []
    assert follow(ledger, change("rated", answer(11, "rate"), useful=False)) == ["not_useful"]
    assert follow(ledger, change("rated", answer(12, "rate"), useful=True)) == [], "the first word counts"
    assert follow(ledger, change("retracted", state="retracted", useful=True)) == ["retracted"]


def test_who_only_rates_has_not_answered() -> None:
    ledger = Ledger()
    assert follow(ledger, change("raised"), change("rated", answer(1, "rate"), useful=True))[2:] == ["useful"]
    assert follow(ledger, change("resolved", answer(2, "resolve"), state="resolved", useful=True)) == ["answered"]


def test_an_answer_may_say_that_it_was_useful() -> None:
    ledger = Ledger()
    assert follow(ledger, change("raised"), change("acknowledged", answer(1), useful=True))[2:] == [
        "answered",
        "useful",
    ]


@pytest.mark.parametrize(("minutes", "after_s"), [(5, 300.0), (-1, 0.0)])
def test_the_time_to_the_first_answer(minutes: float, after_s: float) -> None:
    """Clocks of two machines differ: an answer is never before its alert."""
    ledger = Ledger()
    follow(ledger, change("raised"))
    news = ledger.follow(change("acknowledged", answer(minutes)), DAY_S, in_stay=True)
    assert isinstance(news, News)
    assert news.after_s == after_s


def test_an_alert_stays_in_the_class_it_was_raised_in() -> None:
    ledger = Ledger()
    follow(ledger, change("raised", condition="critical_result.potassium", priority="low", silent=True))
    news = ledger.follow(change("escalated", priority="high", silent=True), DAY_S, in_stay=False)
    assert news is not None
    assert (news.alert.condition, news.alert.priority, news.alert.silent) == ("critical_result", "low", True)


def test_who_is_not_admitted_is_not_in_a_stay() -> None:
    news = Ledger().follow(change("raised"), DAY_S, in_stay=False)
    assert news is not None
    assert news.what == ("raised",)


def test_what_is_not_known_is_not_counted() -> None:
    """Raised before this was counted, or long over."""
    ledger = Ledger()
    assert follow(ledger, change("escalated"), change("resolved", state="resolved")) == []
    assert ledger == Ledger()


def test_the_horizon_is_that_of_the_prediction() -> None:
    prediction = Answer(event_id=event_id("p"), model="sepsis", version="1", calibrated_probability=0.4, horizon_h=6)
    evidence = pin(Evidence(caused_by=event_id("tick"), prediction=prediction))
    for kind, horizon_s in (("score", DAY_S), ("prediction", 6 * HOUR), ("staleness", 0.0)):
        ledger = Ledger()
        follow(ledger, change("raised", kind=kind, evidence=evidence))
        assert ledger.alerts[ID].horizon_s == horizon_s
        assert ledger.due(HOUR) == (None if horizon_s == 0 else (RAISED + horizon_s + HOUR,) * 2)


def test_old_data_is_watched_until_it_ends() -> None:
    ledger = Ledger()
    assert follow(ledger, change("raised", kind="staleness"), change("escalated", kind="staleness"))[2:] == [
        "escalated"
    ]
    follow(ledger, change("closed", kind="staleness", state="closed"))
    assert ledger == Ledger()


def test_too_many_are_counted_as_such() -> None:
    ledger = Ledger()
    for number in range(KEPT_ALERTS):
        follow(ledger, change("raised", alert_id=UUID(int=number)))
    assert follow(ledger, change("raised"), change("escalated")) == ["raised", "in_stay", "unwatched"]
    assert len(ledger.alerts) == KEPT_ALERTS


def test_two_ids_of_one_patient() -> None:
    mine, theirs = Ledger(), Ledger()
    follow(mine, change("raised"))
    follow(theirs, change("raised", alert_id=UUID(int=1)))
    mine.expect(RAISED + 5)
    theirs.expect(RAISED + 5)
    theirs.expect(RAISED + 7)
    theirs.judged = (RAISED - 9,)
    mine.join(theirs)
    assert mine.alerts.keys() == {ID, UUID(int=1)}
    assert (mine.outcomes, mine.judged) == ((RAISED + 5, RAISED + 7), (RAISED - 9,))
    assert mine.due(HOUR) == (RAISED + 5 + HOUR, RAISED + DAY_S + HOUR)
    assert mine.alerts[ID] == Watched("news2", "medium", RAISED, DAY_S)

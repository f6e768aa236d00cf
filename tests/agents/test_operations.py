"""Operators' alerts, from records to transitions: raised, escalated, answered, ended, once each, whatever is killed."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from tests.agents.operations_lane import (
    Killed,
    OperationsLane,
    answers,
    hour,
    minute,
    notice,
    said,
    snapshot,
    stale_alert,
)
from wardstream.agents import metrics as m
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.models.operations import Counts
from wardstream.schemas.operator_alerts import OperatorAlert
from wardstream.schemas.output_id import output_id
from wardstream.schemas.topics import TOPICS


@pytest.fixture
def lane() -> OperationsLane:
    return OperationsLane()


async def test_a_silent_feed_from_the_notice_to_its_end(lane: OperationsLane) -> None:
    await lane.pass_to(0)
    await lane.give(notice("n", 0.5))
    assert lane.told == [], "a tick judges"
    (raised,) = await lane.pass_to(1)
    assert (raised.condition, raised.kind, raised.subject) == ("feed_silent", "feed", "lab")
    assert (raised.transition, raised.state, raised.priority, raised.number) == ("raised", "raised", "medium", 1)
    assert raised.values == {"silent_min": 61.0}
    assert raised.reason == "no message from lab for 61 minutes"
    assert raised.to == ("interfaces",)
    assert raised.next_at == minute(31)
    assert raised.observed_at == raised.raised_at == minute(1)
    assert raised.policy == DEFAULT.digest
    assert raised.suggestion is not None
    assert raised.event_id == output_id(raised.alert_id, "1")
    (escalated,) = await lane.pass_to(31)
    assert (escalated.transition, escalated.to, escalated.tier) == ("escalated", ("interfaces", "it_on_call"), 1)
    assert escalated.values == raised.values, "it repeats what it stands on"
    (acknowledged,) = await lane.answer(escalated, "acknowledge", 32, seen=2, role="operator")
    assert (acknowledged.state, acknowledged.actor, acknowledged.actor_role) == ("acknowledged", "m.garcia", "operator")
    assert acknowledged.assigned_to == "m.garcia"
    assert acknowledged.until == minute(31 + 240)
    await lane.give(notice("n", 40, "resolved", began=0.5))
    (resolved,) = await lane.pass_to(41)
    assert (resolved.transition, resolved.state, resolved.number) == ("resolved", "resolved", 4)
    assert resolved.reason == "a message from lab came"
    assert resolved.suggestion is None
    assert {one.alert_id for one in lane.told} == {raised.alert_id}
    assert await lane.pass_to(700) == []


async def test_silence_that_lasts_worsens_and_breaks_the_acknowledgement(lane: OperationsLane) -> None:
    await lane.give(notice("n", 0))
    (raised,) = await lane.pass_to(0)
    await lane.answer(raised, "acknowledge", 1)
    assert await lane.pass_to(179) == []
    (worsened,) = await lane.pass_to(180)  # the last message came an hour before the notice
    assert (worsened.transition, worsened.priority, worsened.values) == ("worsened", "high", {"silent_min": 240.0})
    assert worsened.to == ("interfaces", "it_on_call")


async def test_after_a_resolution_by_hand_it_rests_then_comes_again(lane: OperationsLane) -> None:
    await lane.give(notice("n", 0))
    (raised,) = await lane.pass_to(0)
    (ended,) = await lane.answer(raised, "resolve", 0)
    assert (ended.state, ended.actor) == ("resolved", "m.garcia")
    assert await lane.pass_to(29) == []
    (again,) = await lane.pass_to(30)
    assert again.alert_id != raised.alert_id
    (rated,) = await lane.answer(raised, "rate", 31, useful=False)
    assert (rated.alert_id, rated.useful, rated.transition) == (raised.alert_id, False, "rated")


async def test_answers_that_change_nothing_are_counted_as_what_they_are(lane: OperationsLane) -> None:
    await lane.give(notice("n", 0))
    (raised,) = await lane.pass_to(0)
    assert await lane.answer(raised, "acknowledge", -1) == [], "it was given before the alert was raised"
    (_,) = await lane.answer(raised, "acknowledge", 1)
    assert await lane.answer(raised, "acknowledge", 2) == []
    other = replace(raised, alert_id=raised.event_id)
    assert await lane.answer(other, "acknowledge", 3) == []
    counted = {labels: n for (metric, labels), n in lane.settings.meters.values.items() if metric is m.ANSWERS}
    assert counted == {("acknowledge", one): 1 for one in ("outdated", "taken", "repeated", "unknown")}


async def test_two_gateways_may_miss_one_feed_and_notices_may_come_twice(lane: OperationsLane) -> None:
    await lane.give(notice("a", 0), notice("b", 5), notice("a", 0), notice("x", 5, "resolved"))
    assert said(await lane.pass_to(5)) == [("feed_silent", "raised", "medium")]
    await lane.give(notice("a", 6, "resolved"))
    assert await lane.pass_to(7) == []
    await lane.give(notice("b", 8, "resolved"), notice("b", 8, "resolved"))
    assert said(await lane.pass_to(8)) == [("feed_silent", "resolved", "medium")]


async def test_a_record_that_comes_again_later_says_nothing_new(lane: OperationsLane) -> None:
    await lane.give(notice("a", 0))
    await lane.pass_to(10, begin=0)
    before = lane.subject("feed/lab").troubles
    await lane.give(notice("a", 0))
    assert lane.subject("feed/lab").troubles == before != {}


async def test_corrections_change_neither_the_newest_census_nor_the_forecast(lane: OperationsLane) -> None:
    await lane.give(hour(2, census=10, full={1: 0.4}))
    before = lane.subject("unit/4B")
    await lane.give(hour(1, census=99, status="corrected"), hour(0, census=99, full={1: 0.9}))
    after = lane.subject("unit/4B")
    assert (after.census, after.ahead, after.ahead_at) == (10, before.ahead, before.ahead_at)
    await lane.give(hour(2, census=11, status="corrected"))
    assert (lane.subject("unit/4B").census, lane.subject("unit/4B").ahead) == (11, before.ahead)
    await lane.give(hour(3, census=0, ended=True))
    assert (lane.subject("unit/4B").census, lane.subject("unit/4B").ahead) == (None, ())


async def test_a_condition_that_becomes_a_patients_is_closed(lane: OperationsLane) -> None:
    await lane.give(notice("n", 0))
    await lane.pass_to(0)
    own = '[conditions.feed_silent]\nkind = "staleness"\npriority = "low"\n'
    text = DEFAULT.text.replace("[conditions.feed_silent]", "[conditions.feed_quiet]") + own
    lane.policy = parse_policy(text)
    assert ("feed_silent", "closed", "medium") in said(await lane.pass_to(1))


async def test_rejects_and_drift_are_conditions_of_their_own(lane: OperationsLane) -> None:
    await lane.give(notice("r", 0, condition="rejects"), notice("d", 0, condition="drift", feed="risk"))
    told = await lane.pass_to(0)
    assert [(one.condition, one.kind, one.subject) for one in told] == [
        ("feed_unusable", "feed", "lab"),
        ("model_drift", "model", "risk"),
    ]
    assert [one.values for one in told] == [{"rejects_min": 0.0}, {"drift_min": 0.0}]


async def test_a_degraded_model_is_held_before_it_is_told_and_ends_below_its_end(lane: OperationsLane) -> None:
    await lane.pass_to(0)
    await lane.give(snapshot("w", 0.5, answers(ok=80, degraded=20, abstained=500), answered=100))
    assert await lane.pass_to(5) == []
    (raised,) = await lane.pass_to(6)  # held since the first tick that saw it
    assert (raised.condition, raised.priority, raised.subject) == ("model_degraded", "medium", "sepsis")
    assert raised.values == {"degraded_share": 0.2, "answers": 100, "failed_share": 0.0, "requests": 100}
    await lane.give(snapshot("w", 7, answers(ok=360, degraded=20, abstained=500), answered=380))
    assert await lane.pass_to(8) == [], "between its thresholds: 5.3 %"
    await lane.give(snapshot("w", 9, answers(ok=380, degraded=20, abstained=500), answered=400))
    (resolved,) = await lane.pass_to(10)
    assert (resolved.transition, resolved.values["degraded_share"], resolved.values["answers"]) == (
        "resolved",
        0.05,
        400,
    )
    await lane.pass_to(25 * 60, begin=25 * 60)
    assert lane.subject("model/sepsis").answers == {}, "no policy looks further back than a day"


async def test_it_is_not_told_where_it_was_over_before_the_hold(lane: OperationsLane) -> None:
    await lane.pass_to(0)
    await lane.give(snapshot("w", 0.5, answers(ok=80, degraded=20)))
    await lane.pass_to(4)
    await lane.give(snapshot("w", 4.5, answers(ok=480, degraded=20)))
    assert await lane.pass_to(60) == []


async def test_requests_that_fail_count_where_answers_do_not_tell(lane: OperationsLane) -> None:
    await lane.pass_to(0)
    await lane.give(snapshot("w", 0.5, answers(failed=80), answered=20))
    (raised,) = await lane.pass_to(6)
    assert (raised.priority, raised.values) == ("high", {"failed_share": 0.8, "requests": 100})
    assert raised.reason == "sepsis: 80% of the requests failed in 1 h"


async def test_counts_are_what_was_added_since_the_process_last_said_so(lane: OperationsLane) -> None:
    await lane.pass_to(0)
    await lane.give(
        snapshot("old", 0, answers(ok=1000), started=-600),  # of before we listened
        snapshot("old", 0.1, answers(ok=1004), started=-600),
        snapshot("old", 0.1, answers(ok=1004), started=-600),
        snapshot("old", 0.05, answers(ok=1002), started=-600),
        snapshot("new", 0.2, answers(ok=7, degraded=1), started=0),
    )
    assert _all(lane) == Counts(ok=11, degraded=1)
    assert set(lane.subject("").processes) == {"old", "new"}
    await lane.give(snapshot("new", 61, answers(ok=8, degraded=1)))
    assert set(lane.subject("").processes) == {"new"}, "the other has ended"
    assert _all(lane) == Counts(ok=12, degraded=1)


def _all(lane: OperationsLane) -> Counts:
    found = Counts()
    for counts in lane.subject("model/sepsis").answers.values():
        found = found.plus(counts)
    return found


async def test_answers_of_before_the_window_count_no_more_and_too_few_say_nothing(lane: OperationsLane) -> None:
    await lane.pass_to(0)
    await lane.give(snapshot("w", 0.5, answers(degraded=100)))
    assert said(await lane.pass_to(6)) == [("model_degraded", "raised", "high")]
    (stale,) = [one for one in await lane.pass_to(60) if one.transition == "went_stale"]
    assert (stale.stale, stale.state, stale.observed_at) == (True, "escalated", minute(60))
    await lane.give(snapshot("w", 60.5, answers(ok=19, degraded=100)))
    assert await lane.pass_to(61) == [], "19 answers are too few"
    await lane.give(snapshot("w", 61.5, answers(ok=20, degraded=100)))
    assert [one.transition for one in await lane.pass_to(62)] == ["resolved"]
    assert await lane.pass_to(63) == []


async def test_stale_data_are_a_share_of_who_is_in_the_unit(lane: OperationsLane) -> None:
    await lane.give(hour(0, census=10))
    await lane.give(*(stale_alert(str(n), 0) for n in range(2)), stale_alert("other", 0, kind="score"))
    await lane.give(stale_alert("2", 0), stale_alert("2", 0), stale_alert("nowhere", 0, unit=None), partition=1)
    assert await lane.pass_to(9, begin=0) == []
    (raised,) = await lane.pass_to(10)
    assert (raised.condition, raised.kind, raised.subject, raised.priority) == ("data_stale", "data", "4B", "medium")
    assert raised.values == {"stale_share": 0.3, "stale_patients": 3, "patients": 10}
    await lane.give(stale_alert("2", 11, unit="5C"))  # the patient is elsewhere now
    assert await lane.pass_to(11) == []
    assert (lane.subject("unit/4B").stale, lane.subject("unit/5C").stale) == (2, 1)
    await lane.give(stale_alert("1", 11, "resolved"), stale_alert("1", 11, "resolved"))
    assert said(await lane.pass_to(12)) == [("data_stale", "resolved", "medium")]
    await lane.give(stale_alert("0", 13, "closed"), stale_alert("2", 13, "expired", unit="5C"))
    assert (lane.subject("unit/4B").stale, lane.subject("unit/5C").stale) == (0, 0)
    assert not any(key.startswith(b"c\0") for key in lane.rows), "nothing is kept of alerts that have ended"


async def test_beds_by_the_worst_hour_that_is_near(lane: OperationsLane) -> None:
    await lane.give(hour(0, full={1: 0.1, 12: 0.5, 24: 0.99}))
    (raised,) = await lane.pass_to(1)
    assert (raised.condition, raised.kind, raised.subject, raised.priority) == ("beds_short", "forecast", "4B", "low")
    assert raised.values == {"full": 0.5, "shortfall_patients": 5.0, "horizon_h": 12}
    assert raised.reason == "4B: in 12 h 50% likely that no staffed bed is free"
    await lane.give(hour(1, full={1: 0.8, 12: 0.7}))
    (worse,) = await lane.pass_to(60)
    assert (worse.transition, worse.priority, worse.values["horizon_h"]) == ("worsened", "medium", 1)
    await lane.give(hour(0, full=None, status="corrected", census=12))
    await lane.give(hour(2, full={1: 0.31, 12: 0.2}))
    assert [one.transition for one in await lane.pass_to(120)] == ["escalated"]
    await lane.give(hour(3, full={1: 0.3, 12: 0.2}))
    assert said(await lane.pass_to(180)) == [("beds_short", "resolved", "medium")]


async def test_a_forecast_that_is_not_told_any_more_leaves_the_alert_stale(lane: OperationsLane) -> None:
    await lane.give(hour(0, full={1: 0.6}))
    assert said(await lane.pass_to(180, begin=0)) == [("beds_short", "raised", "low")]
    (stale,) = await lane.pass_to(181)
    assert (stale.transition, stale.reason) == ("went_stale", "4B: there is no current forecast")
    await lane.give(hour(4, full={1: 0.6}))
    assert [one.transition for one in await lane.pass_to(240)] == ["current_again"]


async def test_a_policy_that_changes_is_obeyed_with_the_next_tick(lane: OperationsLane) -> None:
    await lane.give(notice("n", 0))
    await lane.pass_to(0)
    own = "[units.lab.conditions.feed_silent]\nmedium = 90\n"
    lane.policy = parse_policy(DEFAULT.text + own)
    assert await lane.pass_to(1) == [], "what is open goes on between its thresholds"
    lane.policy = parse_policy(DEFAULT.text.replace("[conditions.feed_silent]", "[conditions.feed_quiet]"))
    told = await lane.pass_to(2)
    assert said(told) == [("feed_quiet", "raised", "medium"), ("feed_silent", "closed", "medium")]
    lane.policy = parse_policy(DEFAULT.text.replace("[conditions.feed_silent]", "[conditions.feed_quiet]") + "\n")
    assert await lane.pass_to(3) == []


async def test_each_minute_is_judged_once_and_time_never_goes_back(lane: OperationsLane) -> None:
    await lane.pass_to(5)
    await lane.give(notice("n", 5))
    await lane.pass_to(5, begin=4)
    assert lane.told == []
    assert lane.subject("").clock == minute(5).timestamp()
    assert said(await lane.pass_to(6)) == [("feed_silent", "raised", "medium")]


async def test_what_is_silent_for_days_is_forgotten_but_not_while_it_is_open(lane: OperationsLane) -> None:
    await lane.give(hour(0), notice("n", 0))
    await lane.pass_to(1, begin=0)
    await lane.pass_to(48 * 60, begin=48 * 60)
    assert {b"p\0unit/4B", b"p\0feed/lab"} < set(lane.rows)
    await lane.pass_to(48 * 60 + 1)
    assert b"p\0unit/4B" not in lane.rows
    assert b"p\0feed/lab" in lane.rows
    await lane.give(notice("n", 48 * 60 + 2, "resolved", began=0))
    await lane.pass_to(48 * 60 + 2)
    await lane.pass_to(96 * 60 + 2, begin=96 * 60 + 2)
    assert b"p\0feed/lab" not in lane.rows


async def test_bad_records_are_buried_and_none_of_a_patient_is_kept(lane: OperationsLane) -> None:
    await lane.give(stale_alert("1", 0))
    for topic in ("notices.v1", "metrics.v1", "flow.v1", "alerts.v1", "operator-answers.v1"):
        lane.append(topic, b"{}")
        assert TOPICS[topic].relayed or TOPICS[topic].role == "input", "it has dead letters"
    await lane.settle()
    assert len(lane.dead) == 5
    assert not any(b"p-1" in key + value for key, value in lane.rows.items())


async def story(lane: OperationsLane) -> list[OperatorAlert]:
    """A day with something of everything."""
    await lane.give(hour(0, census=6, full={1: 0.6, 4: 0.7}), snapshot("w", 0, answers(ok=5)))
    await lane.give(notice("n", 1), *(stale_alert(str(n), 1) for n in range(4)))
    await lane.give(snapshot("w", 1, answers(ok=5, degraded=50)))
    told = await lane.pass_to(40, begin=0)
    for alert in [one for one in told if one.transition == "raised"][:2]:
        await lane.answer(alert, "acknowledge", 41)
    await lane.give(notice("n", 50, "resolved", began=1), *(stale_alert(str(n), 50, "resolved") for n in range(4)))
    await lane.give(hour(1, full={1: 0.1}), snapshot("w", 50, answers(ok=5000, degraded=50)))
    await lane.pass_to(70)
    return lane.told


@pytest.mark.parametrize("after", [False, True])
async def test_killed_in_any_commit_it_tells_the_same(after: bool) -> None:
    whole = await story(OperationsLane())
    assert {one.condition for one in whole} == {"beds_short", "feed_silent", "data_stale", "model_degraded"}
    assert {one.transition for one in whole} == {"raised", "escalated", "acknowledged", "resolved"}
    lane, calls = OperationsLane(), [0]

    def kill() -> None:  # each commit calls twice: before it is made, and after
        calls[0] += 1
        if calls[0] % 7 == (0 if after else 3):
            raise Killed

    lane.kill = kill
    assert await story(lane) == whole
    assert calls[0] > 7


async def test_every_alert_is_told_without_a_gap() -> None:
    by_alert: dict[object, list[int]] = {}
    for one in await story(OperationsLane()):
        by_alert.setdefault(one.alert_id, []).append(one.number)
    assert all(first == 1 for first, *_ in by_alert.values())
    assert all(after == before + 1 for numbers in by_alert.values() for before, after in pairwise(numbers))


async def test_snoozing_is_limited_by_the_policy(lane: OperationsLane) -> None:
    await lane.give(notice("n", 0))
    (raised,) = await lane.pass_to(0)
    (snoozed,) = await lane.answer(raised, "snooze", 0, snooze_until=minute(0) + timedelta(hours=20))
    assert snoozed.until == minute(120)
    assert said(await lane.pass_to(120)) == [("feed_silent", "raised_again", "medium")]

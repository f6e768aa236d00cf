"""Merges across lanes: whatever the order of merges, steps and deaths, one patient is left, who has it all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.lanes import Killed, Lanes
from tests.events import WELL, admission, at, event_id, lab, tick, vitals
from wardstream.agents import handovers
from wardstream.models.joining import MERGED
from wardstream.models.scores import Observations, rule_scores
from wardstream.models.stay import StayLog
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.handovers import Handover
from wardstream.schemas.vitals import Vitals

ILL = WELL | {"heart_rate_bpm": 140.0, "respiratory_rate_per_min": 28.0, "systolic_mmhg": 95.0}  # NEWS2 8
UNWELL = WELL | {"respiratory_rate_per_min": 26.0}  # a single 3: medium


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


@pytest.fixture(params=["other lanes", "one lane"])
def ids(request: pytest.FixtureRequest, lanes: Lanes) -> list[str]:
    """Three ids: of three lanes, or all of one."""
    names = [f"P{number}" for number in range(60)]
    if request.param == "one lane":
        return [name for name in names if lanes.lane_of(name) == 0][:3]
    return [next(name for name in names if lanes.lane_of(name) == lane) for lane in range(3)]


def merge(survives: str, ceases: str, minute: float, received: float | None = None) -> Admission:
    name = f"{ceases} into {survives} at {minute}"
    return admission(name, minute, "merge", received, patient_id=survives, merged_patient_id=ceases)


async def test_both_histories_are_one(lanes: Lanes, ids: list[str]) -> None:
    a, b, _ = ids
    await lanes.give(
        admission("in", 0, "admit", patient_id=a, age_years=70.0, sex="male", unit="ED", encounter_id="E1"),
        vitals("v", 1, patient_id=a, heart_rate_bpm=140.0, systolic_mmhg=95.0),
        lab("l", 2, patient_id=a, value=15.0),
        admission("up", 30, "admit", patient_id=b, unit="Ward", encounter_id="E2"),
        vitals("w", 31, patient_id=b, **{k: v for k, v in ILL.items() if k not in ("heart_rate_bpm", "systolic_mmhg")}),
    )
    await lanes.give(merge(b, a, 60))
    one = lanes.patient(b)
    assert one is not None
    assert (one.stay.age_years, one.stay.unit, one.stay.encounter_id) == (70.0, "Ward", "E2")
    assert {measured.event_id for measured in lanes.sets(b)} == {event_id(name) for name in "vlw"}
    assert lanes.children(b, "lab/").keys() == {"wbc"}
    last = lanes.scores()[-1]
    assert last.patient_id == b
    assert last.scores[0].value == 8
    assert last.scores[0].complete
    table = lanes.table()
    assert {key: (row.state, row.patient_id) for key, row in table.items()} == {
        f"ED\tE1\t{b}": ("left", b),
        f"Ward\tE2\t{b}": ("present", b),
    }
    assert table[f"ED\tE1\t{b}"].left_to == "Ward"
    assert lanes.patient(a) is None
    assert lanes.children(a, "") == {}
    assert lanes.moved() == {a: b}


async def test_what_comes_late_under_the_old_id_finds_the_patient(lanes: Lanes, ids: list[str]) -> None:
    a, b, _ = ids
    await lanes.give(vitals("v", 0, patient_id=a, **UNWELL), merge(b, a, 10))
    lanes.restart()
    seen = len(lanes.scores())
    late = vitals("late", 5, 20, patient_id=a, spo2_percent=90.0)
    await lanes.give(late, late)
    await lanes.give(late)
    assert len(lanes.scores()) == seen + 1, "an event that comes twice is known by its id"
    assert lanes.scores()[-1].patient_id == b
    await lanes.give(vitals("v", 0, patient_id=a, **UNWELL), vitals("v", 0, patient_id=b, **UNWELL))
    assert len(lanes.scores()) == seen + 1, "and so is one that the other had seen before the merge"
    await lanes.give(
        vitals("fix", 0, 25, patient_id=a, status="corrected", supersedes="v", **WELL),
    )
    assert {one.event_id for one in lanes.sets(b)} == {event_id("late"), event_id("fix")}
    assert lanes.dead() == []


async def test_a_merge_before_the_other_was_ever_heard_of(lanes: Lanes, ids: list[str]) -> None:
    a, b, _ = ids
    await lanes.give(merge(b, a, 0))
    await lanes.give(vitals("v", 1, patient_id=a, **WELL))
    assert lanes.patient(a) is None
    assert [one.event_id for one in lanes.sets(b)] == [event_id("v")]


async def test_a_merge_after_the_other_has_left(lanes: Lanes, ids: list[str]) -> None:
    a, b, _ = ids
    await lanes.give(
        admission("in", 0, "admit", patient_id=a, unit="ED", encounter_id="E1"),
        admission("out", 30, "discharge", patient_id=a, encounter_id="E1"),
        admission("again", 90, "admit", patient_id=b, unit="Ward", encounter_id="E2"),
        merge(b, a, 95),
    )
    one = lanes.patient(b)
    assert one is not None
    assert (one.stay.phase, one.stay.unit) == ("present", "Ward")
    assert {key: row.state for key, row in lanes.table().items()} == {
        f"ED\tE1\t{b}": "left",
        f"Ward\tE2\t{b}": "present",
    }
    await lanes.give(tick(90 + 24 * 60 * 40))  # long after: nobody has heard of the patient
    assert {key: row.state for key, row in lanes.table().items()} == {f"ED\tE1\t{b}": "left", f"Ward\tE2\t{b}": "lost"}


async def test_an_alert_goes_on_where_it_was_raised(lanes: Lanes, ids: list[str]) -> None:
    a, b, _ = ids
    await lanes.give(admission("in", 0, "admit", patient_id=b, age_years=70.0, sex="male"))
    await lanes.give(vitals("v", 0, patient_id=a, **ILL), vitals("w", 1, patient_id=b, **UNWELL))
    raised, mine = sorted(lanes.alerts(), key=lambda one: one[1].priority)
    assert (raised[1].patient_id, mine[1].patient_id) == (a, b)
    await lanes.give(merge(b, a, 2))
    ended = [(place, alert) for place, alert in lanes.alerts() if alert.transition == "closed"]
    assert [(place, alert.alert_id, alert.reason) for place, alert in ended] == [(mine[0], mine[1].alert_id, MERGED)]
    # The newest of all values is b's: what a's said is no longer so, and the alert that is left is judged by that.
    await lanes.give(vitals("better", 3, patient_id=b, **WELL))
    place, last = [(place, alert) for place, alert in lanes.alerts() if alert.alert_id == raised[1].alert_id][-1]
    assert last.transition in ("resolved", "retracted")
    assert (place, last.patient_id) == (lanes.lane_of(a), b)
    one = lanes.patient(b)
    assert one is not None
    assert one.alerts == {}


async def test_a_chain_resent_and_reversed(lanes: Lanes, ids: list[str]) -> None:
    a, b, c = ids
    await lanes.give(*(vitals(f"v{key}", n, patient_id=key, **WELL) for n, key in enumerate(ids)))
    await lanes.give(merge(b, a, 10), merge(c, b, 20))
    await lanes.give(vitals("late", 21, patient_id=a, **WELL))
    assert {one.event_id for one in lanes.sets(c)} == {event_id(name) for name in (f"v{a}", f"v{b}", f"v{c}", "late")}
    await lanes.give(merge(b, a, 10))  # a resend of the first
    assert len(lanes.sets(c)) == 4
    await lanes.give(merge(a, c, 30))  # and back to the first
    assert len(lanes.sets(a)) == 4
    assert lanes.patient(c) is None
    await lanes.give(vitals("later", 31, patient_id=b, **WELL))
    assert len(lanes.sets(a)) == 5
    assert lanes.moved().keys() == {b, c}
    assert lanes.dead() == []


async def test_an_older_merge_that_comes_late_changes_no_survivor(lanes: Lanes, ids: list[str]) -> None:
    a, b, c = ids
    await lanes.give(*(vitals(f"v{key}", n, patient_id=key, **WELL) for n, key in enumerate(ids)))
    await lanes.give(merge(b, a, 20))
    await lanes.give(merge(a, b, 10, 25), merge(a, c, 12, 26))
    assert len(lanes.sets(b)) == 3
    assert lanes.moved().keys() == {a, c}


async def test_merges_that_are_done_and_under_way_survive_a_migration_to_more_lanes() -> None:
    old = Lanes(2)
    ids = [f"P{number}" for number in range(12)]
    pairs = list(zip(ids[::2], ids[1::2], strict=True))
    await old.give(*(vitals(f"v{key}", n, patient_id=key, **WELL) for n, key in enumerate(ids)))
    await old.give(*(merge(b, a, 20) for a, b in pairs[:3]))
    old.publish(*(merge(b, a, 21) for a, b in pairs[3:]))
    for number in range(2):  # asked, and not all have answered
        await old.step(number, {"admissions.v1": 9})
    lanes = old.migrated(5)
    await lanes.give(*(vitals(f"w{key}", 30 + n, patient_id=key, **WELL) for n, key in enumerate(ids)))
    assert lanes.dead() == []
    assert lanes.moved() == dict(pairs)
    for a, b in pairs:
        assert {one.event_id for one in lanes.sets(b)} == {event_id(f"{v}{key}") for v in "vw" for key in (a, b)}


async def test_an_older_merge_on_its_way_while_a_newer_one_reverses_the_survivor() -> None:
    lanes = Lanes(3)
    a, b, c = (next(f"P{n}" for n in range(60) if lanes.lane_of(f"P{n}") == lane) for lane in range(3))
    await lanes.give(*(vitals(f"v{key}", n, patient_id=key, **WELL) for n, key in enumerate((a, b, c))))
    await lanes.give(merge(b, a, 20))
    for newer in (merge(a, c, 10, 25), merge(a, b, 30)):
        lanes.publish(newer)
        await lanes.step(lanes.lane_of(a))  # the first goes on to b, which then goes to a
    await lanes.settle()
    assert len(lanes.sets(a)) == 3
    assert lanes.moved() == {b: a, c: a}


async def test_a_patient_upstairs_is_joined_to_an_old_chart_with_bills(lanes: Lanes, ids: list[str]) -> None:
    """Both have more events than are kept: the patient stays where the open visit is, and the alert stays open."""
    a, b, _ = ids
    bills = [admission(f"bill {n}", 31 + n, "update", patient_id=b, encounter_id="E1", acuity=3) for n in range(45)]
    rounds = [admission(f"round {n}", 91 + n, "update", patient_id=a, encounter_id="E2", bed="4") for n in range(45)]
    await lanes.give(
        admission("in", 0, "admit", patient_id=b, unit="O", encounter_id="E1"),
        admission("out", 30, "discharge", patient_id=b, encounter_id="E1"),
        *bills,
        admission("up", 90, "admit", patient_id=a, unit="W", encounter_id="E2", age_years=70.0),
        *rounds,
        vitals("v", 140, patient_id=a, **UNWELL),
    )
    raised = lanes.patient(a)
    assert raised is not None
    await lanes.give(merge(b, a, 150))
    one = lanes.patient(b)
    assert one is not None
    assert (one.stay.phase, one.stay.unit) == ("present", "W")
    assert one.alerts["news2"].alert_id == raised.alerts["news2"].alert_id
    assert {key: row.state for key, row in lanes.table().items()} == {f"O\tE1\t{b}": "left", f"W\tE2\t{b}": "present"}


async def test_the_state_of_a_long_stay_goes_in_parts(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handovers, "PART_BYTES", 3_000)
    a, b = "P1", "P2"
    await lanes.give(*(vitals(f"v{n}", n, patient_id=a, **WELL) for n in range(100)))
    await lanes.give(*(lab(f"l{n}", n, patient_id=a, value=5.0 + n) for n in range(5)))
    await lanes.give(merge(b, a, 101))
    log = [record for (topic, _), records in lanes.logs.items() if topic == "handovers.v1" for record in records]
    parts = [one for record in log if (one := msgspec.json.decode(record.value or b"", type=Handover)).kind == "give"]
    assert [(one.part, one.parts) for one in parts] == [(n, len(parts)) for n in range(1, len(parts) + 1)]
    assert len(parts) > 4
    assert len(lanes.sets(b)) == 105
    assert [scores.patient_id for scores in lanes.scores()].count(b) == 1, "scored anew once, with the last part"


async def test_no_part_is_too_large_for_kafka(lanes: Lanes) -> None:
    """Text that JSON in JSON makes longest."""
    complaint = '"\\' * 500
    for number in range(60):
        about = {"patient_id": "P1", "unit": f"U{number}", "encounter_id": "E", "complaint": complaint}
        await lanes.give(admission(f"m{number}", number, "transfer", **about))
    await lanes.give(merge("P2", "P1", 100))
    assert lanes.dead() == []
    one = lanes.patient("P2")
    assert one is not None
    assert one.stay.unit == "U59"
    assert sum(row.state == "present" for row in lanes.table().values()) == 1


async def test_an_id_is_forwarded_for_as_long_as_the_merge_is_kept(lanes: Lanes) -> None:
    await lanes.give(vitals("v", 0, patient_id="P1", **WELL), merge("P2", "P1", 10))
    await lanes.give(tick(9 + handovers.KEPT_S / 60))
    assert lanes.moved() == {"P1": "P2"}
    await lanes.give(tick(11 + handovers.KEPT_S / 60))
    assert lanes.moved() == {}
    assert all(set(rows) == {b"\0lane"} for rows in lanes.rows)


async def test_a_merge_is_not_undone() -> None:
    with pytest.raises(ValueError, match="supersedes"):
        admission("undo", 5, "merge", merged_patient_id="P2", status="cancelled", supersedes="merge")


# whatever the order


def holder(merges: Sequence[Admission], ids: Sequence[str]) -> dict[str, str]:
    """Of each id the one that survives: by the newest merge of all that were ever merged with it."""
    group = {key: {key} for key in ids}
    survives = {key: key for key in ids}
    for one in sorted(merges, key=lambda one: (one.observed_at, one.received_at, one.event_id)):
        assert one.merged_patient_id is not None
        joined = group[one.patient_id] | group[one.merged_patient_id]
        for key in joined:
            group[key], survives[key] = joined, one.patient_id
    return survives


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[str], list[Event]]:
    """Some ids, what happens to them, and which of them are one, in the order of publishing."""
    ids = [f"P{number}" for number in range(draw(st.integers(2, 5)))]
    events: list[Event] = []
    for number in range(draw(st.integers(1, 14))):
        key, minute = draw(st.sampled_from(ids)), draw(st.integers(0, 300))
        about: dict[str, Any] = {"patient_id": key}
        match draw(st.sampled_from(["vitals", "vitals", "lab", "admit", "move", "merge", "merge"])):
            case "vitals":
                events.append(vitals(f"e{number}", minute, 300 + number, heart_rate_bpm=50.0 + number, **about))
            case "lab":
                events.append(lab(f"e{number}", minute, 300 + number, value=float(number), **about))
            case "admit":
                about |= {"unit": f"U{number}", "encounter_id": f"E{number}"}
                events.append(admission(f"e{number}", minute, "admit", 300 + number, **about))
            case "move":
                about |= {"unit": f"U{number}"}
                events.append(admission(f"e{number}", minute, "transfer", 300 + number, **about))
            case _:
                other = draw(st.sampled_from([one for one in ids if one != key]))
                events.append(merge(key, other, draw(st.integers(300, 304)), 305 + number))
    unique = {event.event_id: event for event in events}  # the same merge twice is one
    return ids, list(unique.values())


async def play(events: list[Event], rng: random.Random) -> Lanes:
    """Events are published, and lanes go on, in any order; workers die in their commits, before or after it is made."""
    lanes, waiting, deaths = Lanes(3), rng.sample(events, len(events)), rng.randint(0, 3)

    def kill() -> None:
        nonlocal deaths
        if deaths and rng.random() < 0.25:
            deaths -= 1
            raise Killed

    lanes.kill = kill
    while waiting:
        count = rng.randint(0, 4)
        lanes.publish(*waiting[:count])
        waiting = waiting[count:]
        number = rng.randint(0, 2)
        if unread := lanes.unread(number):
            await lanes.step(number, {topic: rng.randint(0, 3) for topic in unread})
    await lanes.settle()
    return lanes


@settings(max_examples=300)
@given(histories(), st.integers(0, 2**32))
def test_one_patient_is_left_who_has_it_all(history: tuple[list[str], list[Event]], seed: int) -> None:
    ids, events = history
    lanes = asyncio.run(play(events, random.Random(seed)))
    merges = [event for event in events if isinstance(event, Admission) and event.kind == "merge"]
    survives = holder(merges, ids)
    assert lanes.dead() == []
    follows = lanes.moved()
    for key in ids:
        end, steps = key, 0
        while end in follows:
            end, steps = follows[end], steps + 1
            assert steps <= len(ids)
        assert end == survives[key]
    present: dict[str, str] = {}
    for key in ids:
        about = [event for event in events if survives[event.patient_id] == key]
        measured = {event.event_id for event in about if not isinstance(event, Admission)}
        assert {one.event_id for one in lanes.sets(key)} == measured
        stories = [event for event in about if isinstance(event, Admission) and event.kind != "merge"]
        row = lanes.children(key, "stay").get("")
        log = StayLog() if row is None else msgspec.json.decode(row, type=StayLog)
        assert {one.event_id for one in log.events if one.kind != "merge"} == {one.event_id for one in stories}
        expected = StayLog(events=stories).visits()
        if expected and expected[-1].until is None:
            present[key] = expected[-1].unit
        rates = [event for event in about if isinstance(event, Vitals)]
        if rates:
            newest = max(rates, key=lambda event: (event.observed_at, event.received_at))
            one = lanes.patient(key)
            assert one is not None
            assert one.signals["hr"].value == newest.heart_rate_bpm
    in_units = {row.patient_id: row.unit for row in lanes.table().values() if row.state == "present"}
    assert in_units == present
    assert sum(row.state == "present" for row in lanes.table().values()) == len(present)


async def test_scores_after_a_merge_are_of_all_that_is_current(lanes: Lanes) -> None:
    await lanes.give(
        vitals("a", 0, patient_id="P1", heart_rate_bpm=120.0, temperature_celsius=39.5),
        vitals("b", 1, patient_id="P2", heart_rate_bpm=80.0, spo2_percent=93.0),
        merge("P2", "P1", 5),
    )
    last = lanes.scores()[-1]
    assert last.patient_id == "P2"
    expected = rule_scores(Observations(heart_rate_bpm=80.0, temperature_celsius=39.5, spo2_percent=93.0))
    assert last.scores == expected
    assert last.observed_at == at(5)

"""The simulated hospital: the same for the same seed, plausible, and with all that the demo is to show."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import orjson
import pytest

from wardstream.infra.feeds.outbox import BAD_SHARE, FAULTS, RESENT_SHARE
from wardstream.infra.feeds.pace import Minute, Raw, Send
from wardstream.infra.feeds.simulator import Step, as_items, simulate
from wardstream.models.scores import Observations, news2
from wardstream.schemas.admissions import Admission
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, decode, encode
from wardstream.schemas.labs import Lab
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.topics import TOPICS
from wardstream.schemas.vitals import Vitals

START = datetime(2026, 3, 1, 9, 17, 42, tzinfo=UTC)
HOUR = 61  # steps: the first is the start itself


def steps(seed: int, patients: int, count: int, bad_share: float = BAD_SHARE) -> list[Step]:
    return list(islice(simulate(seed=seed, patients=patients, start=START, bad_share=bad_share), count))


def sent(several: list[Step]) -> list[Send]:
    return [item for step in several for item in step.items if isinstance(item, Send)]


def news2_of(several: list[Step]) -> dict[str, list[float]]:
    """Every patient's complete NEWS2 values, from the newest value of each sign."""
    known: dict[str, dict[str, object]] = defaultdict(dict)
    values: dict[str, list[float]] = defaultdict(list)
    fields = [name for name in Vitals.__struct_fields__ if name in Observations.__struct_fields__]
    for item in sent(several):
        event = item.event
        mine = known[event.patient_id]
        if isinstance(event, Admission) and event.kind == "admit":
            mine.update(age_years=event.age_years, pregnant=event.pregnant)
        if isinstance(event, Vitals):
            mine.update({name: value for name in fields if (value := getattr(event, name)) is not None})
            score = news2(Observations(**mine))  # type: ignore[arg-type]
            if score.complete and score.value is not None:
                values[event.patient_id].append(score.value)
    return values


def test_the_same_seed_and_start_give_the_same_events() -> None:
    assert steps(3, 12, 90) == steps(3, 12, 90)
    assert steps(3, 12, 5) != steps(4, 12, 5)


def test_another_start_has_other_patients_and_ids() -> None:
    first = sent(steps(3, 12, 30))
    later = sent(list(islice(simulate(seed=3, patients=12, start=START + timedelta(hours=2)), 30)))
    assert not {item.event.patient_id for item in first} & {item.event.patient_id for item in later}
    assert not {item.event.event_id for item in first} & {item.event.event_id for item in later}


def test_items_come_in_order_and_within_their_minute() -> None:
    several = steps(5, 30, 120)
    assert several[0].at == START.replace(second=0, microsecond=0)
    for before, step in pairwise(several):
        assert step.at - before.at == timedelta(minutes=1)
        assert all(before.at < item.at <= step.at for item in step.items)
        assert [item.at for item in step.items] == sorted(item.at for item in step.items)


def test_good_events_are_valid_and_bad_ones_are_not() -> None:
    faults: Counter[str] = Counter()
    for step in steps(5, 40, 240, bad_share=0.2):
        for item in step.items:
            if isinstance(item, Send):
                check(item.event)
            else:
                faults[item.fault] += 1
                with pytest.raises(BadEvent):
                    decode(item.topic, item.value)
    assert set(faults) == set(FAULTS)


@pytest.mark.parametrize("topic", ["admissions.v1", "labs.v1", "outcomes.v1", "vitals.v1"])
def test_every_fault_spoils_every_topic(topic: str) -> None:
    events = (item.event for item in sent(steps(1, 40, HOUR)) if type(item.event) is TOPICS[topic].type)
    document = orjson.loads(encode(next(events)))
    for fault in FAULTS.values():
        with pytest.raises(BadEvent):
            decode(topic, fault(document))


def test_shares_of_bad_and_of_resent_events_are_as_stated() -> None:
    several = steps(8, 60, 600)
    good = len({item.event.event_id for item in sent(several)})
    bad = sum(isinstance(item, Raw) for step in several for item in step.items)
    resent = len(sent(several)) - good
    assert bad / good == pytest.approx(BAD_SHARE, rel=0.25)
    assert resent / good == pytest.approx(RESENT_SHARE, rel=0.3)
    assert not any(isinstance(item, Raw) for step in steps(8, 60, 60, bad_share=0) for item in step.items)


@pytest.mark.parametrize("patients", [20, 40])
@pytest.mark.parametrize("seed", range(1, 13))
def test_the_first_hour_shows_what_the_demo_is_to_show(seed: int, patients: int) -> None:
    hour = steps(seed, patients, HOUR)
    values = news2_of(hour)
    assert sum(v[0] < 5 <= max(v) for v in values.values()) >= 3
    assert sum(v[0] < 7 <= max(v) for v in values.values()) >= 3
    assert sum(max(v) >= 7 and v[-1] < 5 for v in values.values()) >= 1
    assert sum(gap > timedelta(minutes=20) for gap in device_gaps(hour).values()) >= 2
    assert len(values) >= 0.85 * patients, "nearly everybody has a complete score (not in pregnancy)"


def device_gaps(several: list[Step]) -> dict[str, timedelta]:
    """Longest time between two sets of each patient's monitor."""
    seen: dict[str, list[datetime]] = defaultdict(list)
    for item in sent(several):
        if isinstance(item.event, Vitals) and item.event.provenance == "device":
            seen[item.event.patient_id].append(item.event.observed_at)
    return {
        patient: max(later - before for before, later in pairwise(sorted(times)))
        for patient, times in seen.items()
        if len(times) > 1
    }


def test_two_days_have_everything_in_them() -> None:
    events = [item.event for item in sent(steps(7, 30, 2 * 24 * 60))]
    movements = Counter(event.kind for event in events if isinstance(event, Admission))
    assert movements["admit"] > 35
    assert movements["transfer"] >= 5
    assert movements["discharge"] >= 5
    assert {event.kind for event in events if isinstance(event, Outcome)} >= {"sepsis_onset", "icu_transfer"}
    by_id = {event.event_id: event for event in events}
    corrections = [event for event in events if event.status == "corrected"]
    assert {type(event) for event in corrections} == {Vitals, Lab}
    for event in corrections:
        assert event.supersedes in by_id
        original = by_id[event.supersedes]
        assert (original.patient_id, original.observed_at) == (event.patient_id, event.observed_at)
    late = [e for e in events if isinstance(e, Vitals) and e.received_at - e.observed_at > timedelta(minutes=2)]
    assert any(event.provenance == "device" for event in late)
    present, most = set[str](), 0
    for event in events:
        if isinstance(event, Admission):
            (present.add if event.kind != "discharge" else present.discard)(event.patient_id)
            most = max(most, len(present))
    assert 24 <= len(present) <= most <= 31


def test_nobody_shares_a_bed() -> None:
    beds: dict[str, str] = {}
    for item in sent(steps(9, 40, 24 * 60)):
        event = item.event
        if isinstance(event, Admission):
            for bed in [bed for bed, patient in beds.items() if patient == event.patient_id]:
                del beds[bed]
            if event.kind != "discharge":
                assert event.bed is not None
                assert event.bed not in beds
                beds[event.bed] = event.patient_id


@pytest.mark.parametrize("patients", [1, 2, 3, 7, 19])
def test_small_hospitals_work_too(patients: int) -> None:
    admitted = [i.event for i in sent(steps(1, patients, 1)) if isinstance(i.event, Admission)]
    assert len({event.patient_id for event in admitted}) == patients
    steps(1, patients, 300)


@pytest.mark.parametrize(("patients", "bad_share"), [(0, 0.1), (-1, 0.1), (5, -0.1), (5, 1.1)])
def test_nonsense_is_refused(patients: int, bad_share: float) -> None:
    with pytest.raises(ValueError, match="patients must be"):
        next(simulate(seed=1, patients=patients, start=START, bad_share=bad_share))


def test_a_minute_follows_what_left_in_it() -> None:
    several = steps(5, 10, 3)
    items = list(as_items(several))
    assert [item for item in items if isinstance(item, Minute)] == [Minute(step.at) for step in several]
    assert len(items) == sum(len(step.items) for step in several) + 3
    assert isinstance(items[-1], Minute)

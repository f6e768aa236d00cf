"""Many records become one stream in the order of time, with its minutes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.pace import Minute, Send
from wardstream.infra.feeds.records import EPOCH, Record, Tally
from wardstream.infra.feeds.replay import QUIET, merged, timeline
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.vitals import Vitals

MINUTE = timedelta(minutes=1)


def vitals(at: datetime, patient: str = "a") -> Event:
    return Vitals(event_id=uuid4(), source="t", patient_id=patient, observed_at=at, received_at=at, heart_rate_bpm=70)


def admission(at: datetime, kind: str, patient: str = "a") -> Event:
    return Admission(event_id=uuid4(), source="t", patient_id=patient, observed_at=at, received_at=at, kind=kind)  # type: ignore[arg-type]


def record(name: str, *minutes: int, begins_at: datetime | None = None) -> Record:
    def events(start: datetime, tally: Tally) -> Iterator[Event]:
        for minute in minutes:
            tally.rows += 1
            yield vitals((begins_at or start) + minute * MINUTE, name)

    return Record(name, len(minutes), begins_at, events)


def test_records_are_merged_by_time_and_their_own_order() -> None:
    tally = Tally()
    events = list(merged([record("a", 0, 60, 60, 120), record("b", 30, 60)], tally))
    assert [event.patient_id for event in events] == ["a", "b", "a", "a", "b", "a"]
    assert tally.rows == 6


def test_records_are_read_lazily() -> None:
    tally = Tally()
    events = merged([record("a", *range(1000)), record("b", *range(1000))], tally)
    next(events)
    assert tally.rows <= 4


def test_undated_records_can_be_spread_and_dated_ones_stay() -> None:
    records = [record(str(i), 0) for i in range(50)] + [record("dated", 0, begins_at=EPOCH + timedelta(days=9))]

    def begins(seed: int) -> dict[str, datetime]:
        events = merged(records, Tally(), stagger=timedelta(hours=10), seed=seed)
        return {event.patient_id: event.received_at for event in events}

    spread = begins(1)
    assert spread == begins(1) != begins(2)
    assert spread["dated"] == EPOCH + timedelta(days=9)
    assert all(EPOCH <= at < EPOCH + timedelta(hours=10) for name, at in spread.items() if name != "dated")
    assert len(set(spread.values())) > 30


def test_a_minute_comes_after_all_that_was_received_until_then() -> None:
    start = EPOCH + timedelta(seconds=20)
    events = [admission(start, "admit"), vitals(EPOCH + 2 * MINUTE), vitals(EPOCH + 2 * MINUTE + timedelta(seconds=1))]
    items = list(timeline(events))
    assert items == [
        Minute(EPOCH),  # lanes know at once that this is a replay
        Send(start, events[0]),
        Minute(EPOCH + 1 * MINUTE),
        Send(EPOCH + 2 * MINUTE, events[1]),
        Minute(EPOCH + 2 * MINUTE),
        Send(events[2].received_at, events[2]),
        Minute(EPOCH + 3 * MINUTE),
        Minute(EPOCH + 4 * MINUTE),  # ends the last minute
    ]


def test_ticks_can_be_rarer() -> None:
    events = [admission(EPOCH, "admit"), vitals(EPOCH + 61 * MINUTE)]
    ticks = [item.at for item in timeline(events, 15) if isinstance(item, Minute)]
    assert ticks == [EPOCH + i * 15 * MINUTE for i in range(-1, 7)]


def test_time_passes_for_a_silent_patient_but_leaps_over_empty_years() -> None:
    later = EPOCH + timedelta(days=4000, seconds=5)
    events = [admission(EPOCH, "admit"), admission(later, "discharge"), vitals(later + timedelta(days=900))]
    ticks = [item.at for item in timeline(events, 60) if isinstance(item, Minute)]
    assert ticks[:25] == [EPOCH + i * 60 * MINUTE for i in range(-1, 24)]
    assert ticks[25] >= later, "a day of silence is enough for everything to go stale"
    assert len(ticks) == 1 + QUIET // timedelta(hours=1) + 3, "nobody is in hospital in the last gap"
    assert ticks == sorted(ticks)
    assert list(timeline([])) == []


def test_real_records_twice_are_the_same_stream(shared_data: Path) -> None:
    def run() -> list[object]:
        records = challenge2019.records(shared_data / "icu" / "challenge2019_setB_p100001-p106500.tar.gz", 12)
        return list(timeline(merged(records, Tally(), stagger=timedelta(hours=5), seed=3)))

    first = run()
    assert first == run()
    sends = [item for item in first if isinstance(item, Send)]
    assert [item.at for item in sends] == sorted(item.at for item in sends)

"""What the evidence sends: outcomes a day late, stays in the order of time, nothing lost between promotions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.risk.halves import is_streamed
from tests.risk.judging import Judged, Layer, compared, measures, of_patients
from tests.risk.streaming import APART, FLUSH, arrivals, chunks, in_order, stay
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.challenge2019 import COLUMNS, LABEL, events, labels
from wardstream.infra.feeds.pace import Minute, Send
from wardstream.infra.feeds.records import EPOCH, Record
from wardstream.schemas.admissions import Admission
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.vitals import Vitals

DAY = timedelta(hours=24)


def record(name: str, hours: int, onset: int | None) -> Record:
    columns, rows = (*COLUMNS, LABEL), []
    for hour in range(1, hours + 1):
        said = {"HR": 80 + hour, "Resp": 18, "Temp": 37.2, "Age": 60, "Gender": 0, "ICULOS": hour}
        said[LABEL] = int(onset is not None and hour >= onset - 6)
        rows.append("|".join(str(said.get(column, "NaN")) for column in columns))
    text = "\n".join(["|".join(columns), *rows, ""]).encode()

    def made(start, tally):  # type: ignore[no-untyped-def]
        return events(name, text, start, tally)

    return Record(name, hours, None, made, lambda: labels(name, text))


def test_sepsis_becomes_known_a_day_after_its_onset_and_the_end_is_a_departure() -> None:
    found = stay(record("p1", 20, onset=15), 4, DAY, drifted=False)
    (outcome,) = [event for event in found if isinstance(event, Outcome)]
    start = EPOCH + 4 * APART
    assert (outcome.observed_at, outcome.received_at) == (start + timedelta(hours=15), start + timedelta(hours=39))
    assert found[-1] is outcome, "it comes when the patient has left"
    leaving = [event for event in found if isinstance(event, Admission) and event.kind == "discharge"]
    assert [event.disposition for event in leaving] == [None], "to nobody knows where: censoring"
    assert leaving[0].observed_at > outcome.observed_at


def test_a_drifted_sensor_shows_too_much_and_changes_nothing_else() -> None:
    one = record("p1", 3, None)
    for before, after in zip(stay(one, 0, DAY, False), stay(one, 0, DAY, True), strict=True):
        if isinstance(before, Vitals) and isinstance(after, Vitals):
            assert before.heart_rate_bpm is not None
            assert before.respiratory_rate_per_min is not None
            assert after.heart_rate_bpm == before.heart_rate_bpm + 20
            assert after.respiratory_rate_per_min == before.respiratory_rate_per_min + 6
            assert before.temperature_celsius is not None
            assert after.temperature_celsius == before.temperature_celsius + 1.5
            assert after.event_id == before.event_id
        else:
            assert before == after


def test_a_changed_mix_has_all_septic_patients_and_a_quarter_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [record(f"p{number}", 12, onset=9 if number % 10 == 0 else None) for number in range(400)]
    monkeypatch.setattr(challenge2019, "records", lambda _: known)
    plain = [one.id for one in arrivals(Path("any"), None, 1, None, 50)]
    mixed = [one.id for one in arrivals(Path("any"), None, 1, "mix", 50)]
    septic = {one.id for one in known[::10]}
    assert mixed[:50] == plain[:50]
    after, left = plain[50:], mixed[50:]
    assert [name for name in left if name in septic] == [name for name in after if name in septic]
    others, kept = set(after) - septic, set(left) - septic
    assert kept < others
    assert 0.2 < len(kept) / len(others) < 0.3


def test_nothing_is_lost_or_out_of_order_between_promotions() -> None:
    stays = [stay(record(f"p{number}", 5 + number, None), number, DAY, False) for number in range(9)]
    ordered = list(in_order(iter(stays)))
    assert sorted(str(event.event_id) for event in ordered) == sorted(str(e.event_id) for one in stays for e in one)
    assert [event.received_at for event in ordered] == sorted(event.received_at for event in ordered)
    items = [item for chunk in chunks(iter(stays), each=4) for item in chunk]
    assert [item.event for item in items if isinstance(item, Send)] == ordered
    minutes = [item.at for item in items if isinstance(item, Minute)]
    assert minutes == sorted(minutes)
    assert minutes[-1] - ordered[-1].received_at >= FLUSH, "until the last hour is told"
    until = EPOCH + 4 * APART
    first, *_ = chunks(iter(stays), each=4)
    assert [item.at for item in first[-2:]] == [until, until + timedelta(minutes=1)], "what waits for a tick has come"
    assert all(isinstance(item, Minute) for item in first[-2:])
    assert [item.event for item in first if isinstance(item, Send)] == [e for e in ordered if e.received_at <= until]


def test_half_of_the_patients_are_streamed() -> None:
    share = sum(is_streamed(f"p{number:06}") for number in range(10_000)) / 10_000
    assert 0.48 < share < 0.52


def test_layers_learn_and_differences_are_of_patients() -> None:
    rng = np.random.default_rng(1)
    x, layer = rng.normal(size=4_000), Layer(1)
    happened = rng.random(4_000) < 1 / (1 + np.exp(2 - x))
    said = np.array([layer.take([float(one)], bool(came)) for one, came in zip(x, happened, strict=True)])
    noise = rng.random(4_000)
    places = np.arange(4_000)
    found = Judged({"served": said, "noise": noise}, happened.astype(np.int8), places // 10, places, places % 10 + 1)
    assert measures(said, found.happened)["auroc"] > 0.65 > measures(noise, found.happened)["auroc"]
    told = compared(found)
    low, high = told["served_better_by"]["noise"]["auroc"]
    assert 0.1 < low < high < 0.4
    low, high = told["intervals"]["served"]["auroc"]
    assert low < told["models"]["served"]["auroc"] < high
    assert told["served_better_by"]["noise"]["brier"][0] > 0, "lower is better"
    part = of_patients(found, 100, 150)
    assert set(part.patient) == set(range(100, 150))
    assert np.array_equal(part.said["served"], said[1_000:1_500])

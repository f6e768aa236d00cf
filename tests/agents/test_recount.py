"""Real patients: every score and alert is what a plain recount of all that was known by then gives.

The recount shares nothing with the state but the scores themselves: after each event it goes through everything that
has come so far. Rows are taken as they are; then once more late, out of order, corrected and cancelled.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from tests.agents.bedside import Bedside, Said
from tests.events import event_id
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.records import EPOCH, Tally
from wardstream.models.scores import ALL, Kidneys, Observations, Score, kdigo, rule_scores, sofa
from wardstream.models.scores.kdigo import Result
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.ticks import Tick
from wardstream.schemas.vitals import Vitals

ARCHIVE = "icu/challenge2019_setB_p100001-p106500.tar.gz"
PATIENTS = 8
NEVER_CARRIED = frozenset({"consciousness", "supplemental_oxygen", "pregnant"})
LOINC = {
    "6690-2": "wbc_10e9_per_l",
    "2019-8": "paco2_mmhg",
    "777-3": "platelets_10e9_per_l",
    "1975-2": "bilirubin_mg_per_dl",
    "2160-0": "creatinine_mg_per_dl",
}
HOURS = dict.fromkeys(LOINC.values(), 24) | {"paco2_mmhg": 6}  # how long a value counts; vital signs: 12
BEDSIDE = len(ALL)
BY_TIME = {"escalated", "went_stale", "current_again", "raised_again", "expired"}  # no score decides those
SIGNS = tuple(challenge2019.VITALS.values())


@pytest.fixture(scope="module")
def patients(shared_data: Path) -> list[list[Event]]:
    """Events of a few patients, in the order in which they were known."""
    records = challenge2019.records(shared_data / ARCHIVE, PATIENTS)
    return [list(record.events(EPOCH, Tally())) for record in records]


def measured(event: Event) -> dict[str, float]:
    if event.status == "cancelled":
        return {}
    if isinstance(event, Lab):
        return {LOINC[event.loinc]: event.value} if event.loinc in LOINC and event.value is not None else {}
    return {sign: value for sign in SIGNS if (value := getattr(event, sign, None)) is not None}


@dataclass
class Recount:
    """What is known of one patient, event by event."""

    age: float | None = None
    pregnant: bool | None = None
    there: bool = True
    known: list[Event] = field(default_factory=list)
    alert: str | None = None

    def holding(self) -> list[Event]:
        """Without what has been revised; of several revisions of one event the one received last."""
        named = {event.supersedes for event in self.known}
        left = [event for event in self.known if event.event_id not in named]
        last: dict[UUID | None, Event] = {}
        for event in sorted(left, key=lambda event: event.received_at):
            last[event.supersedes or event.event_id] = event
        return list(last.values())

    def current(self, now: Any) -> dict[str, float]:
        values: dict[str, float] = {}
        for event in sorted(self.holding(), key=lambda event: (event.observed_at, event.received_at)):
            for sign, value in measured(event).items():
                values.pop(sign, None)
                if now - event.observed_at < timedelta(hours=HOURS.get(sign, 12)):
                    values[sign] = value
        return values

    def scores(self, now: Any) -> tuple[Score, ...]:
        return rule_scores(Observations(age_years=self.age, pregnant=self.pregnant, **self.current(now)))

    def organs(self, now: Any) -> dict[str, Score]:
        """SOFA, and the kidneys' stage by all creatinine of a week."""
        results = sorted(
            (event.observed_at, event.received_at, value)
            for event in self.holding()
            if (value := measured(event).get("creatinine_mg_per_dl")) is not None
        )
        history = [Result(at.timestamp(), value) for at, _, value in results]
        seen = Observations(age_years=self.age, pregnant=self.pregnant, **self.current(now))
        scores = (sofa(seen), kdigo(Kidneys(now.timestamp(), history, age_years=self.age)))
        return {score.name: score for score in scores}

    def judge(self, news2: Score) -> list[str]:
        """Transitions of the NEWS2 alert; of streams without corrections."""
        assert news2.value is not None
        points = news2.value
        priority = "high" if points >= 7 else "medium" if points >= 5 or 3 in news2.parts.values() else None
        if self.alert is None:
            self.alert = priority
            return ["raised"] if priority else []
        if (self.alert, priority) == ("medium", "high"):
            self.alert = "high"
            return ["worsened"]
        if priority is None and points <= 3 and set(news2.missing) <= NEVER_CARRIED:
            self.alert = None
            return ["resolved"]
        return []


def with_ticks(events: list[Event]) -> Iterator[Event | Tick]:
    """A tick every half hour, as feeds write them, between events sorted by when they came."""
    now = EPOCH
    for event in events:
        while now + timedelta(minutes=30) <= event.received_at:
            now += timedelta(minutes=30)
            yield Tick(event_id=event_id(str(now)), source="replay", observed_at=now, received_at=now)
        yield event


async def play(events: list[Event]) -> tuple[list[tuple[Event | Tick, Said]], Bedside]:
    bedside = Bedside(NEVER_CARRIED)
    return [(event, await bedside.give(event)) for event in with_ticks(events)], bedside


async def test_every_score_and_alert_of_real_patients(patients: list[list[Event]]) -> None:
    checked = transitions = 0
    organs: Counter[str] = Counter()
    for events in patients:
        recount = Recount()
        for event, said in (await play(events))[0]:
            if isinstance(event, Admission):
                recount.there = event.kind != "discharge"
                if event.kind == "admit":
                    recount.age = event.age_years
                    recount.pregnant = False if event.sex == "male" else None
                continue
            if isinstance(event, Vitals) or (isinstance(event, Lab) and event.loinc in LOINC):
                recount.known.append(event)
                assert len(said.scores) == 1
            for record in said.scores:
                assert record.observed_at == event.received_at
                assert record.scores[:BEDSIDE] == recount.scores(event.received_at)
                for score in record.scores[BEDSIDE:]:
                    assert score == recount.organs(event.received_at)[score.name]
                    organs[score.name] += 1
                checked += 1
            changes = [step for record in said.scores for step in recount.judge(record.scores[0])]
            decided = [alert.transition for alert in said.alerts if alert.condition == "news2"]
            assert [step for step in decided if step not in BY_TIME] == changes
            transitions += len(changes)
        assert not recount.there
    assert checked > 200
    assert transitions > 10
    assert organs["sofa"] > 50
    assert organs["kdigo_aki"] > 10


def disturbed(events: list[Event], rng: random.Random) -> list[Event]:
    """The same patient by way of a bad network and a careless hand."""
    admission, *others = [event for event in events if isinstance(event, Admission | Vitals | Lab)][:-1]
    arrivals = [(admission.received_at, admission)]
    for number, event in enumerate(others):
        assert isinstance(event, Vitals | Lab)
        delay = timedelta(minutes=rng.choice([0, 0, 0, rng.uniform(1, 200)]))
        event = replace(event, received_at=event.received_at + delay)
        arrivals.append((event.received_at, event))
        target = event
        for again in range(rng.choice([0, 0, 0, 1, 2])):
            later = target.received_at + timedelta(minutes=rng.uniform(1, 100))
            status = rng.choice(["corrected", "corrected", "cancelled"])
            named = rng.choice([event, target])
            change: dict[str, Any] = {"event_id": event_id(f"{event.event_id} {number} {again}"), "received_at": later}
            if isinstance(event, Vitals) and status == "corrected":
                change["heart_rate_bpm"] = float(rng.randint(50, 150))
                change["observed_at"] = event.observed_at - timedelta(minutes=rng.choice([0, 0, 90]))
            target = replace(event, status=status, supersedes=named.event_id, **change)
            overtakes = rng.random() < 0.2
            arrivals.append((event.received_at - timedelta(seconds=1) if overtakes else later, target))
    arrivals.sort(key=lambda arrival: arrival[0])
    return [event for _, event in arrivals]


@pytest.mark.parametrize("seed", range(2))
async def test_every_score_of_the_same_patients_late_and_corrected(patients: list[list[Event]], seed: int) -> None:
    checked = 0
    rng = random.Random(seed)
    for events in patients[: PATIENTS // 2]:
        recount = Recount()
        heard = EPOCH
        arrived = disturbed(events, rng)
        played, _ = await play(arrived)
        for event, said in played:
            if isinstance(event, Admission):
                recount.age = event.age_years
                recount.pregnant = False if event.sex == "male" else None
            elif not isinstance(event, Tick):
                recount.known.append(event)
            heard = max(heard, event.observed_at, event.received_at)
            for record in said.scores:
                assert record.observed_at == heard
                assert [score.parts for score in record.scores[:BEDSIDE]] == [s.parts for s in recount.scores(heard)]
                assert record.scores[:BEDSIDE] == recount.scores(heard)
                for score in record.scores[BEDSIDE:]:
                    assert score == recount.organs(heard)[score.name]
                checked += 1
            if not said.scores and isinstance(event, Vitals):
                assert recount_unchanged(recount, event, heard), "silent although something changed"
    assert checked > 150


def recount_unchanged(recount: Recount, event: Event, now: Any) -> bool:
    """Whether the scores would be the same without the event."""
    without = replace_known(recount, [known for known in recount.known if known is not event])
    return without.scores(now) == recount.scores(now)


def replace_known(recount: Recount, known: list[Event]) -> Recount:
    return Recount(recount.age, recount.pregnant, recount.there, known)

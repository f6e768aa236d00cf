"""Hours wait for their label, and each is told once, when its time has come and not before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.events import admission, at, event_id, outcome
from tests.models.measuring import MemoryRows
from wardstream.models.risk.features import VERSION, Known
from wardstream.models.risk.labels import report_of
from wardstream.models.risk.target import Target
from wardstream.models.risk.waiting import Waiting, WaitingHours
from wardstream.models.stay import StayLog

TARGET = Target(horizon_h=12, grace_h=36)
HOUR = 60.0


def log() -> StayLog:
    found = StayLog()
    found.add(admission("admit", 0, "admit", unit="4B"))
    return found


def waiting(hour: int, patient: str = "P1") -> Waiting:
    return Waiting(
        prediction=event_id(f"{patient} {hour}"),
        at=at(hour * HOUR).timestamp(),
        features=VERSION,
        inputs={"news2": Known(5.0, 0.25), "age_years": Known(71.0)},
        hour=hour,
        version="1.0",
        said={"logistic": 0.1, "tree": 0.2},
        unit="4B",
        alerts=("news2",),
    )


def seconds(hour: float) -> float:
    return at(hour * HOUR).timestamp()


def test_it_is_told_at_the_end_of_horizon_and_grace() -> None:
    hours = WaitingHours(MemoryRows())
    hours.add(waiting(1))
    assert hours.ends() == (seconds(1), seconds(1))
    assert hours.tell(seconds(49) - 1, (), log(), TARGET) == []
    (told,) = hours.tell(seconds(49), (), log(), TARGET)
    assert told.waiting == waiting(1)
    assert told.verdict.label == "negative"
    assert hours.tell(seconds(99), (), log(), TARGET) == []
    assert hours.ends() is None


def test_no_label_comes_sooner_than_another() -> None:
    """A death, a discharge and a stay of the same hour are all told at the same time."""
    histories = [
        ((report_of(outcome("o", 2 * HOUR, "death")),), log()),
        ((), log()),
        ((), log()),
    ]
    histories[1][1].add(admission("leave", 2 * HOUR, "discharge", disposition="home"))
    for reports, stay in histories:
        hours = WaitingHours(MemoryRows())
        hours.add(waiting(1))
        assert hours.tell(seconds(49) - 0.001, reports, stay, TARGET) == []
        assert len(hours.tell(seconds(49), reports, stay, TARGET)) == 1


def test_a_report_that_comes_in_the_grace_counts() -> None:
    hours = WaitingHours(MemoryRows())
    for hour in (1, 2, 3):
        hours.add(waiting(hour))
    late = report_of(outcome("o", 2 * HOUR + 30, "sepsis_onset", received=48 * HOUR))
    labels = [told.verdict.label for told in hours.tell(seconds(60), [late], log(), TARGET)]
    assert labels == ["positive", "positive", "excluded"]


def test_hours_of_two_ids_are_all_told() -> None:
    mine, theirs, rows = WaitingHours(MemoryRows()), MemoryRows(), MemoryRows()
    other = WaitingHours(rows)
    mine.add(waiting(1))
    other.add(waiting(1, "P2"))
    other.add(waiting(2, "P2"))
    for _ in range(2):  # should a part of the hand-over come twice
        mine.join(rows.rows)
    told = mine.tell(seconds(99), [report_of(outcome("o", 90, "death"))], log(), TARGET)
    assert sorted(one.waiting.prediction for one in told) == sorted(
        one.prediction for one in (waiting(1), waiting(1, "P2"), waiting(2, "P2"))
    )
    assert sorted(one.verdict.label for one in told) == ["excluded", "positive", "positive"]
    assert theirs.rows == {}


@given(st.lists(st.integers(1, 60), max_size=12), st.lists(st.integers(1, 130), max_size=12))
def test_each_hour_is_told_exactly_once(added: list[int], looks: list[int]) -> None:
    rows = MemoryRows()
    hours, told, known = WaitingHours(rows), list[int](), set[int]()
    pending = sorted(added)
    for look in [*sorted(looks), 10_000]:
        while pending and pending[0] <= look:
            hour = pending.pop(0)
            WaitingHours(rows).add(waiting(hour))  # through the lane's rows: nothing is kept elsewhere
            known.add(hour)
        now = [one.waiting.hour for one in hours.tell(seconds(look), (), log(), TARGET)]
        assert now == sorted(now)
        assert all(hour + 48 <= look for hour in now)
        told += now
        left = known - set(told)
        assert all(hour + 48 > look for hour in left)
        assert hours.ends() == ((seconds(min(left)), seconds(max(left))) if left else None)
    assert sorted(told) == sorted(set(added))

"""A lane's state: a batch changes it as a whole or not at all, and its rows restore it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.streams.fakes import Tally, TallyCodec
from wardstream.agents.streams import state as state_module
from wardstream.agents.streams.recent import CAPACITY, digest
from wardstream.agents.streams.state import LANE_ROW, LaneState, Moved, Work

PATIENTS = ("p1", "p2", "p3")
NAMES = ("bin/1", "bin/2")
IDS = [UUID(int=i) for i in range(12)]
ORDER = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), UUID(int=1))

steps = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(PATIENTS), st.integers(1, 9)),
    st.tuples(st.just("due"), st.sampled_from(PATIENTS), st.floats(0, 100)),
    st.tuples(st.just("child"), st.sampled_from(PATIENTS), st.sampled_from(NAMES), st.none() | st.binary(max_size=5)),
    st.tuples(st.just("sight"), st.sampled_from(PATIENTS), st.sampled_from(IDS)),
    st.tuples(st.just("forget"), st.sampled_from(PATIENTS)),
    st.tuples(st.just("move"), st.sampled_from(PATIENTS), st.sampled_from(PATIENTS)),
    st.tuples(st.just("back"), st.sampled_from(PATIENTS)),
    st.tuples(st.just("remember"), st.sampled_from(PATIENTS), st.sampled_from(IDS)),
)
batches = st.lists(st.lists(steps, max_size=8), max_size=6)


def run(work: Work[Tally], batch: list[tuple[Any, ...]]) -> None:
    for kind, key, *rest in batch:
        if kind in ("add", "due", "child") and work.moved(key) is not None:
            continue  # its events go elsewhere
        match kind:
            case "add":
                work[key].total += rest[0]
            case "due":
                work[key].due = rest[0]
            case "child":
                work[key].total += 1  # rows of its own belong to an entity
                work.put_child(key, rest[0], rest[1])
            case "sight":
                work.first_sight(key, rest[0])
            case "forget":
                work.forget(key)
            case "move":
                work.move(key, Moved(rest[0], ORDER, 50.0))
            case "back" if work.moved(key):
                work.bring_back(key)
                work[key].total += 1
            case "remember":
                work.remember(key, [digest(rest[0])])


def seen_through(state: LaneState[Tally], work: Work[Tally]) -> dict[str, Any]:
    """Everything a handler can see, without taking entities from the cache of `state`."""
    return {
        key: (
            TallyCodec().encode(work[key]) if key in work else None,
            {name: work.child(key, name) for name in NAMES},
            work.children(key),
            [event_id for event_id in IDS if not Work(state).first_sight(key, event_id)],
            work.moved(key),
            work.newest_ids(key, 3),
        )
        for key in PATIENTS
    }


def contents(state: LaneState[Tally]) -> dict[str, Any]:
    return {
        "seen": seen_through(state, Work(state)),
        "keys": set(state.keys()),
        "due": {at: sorted(state.due(at)) for at in (0, 1, 10, 50, 100, 1e9)},
        "bytes": state.bytes,
        "lane": state.lane,
    }


def applied(changelog: dict[bytes, bytes], rows: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in rows:
        if value is None:
            changelog.pop(key, None)
        else:
            changelog[key] = value


def shuffled(rows: Mapping[bytes, bytes], seed: int) -> dict[bytes, bytes]:
    items = list(rows.items())
    random.Random(seed).shuffle(items)
    return dict(items)


@settings(max_examples=150)
@given(batches, st.integers(0, 99))
def test_rows_restore_an_equal_state(history: list[list[tuple[Any, ...]]], seed: int) -> None:
    state, changelog = LaneState(TallyCodec(), {}), dict[bytes, bytes]()
    for batch in history:
        work = Work(state)
        run(work, batch)
        applied(changelog, state.absorb(work))
    restored = LaneState(TallyCodec(), shuffled(changelog, seed))
    assert contents(restored) == contents(state)
    assert len(restored) == len(state)


@settings(max_examples=100)
@given(batches, st.lists(steps, max_size=8))
def test_a_work_that_is_dropped_leaves_no_trace(
    history: list[list[tuple[Any, ...]]], dropped: list[tuple[Any, ...]]
) -> None:
    state = LaneState(TallyCodec(), {})
    for batch in history:
        work = Work(state)
        run(work, batch)
        state.absorb(work)
    before = contents(state)
    run(Work(state), dropped)
    assert contents(state) == before
    assert state.absorb(Work(state)) == []


def test_a_late_handler_of_an_abandoned_attempt_changes_nothing() -> None:
    state = LaneState(TallyCodec(), {})
    state.absorb(touch(state, "p1", 1))
    abandoned = Work(state)
    late = abandoned["p1"]  # an agent holds it, and goes on after the batch was taken from it
    again = Work(state)
    again["p1"].total += 10
    late.total += 100
    late.seen.append("late")
    state.absorb(again)
    late.total += 100
    assert Work(state)["p1"] == Tally(total=11, due=0.0)


def touch(state: LaneState[Tally], key: str, n: int) -> Work[Tally]:
    work = Work(state)
    work[key].total += n
    return work


def test_a_work_sees_what_it_wrote() -> None:
    state = LaneState(TallyCodec(), {})
    first = Work(state)
    first.put_child("p1", "bin/1", b"old")
    first["p1"].total = 1
    assert first.first_sight("p1", IDS[0])
    state.absorb(first)
    work = Work(state)
    assert not work.first_sight("p1", IDS[0])
    assert work.first_sight("p1", IDS[1])
    assert not work.first_sight("p1", IDS[1])
    assert work.first_sight("p2", IDS[0])  # ids are the patient's own
    work.put_child("p1", "bin/2", b"new")
    work.put_child("p1", "bin/1", None)
    assert work.children("p1") == {"bin/2": b"new"}
    assert work.child("p1", "bin/1") is None
    assert state.children("p1") == {"bin/1": b"old"}


def test_only_what_changed_is_written() -> None:
    state = LaneState(TallyCodec(), {})
    state.absorb(touch(state, "p1", 1))
    work = Work(state)
    assert work["p1"].total == 1  # looked at only
    assert state.absorb(work) == []
    work = Work(state)
    work.first_sight("p1", IDS[0])
    assert [key for key, _ in state.absorb(work)] == [b"i\0p1\x000"]


def test_forgetting_deletes_every_row() -> None:
    state, changelog = LaneState(TallyCodec(), {}), dict[bytes, bytes]()
    for start in range(0, CAPACITY + 40, 40):
        work = Work(state)
        work["p1"].total += 1
        work.put_child("p1", f"bin/{start}", b"x")
        for number in range(40):
            work.first_sight("p1", UUID(int=start + number))
        applied(changelog, state.absorb(work))
    assert len(changelog) == 1 + 5 + 8
    work = Work(state)
    work.forget("p1")
    assert "p1" not in work
    assert work.children("p1") == {}
    applied(changelog, state.absorb(work))
    assert changelog == {}
    assert contents(state) == contents(LaneState(TallyCodec(), {}))


def test_a_patient_who_comes_back_in_the_batch_that_forgot_them_is_new() -> None:
    state, changelog = LaneState(TallyCodec(), {}), dict[bytes, bytes]()
    applied(changelog, state.absorb(touch(state, "p1", 5)))
    work = Work(state)
    work.forget("p1")
    work["p1"].total += 1
    assert work.first_sight("p1", IDS[0])
    applied(changelog, state.absorb(work))
    assert Work(state)["p1"].total == 1
    assert contents(LaneState(TallyCodec(), changelog)) == contents(state)


def test_due_takes_the_batchs_own_changes_for_those_at_rest() -> None:
    state = LaneState(TallyCodec(), {})
    work = Work(state)
    work["p1"].due, work["p2"].due, work["p3"].due = 10.0, 20.0, 30.0
    state.absorb(work)
    assert sorted(state.due(20)) == ["p1", "p2"]
    work = Work(state)
    work["p1"].due = 99.0
    work["p3"].due = 1.0
    work.forget("p2")
    assert work.due(20) == ["p3"]


def test_a_patient_of_whom_only_ids_are_kept_can_be_forgotten() -> None:
    """Such as one whose events had nothing to say: without a due time they would stay for ever."""
    state, changelog = LaneState(TallyCodec(), {}), dict[bytes, bytes]()
    work = Work(state)
    work.first_sight("p1", IDS[0])
    applied(changelog, state.absorb(work))
    assert state.due(0) == ["p1"]  # as a new `Tally` is
    assert LaneState(TallyCodec(), changelog).due(0) == ["p1"]
    work = Work(state)
    work.forget("p1")
    applied(changelog, state.absorb(work))
    assert changelog == {}
    assert len(state) == 0


def test_an_entity_that_moves_leaves_nothing_but_where_to() -> None:
    state, changelog = LaneState(TallyCodec(), {}), dict[bytes, bytes]()
    work = touch(state, "p1", 5)
    work.put_child("p1", "bin/1", b"x")
    work.first_sight("p1", IDS[0])
    applied(changelog, state.absorb(work))
    work = Work(state)
    assert not work.moving
    assert work.first_sight("p1", IDS[1])
    assert work.rows("p1") == {"": TallyCodec().encode(Tally(total=5, due=0.0)), "bin/1": b"x"}
    assert work.newest_ids("p1", 9) == [digest(IDS[0]), digest(IDS[1])]
    assert work.newest_ids("p1", 1) == [digest(IDS[1])]
    work.move("p1", Moved("p2", ORDER, 50.0))
    assert work.moving
    assert work.rows("p1") == {}
    applied(changelog, state.absorb(work))
    assert changelog.keys() == {b"m\0p1"}
    for one in (state, LaneState(TallyCodec(), changelog)):
        assert Work(one).moved("p1") == Moved("p2", ORDER, 50.0)
        assert one.due(49) == []
        assert one.due(50) == ["p1"]
    work = Work(state)
    work.forget("p1")
    assert work.moved("p1") is None
    applied(changelog, state.absorb(work))
    assert changelog == {}
    assert not Work(state).moving


def test_entities_are_kept_decoded_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "DECODED_LIMIT", 10)
    state = LaneState(TallyCodec(), {})
    for number in range(30):
        state.absorb(touch(state, f"p{number}", number))
    assert len(state._decoded) == 10
    assert [Work(state)[f"p{number}"].total for number in range(30)] == list(range(30))


def test_a_row_of_an_unknown_kind_is_not_taken_for_another() -> None:
    with pytest.raises(ValueError, match="a kind that this version does not know"):
        LaneState(TallyCodec(), {b"z\0p1\0bin/1": b"x"})


def test_the_lanes_own_row() -> None:
    state = LaneState(
        TallyCodec(), {LANE_ROW: b'{"positions":{"vitals":[7,"%s"]},"last_tick":60.0}' % str(IDS[3]).encode()}
    )
    assert state.lane.positions["vitals"].offset == 7
    assert state.lane.positions["vitals"].topic_id == IDS[3]
    assert state.lane.last_tick == 60.0
    assert len(state) == 0


@settings(max_examples=80)
@given(before=st.lists(steps, max_size=8), after=st.lists(steps, max_size=8), earlier=batches)
def test_what_was_done_to_one_entity_can_be_undone(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]], earlier: list[list[tuple[Any, ...]]]
) -> None:
    state = LaneState(TallyCodec(), {})
    for batch in earlier:
        work = Work(state)
        run(work, batch)
        state.absorb(work)
    done, undone = Work(state), Work(state)
    for work in (done, undone):
        run(work, before)
    mark = undone.mark("p1")
    run(undone, [step for step in after if step[1] == "p1"])
    undone.back("p1", mark)
    assert seen_through(state, undone) == seen_through(state, done)

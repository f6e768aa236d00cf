"""The holes that the sketch of the lanes had: what mends each, and the tests that fail without its mend.

1   An agent's cancellation is an ordinary error (`Batch.__exit__`), and so is that of anything else a lane awaits
    (`_drain_lane`); a loop that ends crashes the worker.
        test_batch.test_a_cancelled_agent_is_an_ordinary_error_for_the_lane
        test_transport.test_an_agent_that_is_cancelled_reloads_the_lane
        test_transport.test_something_awaited_that_is_cancelled_does_not_end_the_lane
        test_transport.test_the_end_of_a_loop_ends_the_worker
2   A batch has a `Work` of its own, and takes the entities out of the lane's cache.
        test_state.test_a_late_handler_of_an_abandoned_attempt_changes_nothing
        test_transport.test_a_late_agent_writes_into_what_nobody_commits
3   `_dispatch` waits for handled, for suspended flow, for a new generation, or for its deadline.
        test_transport.test_a_batch_that_a_rebalance_drops_is_handled_again
        test_transport.test_a_batch_that_nobody_handles_has_a_deadline
4   `LaneAssignor`.
        test_assignor.test_a_rolling_upgrade_never_splits_a_lane
        test_connected.check_settings
5   `read_committed`; lag is counted from the consumer's position.
        test_connected.check_aborted_records_are_not_applied
        test_polling.test_markers_are_no_lag
6   `fetch_max_wait_ms=50`.
        test_connected.check_latency_of_an_idle_lane
7   Every wait has a deadline; a producer is closed whatever happens; outcomes of sends are gathered; tombstones delete.
        test_producer.test_every_wait_has_a_deadline
        test_producer.test_a_failed_send_leaves_no_error_unheard
        test_producer.test_a_restore_takes_the_last_row_of_each_key_and_no_deleted_ones
8   One member gets all topics of a lane that it knows; the lane opens with all of them only; after a fence it waits for
    a new generation.
        test_transport.test_a_lane_opens_only_with_all_its_topics
        test_assignor.test_a_topic_the_owner_does_not_know_waits
        test_transport.test_a_fenced_lane_waits_for_a_new_generation
9   `acks=False` and `stream_wait_empty=False`.
        test_batch.test_an_agent_is_listed_under_its_handlers_name
        test_holes.test_the_worker_waits_for_no_acknowledgements
10  `Order`.
        test_order.test_a_tick_goes_when_all_others_have_reached_its_time_or_their_end
        test_transport.test_ticks_wait_for_the_other_inputs
11  The batch is halved until the event is alone; it becomes a dead letter.
        test_lane.test_halving_singles_out_the_events_that_fail
        test_transport.test_an_event_that_raises_reloads_nothing
12  A topic's id is kept beside each position; gaps are counted, also those that aiokafka passes over in silence.
        test_lane.test_a_topic_made_anew_is_read_from_its_beginning_and_counted
        test_lane.test_a_gap_left_by_retention_is_counted
        test_polling.test_what_retention_removes_while_the_lane_reads_is_counted
        test_connected.check_a_topic_made_anew
13  Checks at start; partitions that are added later end the worker.
        test_holes.test_two_agents_on_a_lane_topic_are_refused
        test_holes.test_other_partition_counts_are_refused
        test_transport.test_inputs_with_more_partitions_than_lanes_end_the_worker
14  Ticks forget, with every row; also those of whom only ids are kept.
        test_holes.test_a_patient_long_silent_is_forgotten
        test_state.test_forgetting_deletes_every_row
        test_state.test_a_patient_of_whom_only_ids_are_kept_can_be_forgotten
15  `partition_of`.
        test_forwarding.test_topics_with_other_keys_have_their_own_partitions
16  The batch is the event's value; concurrency is the number of lanes.
        test_batch.test_an_agent_changes_state_and_adds_outputs
        test_batch.test_an_agent_is_listed_under_its_handlers_name
17  Exact versions, and a look at what became of the settings.
        test_holes.test_versions_are_pinned
        test_connected.check_settings

Found since: `max_poll_interval` took idle workers out of the group for good; the watchdog died of brokers that were
away at its start; a dead letter could be larger than Kafka takes; what retention removed during a poll went uncounted.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from tests.agents.streams.fakes import add, batch_of, settings
from wardstream.agents import ticks
from wardstream.agents.patients import Rules
from wardstream.agents.streams.batch import lane_agent
from wardstream.agents.streams.state import LaneState, Work
from wardstream.infra import worker
from wardstream.infra.preflight import StartRefused, check_lanes, refuse_two_agents
from wardstream.infra.settings import Settings
from wardstream.models.patient import PatientCodec
from wardstream.schemas.ticks import Tick

YEAR_S = 365 * 86400.0


def test_every_hole_has_a_test_that_exists() -> None:
    assert __doc__ is not None
    rows = re.split(r"^(\d+) ", __doc__, flags=re.MULTILINE)[1:]
    holes = dict(zip(map(int, rows[::2]), rows[1::2], strict=True))
    assert sorted(holes) == list(range(1, 18))
    for text in holes.values():
        tests = re.findall(r"(test_\w+)\.((?:test|check)_\w+)", text)
        assert tests
        for module, name in tests:
            assert hasattr(importlib.import_module(f"tests.agents.streams.{module}"), name), name


def build_worker(tmp_path: Path) -> worker.WorkerApp:
    values: dict[str, Any] = {"broker_url": "kafka://127.0.0.1:1", "home": tmp_path, "dead_letter_key": "A" * 43 + "="}
    return worker.build_app(Settings(**values), lanes=3)


def test_the_worker_waits_for_no_acknowledgements(tmp_path: Path) -> None:
    app = build_worker(tmp_path)
    assert app.conf.stream_wait_empty is False
    assert {agent.concurrency for agent in app.agents.values()} == {3}
    refuse_two_agents(app.lane_settings.topics, app.agents.values())


def agents_of(*topics: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(channel=SimpleNamespace(topics=[topic])) for topic in topics]


def test_two_agents_on_a_lane_topic_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="vitals has 2 agents"):
        refuse_two_agents(["labs", "vitals"], agents_of("labs", "vitals", "vitals", "others", "others"))
    with pytest.raises(StartRefused, match="labs has 0 agents"):
        refuse_two_agents(["labs", "vitals"], agents_of("vitals"))
    app = build_worker(tmp_path)
    lane_agent(app, app.lane_settings.topics[0], add, 3)  # as Faust itself lists them
    with pytest.raises(StartRefused, match="has 2 agents"):
        refuse_two_agents(app.lane_settings.topics, app.agents.values())


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({"labs": 2}, "vitals does not exist"),
        ({"labs": 2, "vitals": 3}, "vitals has 3 partitions, not 2"),
        ({"labs": 4, "vitals": 4}, "labs has 4 partitions, not 2.*lanes migrate"),
        ({"labs": 2, "vitals": 2, "app-lanes-4": 4}, "state is that of 4 lanes.*lanes migrate"),
        ({"labs": 2, "vitals": 2, "app-lanes-2": 1}, "app-lanes-2 has 1 partitions"),
    ],
)
def test_other_partition_counts_are_refused(counts: dict[str, int], why: str) -> None:
    lanes = settings(topics=("labs", "vitals"), clock_topic=None, changelog="app-lanes-2", lanes=2)
    check_lanes("app", lanes, {"labs": 2, "vitals": 2, "app-lanes-2": 2, "other-lanes-9": 9})
    with pytest.raises(StartRefused, match=why):
        check_lanes("app", lanes, counts)


async def test_a_patient_long_silent_is_forgotten() -> None:
    state = LaneState(PatientCodec(), {})
    work = Work(state)
    work.first_sight("p1", uuid4())
    assert work["p1"] is not None
    work.put_child("p1", "bin/1", b"x")
    changelog = {key: value for key, value in state.absorb(work) if value is not None}
    assert changelog
    at = datetime.fromtimestamp(YEAR_S, UTC)
    tick = Tick(event_id=uuid4(), source="clock", observed_at=at, received_at=at)
    batch = batch_of(tick, topic="ticks.v1", state=state)
    await ticks.handler(Rules())(batch)
    gone = state.absorb(batch.state)
    assert {key for key, value in gone if value is None} >= set(changelog)
    assert len(state) == 0


def test_versions_are_pinned() -> None:
    """Lanes rely on what is not public in Faust and aiokafka."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    pinned = project["project"]["optional-dependencies"]["worker"]
    for name in ("faust-streaming", "aiokafka"):
        (version,) = [line.split("==")[1] for line in pinned if line.startswith(f"{name}==")]
        assert importlib.metadata.version(name) == version

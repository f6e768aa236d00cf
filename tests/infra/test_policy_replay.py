"""A policy replayed over recorded patients: who is judged, that it is the stream's own code, what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.agents.lanes import Lanes
from tests.events import topic_of
from tests.infra.feeds.test_challenge2019 import psv
from tests.models.training.tiny import write_candidate
from wardstream.agents.patients import Rules
from wardstream.agents.streams.clock import tick
from wardstream.infra.cli import main
from wardstream.infra.failure import Failure
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.pace import Send
from wardstream.infra.feeds.records import EPOCH, Record, Tally
from wardstream.infra.feeds.replay import merged, timeline
from wardstream.infra.memory_lane import Line, MemoryLane
from wardstream.infra.model_store import Store
from wardstream.infra.policy_replay import (
    OnnxModel,
    Replayed,
    Together,
    Unexplained,
    choose,
    matched,
    patient_id,
    replay,
)
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.models.training import splits
from wardstream.models.training.sepsis import CONFIG
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of, encode

WELL: dict[str, object] = {"HR": 72, "O2Sat": 97, "Temp": 36.8, "SBP": 124, "Resp": 14}
ILL = WELL | {"HR": 140, "O2Sat": 92, "Resp": 26}  # NEWS2 3 + 2 + 3
NEVER = frozenset({"consciousness", "supplemental_oxygen"})
POLICY = """\
format = 1
[tiers]
high = [{ to = ["nurse"] }]
medium = [{ to = ["nurse"] }]
[conditions.seven]
kind = "score"
of = "news2"
high = 7
end = 5
[conditions.model]
kind = "prediction"
of = "sepsis"
medium = "model"
"""


def rows(ill: set[int], label_from: int | None = None, hours: int = 18) -> bytes:
    """A stay that is bad in some hours."""
    late = {hour for hour in range(1, hours + 1) if label_from is not None and hour >= label_from}
    return psv(*((ILL if hour in ill else WELL) | {"SepsisLabel": int(hour in late)} for hour in range(1, hours + 1)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(60):
        septic = number % 4 == 0
        text = rows({4, 5, 9, 18} if septic else {3} if number % 4 == 1 else set(), 6 if septic else None)
        (folder / f"p{number:06}.psv").write_bytes(text)
    return folder


@pytest.fixture
def models(tmp_path: Path, data: Path) -> Path:
    """A repository whose model says that all hours with a heart rate of 140 are bad."""
    store = Store(tmp_path / "models", "sepsis")
    ids = [patient_id(one) for one in challenge2019.records(data)]
    locked = splits.fingerprint([ids[i] for i in splits.split(ids, [False] * len(ids)).locked])
    store.add(write_candidate(tmp_path / "candidate", locked))
    store.serve(1, "a test", CONFIG, None)
    return tmp_path / "models"


def silent(*_: Any) -> None:
    """Tells nobody."""


async def run(records: list[Record], policy: Policy, models: Path) -> Replayed:
    return await replay(records, policy, models / "sepsis" / "1", NEVER, silent, "replaying")


def told(replayed: Replayed) -> dict[str, list[tuple[str, float]]]:
    """What was told of each patient, with the hour of the stay."""
    return {
        stay.patient_id: sorted((one.condition, (one.at - EPOCH.timestamp()) / 3600) for one in stay.episodes)
        for stay in replayed.stays
    }


def test_only_locked_patients_are_judged_and_others_fix_thresholds(data: Path) -> None:
    ids = [patient_id(one) for one in challenge2019.records(data)]
    parts = splits.split(ids, [number % 4 == 0 for number in range(60)])
    found = choose(data, splits.fingerprint([ids[i] for i in parts.locked]), silent)
    assert [patient_id(one) for one in found.judged] == [ids[i] for i in parts.locked]
    assert [patient_id(one) for one in found.others] == [ids[i] for i in parts.folds[0]]
    assert found.of_training
    assert found.judged
    assert found.others
    other = choose(data, "0" * 64, silent)
    assert not other.of_training
    assert [one.id for one in other.judged] == [one.id for one in found.judged], "of other data, too"


async def test_each_episode_is_found_with_the_outcome(data: Path, models: Path) -> None:
    replayed = await run(challenge2019.records(data, 4), parse_policy(POLICY), models)
    septic, brief, *others = replayed.stays
    assert told(replayed)[septic.patient_id] == [
        *(("model", hour) for hour in (4, 9)),  # the last hour ends when the patient leaves
        *(("seven", hour) for hour in (4, 9, 18)),
    ]
    assert told(replayed)[brief.patient_id] == [("model", 3), ("seven", 3)]
    assert not any(one.episodes for one in others)
    begin = EPOCH.timestamp()
    assert septic.outcome == begin + 12 * 3600, "six hours after the first positive row"
    assert (septic.begins, septic.known, brief.outcome) == (begin, True, None)
    assert septic.ends == begin + 18 * 3600 + 60
    assert replayed.unanswered == 0
    assert len(replayed.probabilities["sepsis"][septic.patient_id]) == 18


async def test_of_a_stay_that_is_positive_from_the_beginning_the_onset_is_not_known(
    tmp_path: Path, models: Path
) -> None:
    folder = tmp_path / "early"
    folder.mkdir()
    (folder / "p1.psv").write_bytes(rows({4}, label_from=1))
    (stay,) = (await run(challenge2019.records(folder), parse_policy(POLICY), models)).stays
    assert not stay.known


async def test_the_lane_in_memory_tells_what_the_worker_s_lanes_tell(data: Path, models: Path) -> None:
    """The default policy with its timers, through the lanes that the worker's own tests drive, a minute at a time."""
    folder = models / "sepsis" / "1"
    rules = Rules(NEVER, Unexplained(OnnxModel(folder), folder.parent))
    lanes, lines, mine = Lanes(1, rules), list[Line](), list[Alert]()
    offsets = dict[str, int]()
    for item in timeline(merged(challenge2019.records(data, 6), Tally())):
        event: Any = item.event if isinstance(item, Send) else tick(item.at.timestamp())
        await lanes.give(event)
        topic = topic_of(event)
        offsets[topic] = offsets.get(topic, -1) + 1
        lines.append(Line(topic, offsets[topic], encode(event)))
    decode = decoder_of(Alert)
    await MemoryLane(rules, lambda topic, row: mine.append(decode(row.value)) if topic == "alerts.v1" else None).take(
        lines
    )
    theirs = [alert for _, alert in lanes.alerts()]
    assert {one.condition for one in mine} >= {"news2", "sepsis"}
    assert {one.transition for one in mine} >= {"raised", "escalated", "resolved", "closed"}
    shown = [(str(one.event_id), one.transition, one.priority, one.reason, one.observed_at) for one in theirs]
    assert sorted(
        (str(one.event_id), one.transition, one.priority, one.reason, one.observed_at) for one in mine
    ) == sorted(shown)


async def test_what_persists_is_told_again_after_each_acknowledgement(tmp_path: Path, models: Path) -> None:
    folder = tmp_path / "lasting"
    folder.mkdir()
    (folder / "p1.psv").write_bytes(rows(set(range(4, 15))))
    replayed = await run(challenge2019.records(folder), parse_policy(POLICY), models)
    assert told(replayed)["cinc2019-p1"] == [(name, hour) for name in ("model", "seven") for hour in (4, 8, 12)]
    wanted = matched(parse_policy(POLICY), replayed, "model", "seven")
    again = await run(challenge2019.records(folder), wanted[0], models)
    assert told(again) == told(replayed), "how often it would be told is reckoned as it is told"


async def test_policies_side_by_side_tell_what_each_tells_alone(data: Path, models: Path) -> None:
    records, own = challenge2019.records(data, 6), parse_policy(POLICY)
    together = Together({"it": own, "present": DEFAULT})
    both = await run(records, together, models)
    for name, policy in (("it", own), ("present", DEFAULT)):
        alone = await run(records, policy, models)
        assert together.stays(name, both) == alone.stays
        assert any(stay.episodes for stay in alone.stays)


async def test_a_threshold_is_set_to_tell_as_often_as_another_condition(data: Path, models: Path) -> None:
    policy = parse_policy(POLICY)
    replayed = await run(challenge2019.records(data, 12), policy, models)
    sevens = sum(one.condition == "seven" for stay in replayed.stays for one in stay.episodes)
    changed, threshold = matched(policy, replayed, "model", "seven")
    again = await run(challenge2019.records(data, 12), changed, models)
    assert sum(one.condition == "model" for stay in again.stays for one in stay.episodes) <= sevens
    assert changed.conditions["model"].medium == threshold
    assert changed.conditions["model"].by_model is None
    for condition, other in (("seven", "model"), ("none", "seven"), ("model", "none")):
        with pytest.raises(Failure):
            matched(policy, replayed, condition, other)


def test_the_command(data: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    monkeypatch.delenv("WARDSTREAM_BROKER_URL", raising=False)
    monkeypatch.setenv("WARDSTREAM_MODELS", str(models))
    monkeypatch.setenv("WARDSTREAM_NEVER_CARRIED", json.dumps(sorted(NEVER)))
    arguments = ["policy", "replay", str(file), str(data), "--match", "model=seven"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    judged = choose(data, "", silent).judged
    assert said["notes"][0].startswith(f"{len(judged)} of {len(judged)} patients locked away from the training")
    assert "model: from " in said["notes"][2]
    kinds = {kind["condition"]: kind for kind in said["it"]["kinds"]}
    septic = sum(int(one.id[1:]) % 4 == 0 for one in judged)
    assert (kinds["seven"]["true"], kinds["seven"]["sensitivity"][0]) == (septic, 1.0)
    assert kinds["seven"]["lead_h"][0] == 3.0
    assert kinds["all that is told"]["episodes"] == kinds["seven"]["episodes"] + kinds["model"]["episodes"]
    assert {kind["condition"] for kind in said["present"]["kinds"]} >= {"news2", "sepsis", "stale"}
    shown = CliRunner().invoke(main, [*arguments, "--beside", str(file), "--patients", "2"])
    assert shown.exit_code == 0, shown.output
    assert "beside it: policy" in shown.stdout
    assert "seven" in shown.stdout
    wrong = CliRunner().invoke(main, ["policy", "replay", str(file), str(models)])
    assert wrong.exit_code == 2

"""What is told of the stream, and of the model that learns."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.events import START
from tests.infra.board.ward import Wall, board
from wardstream.infra.board.flows import quality
from wardstream.infra.board.models import Models
from wardstream.infra.board.shelf import Audience
from wardstream.infra.board.system import Feeds, Systems
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.model_controls import Approval, ModelControl
from wardstream.schemas.risk_models import RiskModel


def snapshot(seconds: float, process: str = "w", **told: dict[str, float]) -> Metrics:
    return Metrics(process=process, role="worker", started_at=START, at=START + timedelta(seconds=seconds), **told)


def test_rates_lag_and_dead_letters_of_all_processes() -> None:
    wall = Wall()
    systems = Systems(wall)
    dead = 'dead_letters_total{topic="labs.v1",reason="future"}'
    for seconds in (0, 30, 60):
        told = {'events_total{topic="vitals.v1"}': 10.0 * seconds, dead: seconds / 60}
        systems.take(snapshot(seconds, counters=told, gauges={'lag_records{topic="vitals.v1"}': 7.0}))
    systems.take(snapshot(10, "gone"))
    systems.feeds.hear("monitor", START.timestamp() + 45)
    wall.go(1)
    found = json.loads(systems.whole())
    assert found["rates"] == [{"topic": "vitals.v1", "per_s": 10.0}]
    assert found["lag"] == {"vitals.v1": 7.0}
    assert found["dead"] == [{"topic": "labs.v1", "reason": "future", "total": 1.0, "per_min": 1.0}]
    assert {one["process"]: one["silent"] for one in found["processes"]} == {"w": False, "gone": True}
    assert found["feeds"] == [{"source": "monitor", "at": "2026-03-01T08:00:45Z", "per_min": 1}]
    assert found["history"] == [["2026-03-01T08:01:00Z", 10.0, None, 7.0]]
    assert systems.sources() == ["worker"]


def test_feeds_are_bounded() -> None:
    feeds = Feeds()
    for number in range(1000):
        feeds.hear(f"source {number}", 0.0)
    assert len(feeds.rows(0.0)) == 256


def test_forecasts_are_told_by_their_errors() -> None:
    labels = 'what="beds",forecaster="unit",horizon_h="8"'
    told = {
        f"flow_forecasts_scored_total{{{labels}}}": 4.0,
        f"flow_absolute_error_total{{{labels}}}": 6.0,
        f'flow_covered_total{{{labels},percent="80"}}': 3.0,
    }
    systems = Systems(Wall())
    systems.take(snapshot(0, counters=told))
    unit = 'unit="4B",what="beds",horizon_h="8"'
    of_unit = {f"flow_unit_forecasts_scored_total{{{unit}}}": 2.0, f"flow_unit_absolute_error_total{{{unit}}}": 5.0}
    systems.take(snapshot(1, "other", counters=of_unit))
    assert [(one["unit"], one["measures"]) for one in quality(systems.values(), Audience(frozenset({"4B"}), False))][
        1:
    ] == [("4B", {"mae": 2.5})]
    (row,) = quality(systems.values(), Audience(frozenset({"5C"}), operator=False))
    assert (row["target"], row["horizon_h"], row["forecasts"]) == ("beds", 8, 4)
    assert row["measures"] == {"mae": 1.5, "covered_80": 0.75}


def test_the_learning_models_versions(tmp_path: Path) -> None:
    ward, _ = board()
    models = Models(ward.ward, tmp_path)
    old, new = (
        Approval(snapshot=f"s{number}", version=f"{number}", digest="0" * 64, kind="logistic", at=START, who="op")
        for number in (1, 2)
    )
    ward.ward.control(
        ModelControl(name="risk", at=START, who="op", why="x", serving=new, approved=(old, new), silent=True)
    )
    for version in ("2", "3"):
        models.snapshot(
            RiskModel(name=f"n{version}", version=version, at=START, key_id="k", signature=bytes(64), payload=b"")
        )
    measure = 'risk_measure{model="logistic",over="lately",measure="auroc"}'
    systems = Systems(Wall())
    systems.take(snapshot(0, gauges={measure: 0.8, measure.replace("lately", "start"): 0.1}))
    (risk,) = models.answer(systems.values(), operator=True)["models"]
    assert [(one["version"], one["state"]) for one in risk["versions"]] == [
        ("2", "champion"),
        ("1", "retired"),
        ("3", "challenger"),
    ]
    assert (risk["metrics"], risk["silent_in"], risk["kind"]) == ({"auroc": 0.8}, "all", "online")
    assert (risk["calibration"], risk["course"], risk["calibrated_on"]) == ([], [], None)


def test_calibration_of_the_learner_is_merged_from_what_processes_say(tmp_path: Path) -> None:
    models, systems = Models(board()[0].ward, tmp_path), Systems(Wall())
    models.snapshot(RiskModel(name="n", version="1", at=START, key_id="k", signature=bytes(64), payload=b""))

    def counted(up_to: float, **counts: float) -> dict[str, float]:
        labels = f'model="logistic",up_to="{up_to}"'
        return {f'risk_calibration{{{labels},count="{name}"}}': value for name, value in counts.items()}

    course = {
        f'risk_course{{model="logistic",block="{block}",measure="log_loss"}}': loss
        for block, loss in ((0, 0.3), (1, 0.2), (10, 0.1))
    }
    empty = counted(1.0, predictions=0, expected=0, positives=0)
    told = (
        counted(0.1, predictions=100, expected=5, positives=4),
        counted(0.02, predictions=50, expected=0.5, positives=0),
    )
    systems.take(snapshot(0, "learner", gauges=told[0] | told[1] | course | empty))
    (risk,) = models.answer(systems.values(), operator=True)["models"]
    assert risk["calibration"] == [(0.01, 0.0, 50), (0.05, 0.04, 100)]
    assert risk["course"] == [{"log_loss": 0.1}, {"log_loss": 0.2}, {"log_loss": 0.3}], "the oldest first"
    assert risk["calibrated_on"] == "the last 150 predictions here"


def test_a_deep_models_calibration_is_that_of_its_record_and_says_so() -> None:
    repository = Path(__file__).resolve().parents[3] / "models/repository"
    models = Models(board()[0].ward, repository)
    for one in models.answer([], operator=True)["models"]:
        record = json.loads((repository / one["name"] / "1/record.json").read_text("utf-8"))
        written = record["compared"][record["chosen"]]["reliability"]
        assert one["calibration"] == [(row["said"], row["happened"], row["rows"]) for row in written]
        assert "not measured here" in one["calibrated_on"]
        assert "not measured here" in one["measured_on"]
        assert (
            one["metrics"]["ece"]
            == json.loads((repository / one["name"] / "looks.json").read_text("utf-8"))[-1]["measured"]["calibration"][
                "ece"
            ]
        )
    (deep, *_) = models.answer([], operator=False)["models"]
    assert deep.keys() == {"name", "kind", "versions"}

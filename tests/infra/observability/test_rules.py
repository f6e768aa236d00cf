"""Rules and dashboard name what is counted, and Prometheus' own linter has nothing against the rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wardstream.agents.metrics import METRICS
from wardstream.infra.observability.exposition import PREFIX

FOLDER = Path(__file__).resolve().parents[3] / "infra" / "observability"
RULES = FOLDER / "prometheus" / "rules.yaml"
RULES_TEST = FOLDER / "prometheus" / "rules_test.yaml"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "wardstream.json").read_text("utf-8"))
METRIC = re.compile(rf"(?<![\w:]){PREFIX}\w+")
LABELS = {metric.name: set(metric.labels) for metric in METRICS}
OF_EVERY_TARGET = {"job", "instance", "le"}


def exported() -> set[str]:
    names = {f"{PREFIX}process_info"}
    for metric in METRICS:
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {f"{PREFIX}{metric.name}{end}" for end in ends}
    return names


def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])


def test_every_metric_that_is_named_is_one() -> None:
    named = {name for text in expressions() for name in METRIC.findall(text)}
    assert len(named) > 30
    assert named <= exported(), sorted(named - exported())
    series = RULES_TEST.read_text("utf-8")
    assert set(METRIC.findall(series)) <= exported()


def test_every_label_that_is_asked_for_is_one() -> None:
    for text in expressions():
        for name, matchers in re.findall(rf"(?<![\w:]){PREFIX}(\w+?)(?:_bucket|_count)?\{{([^}}]*)\}}", text):
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - OF_EVERY_TARGET
            assert asked <= LABELS[name], name
        for by in re.findall(r"by \(([^)]*)\)", text):
            found = {re.sub("_(bucket|count)$", "", name.removeprefix(PREFIX)) for name in METRIC.findall(text)}
            named = [LABELS.get(name, set()) for name in found]
            if named:
                assert {label.strip() for label in by.split(",")} <= OF_EVERY_TARGET.union(*named), text


def test_recorded_names_that_are_asked_for_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for text in expressions() for name in re.findall(r"\b\w+:\w+(?::\w+)?", text) if PREFIX in name}
    assert asked
    assert asked <= recorded


def test_alerts_say_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len({alert["alert"] for alert in alerts}) == len(alerts)
    for alert in alerts:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}  # type: ignore[index]
        assert set(alert["annotations"]) == {"summary", "description"}


def test_each_alert_has_a_case_in_which_it_rings() -> None:
    told = yaml.safe_load(RULES_TEST.read_text("utf-8"))["tests"]
    asked = [one for test in told for one in test.get("alert_rule_test", ())]
    ringing = {one["alertname"] for one in asked if one.get("exp_alerts")}
    assert ringing == {rule["alert"] for rule in rules() if "alert" in rule}


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in across for y in down}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            asked = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            by = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            assert asked <= by | {"instance"}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus` brings it, as CI does")
    return found


def run(promtool: str, what: str, file: Path) -> None:
    command = [promtool, what, "rules", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("what", "file"), [("check", RULES), ("test", RULES_TEST)])
def test_prometheus_has_nothing_against_the_rules(promtool: str, what: str, file: Path) -> None:
    run(promtool, what, file)


def test_prometheus_reads_what_the_dashboard_asks(promtool: str, tmp_path: Path) -> None:
    """As rules: promtool checks no expression of its own."""
    asked = {
        target["expr"].replace("$__rate_interval", "1m").replace("$job", ".+").replace("$instance", ".+")
        for panel in panels()
        for target in panel["targets"]
    }
    made = [{"record": f"asked:number_{number}", "expr": expr} for number, expr in enumerate(sorted(asked))]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": made}]}))
    run(promtool, "check", file)

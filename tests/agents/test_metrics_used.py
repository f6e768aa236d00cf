"""Every metric is made in one place and counted somewhere; the page about them says what is."""

from __future__ import annotations

import ast
from pathlib import Path

from wardstream.agents import metrics
from wardstream.agents.metrics import METRICS, Metric
from wardstream.infra.observability.metrics_page import page

ROOT = Path(__file__).resolve().parents[2]
NAMES = {name for name, value in vars(metrics).items() if isinstance(value, Metric)}
HOME = ROOT / "agents/metrics.py"
MAKERS = frozenset({"counter", "gauge", "histogram"})
CODE = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("agents", "infra", "models", "schemas")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def names(tree: ast.AST) -> set[str]:
    """Names and attributes that are read in it."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_metrics_are_made_in_one_place() -> None:
    called = {
        path
        for path, tree in CODE.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Metric"
    }
    taken = {
        path
        for path, tree in CODE.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "wardstream.agents.meters"
        if not MAKERS.isdisjoint(alias.name for alias in node.names)
    }
    assert (called, taken) == ({ROOT / "agents/meters.py"}, {HOME})
    assert len({metric.name for metric in METRICS}) == len(METRICS), "each once"
    assert all(metric.unit and metric.meaning for metric in METRICS)


def test_every_metric_is_counted_somewhere() -> None:
    """Beyond the views: what is only shown would stand still."""
    used = set[str]()
    for path, tree in CODE.items():
        if path != HOME and "view" not in path.parts:
            used |= names(tree)
    assert used >= NAMES, sorted(NAMES - used)


def test_the_page_says_what_is() -> None:
    written = (ROOT / "infra/observability/METRICS.md").read_text(encoding="utf-8")
    assert written == page(), "make metrics-page"
    assert all(f"| `{metric.name}` | {metric.kind} | {metric.unit} |" in written for metric in METRICS)

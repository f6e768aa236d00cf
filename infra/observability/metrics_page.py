"""`infra/observability/METRICS.md`, made from `agents/metrics.py`; `make metrics-page` writes it."""

from __future__ import annotations

from wardstream.agents.metrics import METRICS, Metric
from wardstream.infra.observability.exposition import PREFIX

_HEAD = f"""# Metrics

What every process counts, on `metrics.v1` under these names and at `/metrics` with `{PREFIX}` before them, there with
`process_*` (memory, CPU time, descriptors) and `{PREFIX}process_info` (role and identity of the process). Counters and
histograms count since the start of the process. Made from `agents/metrics.py` by `make metrics-page`.

| metric | kind | unit | by | meaning |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The page as it has to be."""
    return _HEAD + "".join(_row(metric) for metric in METRICS)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    meaning = metric.meaning.replace("|", "\\|")
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {meaning} |\n"


if __name__ == "__main__":
    print(page(), end="")

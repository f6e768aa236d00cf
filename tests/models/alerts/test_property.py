"""Whatever comes in whatever order: no alert is lost, none is raised twice, and each ends by a stated rule."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.models.alerts.machine import Alerts

TestAlerts = Alerts.TestCase
TestAlerts.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,  # what is found by chance is no reason to refuse an unrelated change
    suppress_health_check=[HealthCheck.too_slow],
)

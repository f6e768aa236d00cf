"""silent-alerts.v1: what alerts.v1 would carry, of models that are silent: for operators, not for delivery.

A model that is tried is silent, in some units or everywhere (`wardstream model silence`): what it raises comes here and
nowhere else, so that nobody who follows alerts.v1 has to know of it. An alert's whole life is on one of the two topics.
Where silence ends while one is open, it expires here and, if the model still says so, is raised anew there.
"""

from typing import Final

from wardstream.schemas.alerts import Alert
from wardstream.schemas.topic import YEAR_MS, Topic


class SilentAlert(Alert, frozen=True, kw_only=True, omit_defaults=True):
    """One transition of an alert that nobody was told of."""


TOPIC: Final = Topic(
    name="silent-alerts.v1",
    type=SilentAlert,
    role="output",
    keyed_by="alert_id",
    retention_ms=YEAR_MS,
    description="Alerts of models that are silent: for operators, not for delivery.",
)

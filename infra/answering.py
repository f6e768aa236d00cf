"""A person's answer to an alert, from the API or a terminal: on the audit first, then on acknowledgements.v1."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from wardstream.infra.gateways.auth import Principal
from wardstream.schemas.acknowledgements import Acknowledgement, Action
from wardstream.schemas.alerts import Alert
from wardstream.schemas.audit import What
from wardstream.schemas.output_id import output_id

WHAT: Final[dict[Action, What]] = {
    "acknowledge": "alert_acknowledged",
    "snooze": "alert_snoozed",
    "resolve": "alert_resolved",
    "hand_over": "alert_handed_over",
    "rate": "alert_rated",
}


def own_id(given: UUID | None, who: str, about: str) -> UUID:
    """The event_id of what somebody does: the same for the same `given`, and never that of another's event."""
    return uuid4() if given is None else output_id(given, f"{who}/{about}")


def acknowledgement(
    alert: Alert,
    who: Principal,
    source: str,
    action: Action,
    *,
    seen: int,
    event_id: UUID | None = None,
    role: str | None = None,
    snooze_until: datetime | None = None,
    handed_to: str | None = None,
    useful: bool | None = None,
    comment: str | None = None,
) -> Acknowledgement:
    """An answer, given now, to the alert whose newest transition is `alert`: it goes to the patient's present id."""
    now = datetime.now(UTC)
    return Acknowledgement(
        event_id=own_id(event_id, who.name, f"{alert.alert_id}"),
        source=source,
        facility=alert.facility,
        patient_id=alert.patient_id,
        encounter_id=alert.encounter_id,
        observed_at=now,
        received_at=now,
        alert_id=alert.alert_id,
        action=action,
        actor=who.name,
        seen=seen,
        role=role,
        snooze_until=snooze_until,
        handed_to=handed_to,
        useful=useful,
        comment=comment,
    )

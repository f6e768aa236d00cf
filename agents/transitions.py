"""What every transition of an alert says, patients' and operators' alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from wardstream.models.alerts.life import Change
from wardstream.models.alerts.policy import Rule
from wardstream.schemas.alerts import ENDED
from wardstream.schemas.output_id import output_id


def told(change: Change, rule: Rule | None, caused_by: UUID, policy: str) -> dict[str, Any]:
    """The fields that `Alert` and `OperatorAlert` share.

    Parameters
    ----------
    rule : the condition's rule where the subject is; None: the policy has none any more.
    caused_by : event_id of what brought the transition about.
    policy : the digest of the policy that decided.
    """
    alert, given = change.alert, change.answer
    return {
        "event_id": output_id(alert.alert_id, str(alert.number)),
        "alert_id": alert.alert_id,
        "number": alert.number,
        "condition": change.condition,
        "kind": alert.kind,
        "transition": change.transition,
        "state": alert.state,
        "priority": alert.priority,
        "raised_at": moment(alert.raised_at),
        "reason": change.reason,
        "caused_by": caused_by,
        "stale": alert.stale,
        "tier": alert.tier,
        "to": () if rule is None else rule.told(alert.priority, alert.tier),
        "until": None if alert.until is None else moment(alert.until),
        "next_at": None if alert.next_at is None else moment(alert.next_at),
        "assigned_to": alert.assigned_to,
        "actor": change.ordered_by if given is None else given.actor,
        "actor_role": None if given is None else given.role,
        "useful": alert.useful,
        "suggestion": None if rule is None or alert.state in ENDED else rule.suggestion(alert.priority),
        "policy": policy,
    }


def moment(at: float) -> datetime:
    """A time in seconds since 1970."""
    return datetime.fromtimestamp(at, UTC)

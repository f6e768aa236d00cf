"""What a subscription may still be told: no more than who made it may see now, and nothing once the token is gone."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from wardstream.infra.gateways.auth import Principal
from wardstream.schemas.subscriptions import Subscription

_READS_NOTHING = frozenset({"publisher"})


def held(row: Subscription, owners: Mapping[str, Principal] | None) -> Subscription | None:
    """The subscription as its owner's token lets it be; None: there is no such token any more, or it reads no alerts.

    Parameters
    ----------
    owners : mapping or None
        Who holds tokens now, by name; None: there are no tokens here, and the row holds as it was made.
    """
    if owners is None:
        return row
    owner = owners.get(row.who)
    if owner is None or owner.roles <= _READS_NOTHING:
        return None
    scope = row.scope
    if owner.units is not None:
        scope = tuple(sorted(owner.units if scope is None else owner.units.intersection(scope)))
    return replace(row, scope=scope, may_answer=row.may_answer and "clinician" in owner.roles)

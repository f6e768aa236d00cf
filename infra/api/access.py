"""Who asks the API, and what they may see and do.

A token's units say whose alerts it sees, each transition by the unit in which it happened; what happened in no known
unit is for tokens without units. Viewers read; clinicians also answer and order; operators also see the alerts of
models that are silent. A publisher's token does nothing here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from wardstream.infra.addresses import host_of, is_loopback
from wardstream.infra.api.hub import Wish
from wardstream.infra.api.ring import Row
from wardstream.infra.gateways.auth import Anyone, Authority, Principal, Role
from wardstream.infra.gateways.http import Refused
from wardstream.schemas.subscriptions import Wanted

READERS: frozenset[Role] = frozenset({"viewer", "clinician", "operator"})


class Door:
    """Lets in who shows a token with the right role."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.alone = isinstance(authority, Anyone)

    def reader(self, headers: Mapping[str, str]) -> Principal:
        """Who may read alerts.

        Raises
        ------
        Refused
            With 401 (who is it?) or 403 (not with this role).
        """
        from_page = "origin" in headers or "sec-fetch-mode" in headers
        if self.alone and (from_page or not _is_here(headers.get("host", ""))):
            raise Refused(403, "without tokens browsers are not let in")  # any page that is open here could ask
        principal = self.known(headers)
        if principal is None:
            raise Refused(401, "show a token: Authorization: Bearer …", WWW_Authenticate="Bearer")
        if not principal.roles & READERS:
            raise Refused(403, "this token's role reads no alerts")
        return principal

    def clinician(self, headers: Mapping[str, str]) -> Principal:
        """Who may answer and order; raises as `reader`."""
        principal = self.reader(headers)
        if "clinician" not in principal.roles:
            raise Refused(403, "only the role clinician answers alerts and orders")
        return principal

    def known(self, headers: Mapping[str, str]) -> Principal | None:
        """Whose token is shown; None: nobody's that we know."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return self._authority.principal(token.strip() if scheme.lower() == "bearer" else "")


def sees(principal: Principal, row: Row) -> bool:
    """Whether an alert that stands as this transition says is one that somebody may see."""
    if row.silent and "operator" not in principal.roles:
        return False
    return principal.units is None or row.alert.unit in principal.units


def wish(principal: Principal, wanted: Wanted, silent: bool, scope: Collection[str] | None = None) -> Wish:
    """What somebody is told of those that match, alerts of silent models among them or not.

    Parameters
    ----------
    scope : collection of str or None
        Units to which a subscription is limited besides; None: to none.

    Raises
    ------
    Refused
        They ask for units, or silent alerts, that they may not see.
    """
    units = principal.units
    if units is not None and not units.issuperset(wanted.units):
        raise Refused(403, "units: this token may not see all of them")
    if silent and "operator" not in principal.roles:
        raise Refused(403, "silent: alerts of silent models are for the role operator")
    limits = [frozenset(one) for one in (units, scope, wanted.units or None) if one is not None]

    def wants(row: Row) -> bool:
        return (
            (silent or not row.silent)
            and (units is None or not units.isdisjoint(row.alert.told_in))
            and (scope is None or not set(row.alert.told_in).isdisjoint(scope))
            and wanted.matches(row.alert)
        )

    return Wish(wants, frozenset.intersection(*limits) if limits else None)


def _is_here(host: str) -> bool:
    """Whether a Host header names this machine: another name may have been made to lead here."""
    return is_loopback(host_of(host if host.rpartition("]")[2].count(":") else f"{host}:0"))

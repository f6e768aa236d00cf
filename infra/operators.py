"""Who works at this terminal: the token that is shown says it, for commands that must be audited."""

from __future__ import annotations

from collections.abc import Collection

from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Principal, TokenFile
from wardstream.infra.settings import PREFIX, Settings, SettingsError

ROLE = "operator"


def operator_of(settings: Settings, why_needed: str, units: Collection[str] = ()) -> Principal:
    """The operator whose token is shown.

    Parameters
    ----------
    why_needed : str
        What only operators may do.
    units : collection of str
        Where it is to be done; none: everywhere, which is not for tokens that are limited to units.

    Raises
    ------
    SettingsError
        No token is set, or no file of tokens.
    Failure
        The token is not known, not an operator's, or limited to other units.
    """
    principal = principal_of(settings, why_needed)
    if ROLE not in principal.roles:
        raise Failure(f"this token does not have the role {ROLE}: nothing was done")
    if principal.units is not None and not (units and principal.units.issuperset(units)):
        raise Failure("this token is limited to units, and this is not done in these alone: nothing was done")
    return principal


def principal_of(settings: Settings, why_needed: str) -> Principal:
    """Whose token is shown, whatever the role.

    Raises
    ------
    SettingsError
        No token is set, or no file of tokens.
    Failure
        The token is not known.
    """
    token = settings.own_token()
    if settings.tokens_file is None or token is None:
        raise SettingsError(f"{PREFIX}TOKENS_FILE and {PREFIX}TOKEN_FILE must be set: {why_needed}")
    principal = TokenFile(settings.tokens_file).principal(token)
    if principal is None:
        raise Failure("this token is not known: nothing was done")
    return principal

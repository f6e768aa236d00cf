"""Who works at this terminal: the token that is shown says it, for commands that must be audited."""

from __future__ import annotations

from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Principal, TokenFile
from wardstream.infra.settings import PREFIX, Settings, SettingsError

_ROLE = "operator"


def operator_of(settings: Settings, why_needed: str) -> Principal:
    """The operator whose token is shown.

    Parameters
    ----------
    settings : Settings
        Say where the tokens' hashes are, and ours.
    why_needed : str
        What only operators may do, for the message.

    Raises
    ------
    SettingsError
        No token is set, or no file of tokens.
    Failure
        The token is not known, or not an operator's.
    """
    token = settings.own_token()
    if settings.tokens_file is None or token is None:
        raise SettingsError(f"{PREFIX}TOKENS_FILE and {PREFIX}TOKEN_FILE must be set: {why_needed}")
    principal = TokenFile(settings.tokens_file).principal(token)
    if principal is None or _ROLE not in principal.roles:
        raise Failure("this token does not have the role operator: nothing was done")
    return principal

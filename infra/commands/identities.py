"""`wardstream identities`: who a pseudonym is. Each look-up is on the audit before anything is shown, or refused."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.infra.operators import ROLE, principal_of
from wardstream.infra.settings import PREFIX, SettingsError, kafka_client_options, load_settings
from wardstream.schemas.bad_event import BadEvent

commands = typer.Typer(no_args_is_help=True, help="Who a pseudonym is: encrypted, for operators, audited.")


@commands.callback()
def quiet() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@commands.command()
def show(
    patient: Annotated[str, typer.Argument(help="patient_id, as on the topics")],
    why: Annotated[str, typer.Option(help="the reason; it goes on the audit")],
) -> None:
    """Show name and record number behind a pseudonym.

    Needs a token with the role operator (WARDSTREAM_TOKEN_FILE) and the key (WARDSTREAM_IDENTITY_KEY_FILE). To change
    the key, put the new one in the file's first line and leave the old below: the first seals, all open.
    """
    from wardstream.infra.identities import (  # an extra: workers need none of it
        IdentitySeals,
        find_identities,
        together,
    )

    settings = load_settings()
    who = principal_of(settings, "names are shown to operators only")
    keys = settings.identity_keys()
    if not keys:
        raise SettingsError(f"{PREFIX}IDENTITY_KEY or {PREFIX}IDENTITY_KEY_FILE is not set: it opens identities")
    if not why.strip():
        raise typer.BadParameter("say why: it goes on the audit", param_hint="--why")
    options, now, allowed = kafka_client_options(settings), datetime.now(UTC), ROLE in who.roles
    try:
        asyncio.run(
            write_audit(
                options,
                settings.app_id,
                at=now,
                who=who.name,
                what="identity_shown" if allowed else "identity_refused",
                patient_id=patient,
                why=why.strip(),
            )
        )
        if not allowed:
            raise Failure(f"this token does not have the role {ROLE}: nothing was looked up, and that is on the audit")
        person = together(map(IdentitySeals(keys).open, asyncio.run(find_identities(options, patient))))
    except BadEvent as bad:
        raise Failure(f"nothing was looked up: {', '.join(bad.fields)} cannot be written on the audit") from None
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the identity cannot be read: {type(error).__name__}") from error
    for label, value in (
        ("family name", person.family),
        ("given name", person.given),
        ("record number", f"{person.number} ({person.authority})"),
        ("born", person.birth_date),
        ("sex", person.sex),
    ):
        typer.echo(f"{label:<14} {'not known' if value is None else value}")

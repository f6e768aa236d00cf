"""`wardstream tokens`: who may use the gateways, and look up names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from wardstream.infra.gateways.auth import ROLES, Role, add_token, read_tokens, remove_token
from wardstream.infra.settings import PREFIX, SettingsError, load_settings

commands = typer.Typer(no_args_is_help=True, help="Tokens: who may use the gateways. Kept as hashes only.")

_WIDE = 160  # columns where there is no terminal

Name = Annotated[str, typer.Argument(help="whose it is: a system or a person; stands in the audit")]


@commands.command()
def add(
    name: Name,
    role: Annotated[list[str], typer.Option(help=f"{', '.join(ROLES)}; several times for several")],
    unit: Annotated[list[str] | None, typer.Option(help="only this unit's patients; several times for several")] = None,
    authority: Annotated[
        str | None,
        typer.Option(help="who gave the record, visit and order numbers in its events: the gateway replaces them"),
    ] = None,
) -> None:
    """Make a token and print it. It is shown this once.

    Events of a token without an authority must carry pseudonyms as the gateways give them; others are refused.
    """
    roles: list[Role] = [known for known in ROLES if known in role]
    if len(roles) != len(set(role)):
        raise typer.BadParameter(f"one of {', '.join(ROLES)}", param_hint="--role")
    typer.echo(add_token(_file(), name, roles, unit, authority))


@commands.command("list")
def list_tokens() -> None:
    """Whose tokens there are, and what they may do."""
    table = Table("name", "roles", "units", "numbers of", "made")
    path = _file()
    for token in read_tokens(path) if path.exists() else ():
        units = "all" if token.units is None else ", ".join(token.units)
        table.add_row(
            token.name,
            ", ".join(token.roles),
            units,
            token.assigning_authority or "",
            f"{token.made_at:%Y-%m-%d %H:%M}Z",
        )
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


@commands.command()
def remove(name: Name) -> None:
    """Take a token away. Gateways that run refuse it from their next request on."""
    remove_token(_file(), name)
    typer.echo("removed")


def _file() -> Path:
    path = load_settings().tokens_file
    if path is None:
        raise SettingsError(f"{PREFIX}TOKENS_FILE is not set: the file in which the tokens' hashes are kept")
    return path

"""The `wardstream` command: one line registers a group of commands or a single one."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from wardstream.infra.commands import kafka, topics
from wardstream.infra.commands.worker import worker
from wardstream.infra.failure import Failure


class _Commands(TyperGroup):
    """Shows a `Failure` as its text, for every command in one place."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            typer.echo(f"wardstream: {failure}", err=True)
            raise typer.Exit(2) from None


main = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
main.add_typer(kafka.commands, name="kafka")
main.add_typer(topics.commands, name="topics")
main.command("worker")(worker)

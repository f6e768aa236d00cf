"""The `wardstream` command: one line registers a group of commands or a single one."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from wardstream.infra.commands import (
    alerts,
    audit,
    data,
    dead,
    feed,
    flow,
    identities,
    kafka,
    lanes,
    model,
    policy,
    serve,
    tokens,
    topics,
    triton,
    webhooks,
)
from wardstream.infra.commands.demo import demo
from wardstream.infra.commands.deploy import deploy
from wardstream.infra.commands.evaluate import evaluate
from wardstream.infra.commands.explain import explain
from wardstream.infra.commands.gate import gate
from wardstream.infra.commands.learner import learner
from wardstream.infra.commands.metrics import metrics
from wardstream.infra.commands.rollback import rollback
from wardstream.infra.commands.train import train
from wardstream.infra.commands.worker import worker
from wardstream.infra.failure import Failure
from wardstream.infra.feeds.commands import publish, replay, simulate


class _Commands(TyperGroup):
    """Shows a `Failure` as its text, and what a disk refused, for every command in one place."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            typer.echo(f"wardstream: {failure}", err=True)
            raise typer.Exit(2) from None
        except OSError as error:
            if error.filename is None:  # not of a file: nobody could tell what to mend
                raise
            typer.echo(f"wardstream: {error.strerror}: {error.filename}", err=True)
            raise typer.Exit(2) from None


main = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
main.add_typer(kafka.commands, name="kafka")
main.add_typer(triton.commands, name="triton")
main.add_typer(topics.commands, name="topics")
main.add_typer(lanes.commands, name="lanes")
main.add_typer(dead.commands, name="dead")
main.add_typer(data.commands, name="data")
main.add_typer(feed.commands, name="feed")
main.add_typer(flow.commands, name="flow")
main.add_typer(serve.commands, name="serve")
main.add_typer(alerts.commands, name="alerts")
main.add_typer(webhooks.commands, name="webhooks")
main.add_typer(tokens.commands, name="tokens")
main.add_typer(identities.commands, name="identities")
main.add_typer(audit.commands, name="audit")
main.add_typer(model.commands, name="model")
main.add_typer(policy.commands, name="policy")
main.command("worker")(worker)
main.command("learner")(learner)
main.command("simulate")(simulate)
main.command("replay")(replay)
main.command("publish")(publish)
main.command("demo")(demo)
main.command("metrics")(metrics)
main.command("explain")(explain)
for command in (train, evaluate, gate, deploy, rollback):
    main.command(command.__name__)(command)

if __name__ == "__main__":
    main()

"""`wardstream model`: what answers, what learns and what is silent; each change is audited, with who and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wardstream.infra.failure import Failure
from wardstream.infra.model_controls import (
    LEARNER,
    RISK,
    Decision,
    Tables,
    approve,
    decide,
    freeze,
    read_tables,
    roll_back,
    silence,
    standing,
    unsilence,
)
from wardstream.infra.operators import operator_of
from wardstream.infra.risk import trusted_keys
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.models import sepsis
from wardstream.models.risk.target import CHAMPION, MODELS
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.model_controls import Approval, ModelControl
from wardstream.schemas.risk_models import RiskModel

if TYPE_CHECKING:  # River and SciPy: a second of every other command's start
    from wardstream.models.risk.learner import Learner
    from wardstream.models.risk.prequential import Measures

commands = typer.Typer(no_args_is_help=True, help="Models on the stream: what answers, what learns, what is silent.")

SILENCED = (RISK, sepsis.NAME)
_WIDE = 160
_SHOWN = 15  # changes
_HEADS = ("model", "over", "predictions", "positive", "AUROC", "AUPRC", "Brier", "log loss", "slope", "E/O", "ECE")

Why = Annotated[str, typer.Option(help="the reason; it goes on the audit")]
Model = Annotated[str, typer.Argument(help=" | ".join(SILENCED))]
Units = Annotated[list[str] | None, typer.Option("--unit", help="only there; several times for several")]


@commands.callback()
def quiet() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@commands.command("list")
def list_models() -> None:
    """The learner's newest snapshot, and those that have been approved."""
    tables = _tables(load_settings())
    control, table = standing(tables, RISK), Table("version", "of", "model", "alert from", "approved", "by", "")
    newest = tables.models.get(LEARNER)
    if newest is not None:
        rests = "learning rests" if control.frozen else ""
        table.add_row(newest.version, f"{newest.at:%Y-%m-%d %H:%M}Z", "", "", "the learner's newest", "", rests)
    for one in reversed(control.approved):
        model = tables.models.get(one.snapshot)
        table.add_row(
            one.version,
            "missing" if model is None else f"{model.at:%Y-%m-%d %H:%M}Z",
            one.kind,
            "none" if one.alert_from is None else f"{one.alert_from:g}",
            f"{one.at:%Y-%m-%d %H:%M}Z",
            escape(one.who),
            "answers" if one == control.serving else "",
        )
    _print(table)
    for name in SILENCED:
        _say_silence(standing(tables, name))


@commands.command()
def show(
    version: Annotated[str | None, typer.Argument(help="an approved one; the learner's newest without it")] = None,
) -> None:
    """How good a snapshot's predictions were, what has changed, and whether it may be promoted."""
    from wardstream.infra.risk_watch import measured, said, still_changing

    settings = load_settings()
    tables = _tables(settings)
    model, learner = _newest_or(tables, version), None
    learner = _opened(model, settings)
    typer.echo(
        f"version {model.version}, {learner.examples:,} examples: {', '.join(learner.target.kinds)} "
        f"within {learner.target.horizon_h:g} h; signed by {model.key_id}"
    )
    table = Table(*_HEADS)
    for name, over, measures in measured(learner):
        table.add_row(name, escape(over), *_row(measures))
    _print(table)
    going_on = still_changing(learner)
    for change in learner.changes[-_SHOWN:]:
        typer.echo(f"example {change.example:,}: {said(change)}{' (notice open)' if change in going_on else ''}")
    for kind in MODELS:
        passed = learner.gate(kind)
        typer.echo(f"{kind}: {'may be promoted' if passed.allowed else 'may not be promoted'}")
        for reason in passed.reasons:
            typer.echo(f"- {reason}")
    control = standing(tables, RISK)
    typer.echo("learning rests" if control.frozen else "learning goes on")
    _say_silence(control)


@commands.command()
def promote(
    why: Why,
    version: Annotated[str | None, typer.Option(help="an approved one; the learner's newest without it")] = None,
    kind: Annotated[str, typer.Option("--model", help=" | ".join(MODELS))] = CHAMPION,
    alert_from: Annotated[
        float | None, typer.Option(min=0, max=1, help="alert from this probability on; as before without it")
    ] = None,
    no_alerts: Annotated[bool, typer.Option("--no-alerts", help="raise none")] = False,
    force: Annotated[bool, typer.Option("--force", help="past the gate; the audit says so")] = False,
) -> None:
    """Have a snapshot answer, if its signature holds and the gate lets it pass. Exits with 1 where it does not."""
    if kind not in MODELS:
        raise typer.BadParameter(f"one of {', '.join(MODELS)}", param_hint="--model")
    settings = load_settings()
    who = operator_of(settings, "models are promoted by operators only").name

    def decision(tables: Tables) -> Decision:
        model = _newest_or(tables, version)
        learner = _opened(model, settings)
        passed = learner.gate(kind)
        if not passed.allowed and not force:
            for reason in passed.reasons:
                typer.echo(f"- {reason}")
            typer.echo(f"version {model.version}, {kind}: the gate does not let it pass; nothing was changed")
            raise typer.Exit(1)
        before = standing(tables, RISK).serving
        as_before = None if before is None else before.alert_from
        digest = _digest(model)
        approval = Approval(
            snapshot=f"approved.{digest[:16]}",
            version=model.version,
            digest=digest,
            kind=kind,
            alert_from=None if no_alerts else as_before if alert_from is None else alert_from,
            at=datetime.now(UTC),
            who=who,
        )
        return approve(tables, approval, model, "model_promoted" if passed.allowed else "model_promoted_by_force")

    control = _decide(settings, who, why, decision)
    assert control.serving is not None, "it was approved"
    alerts = "no alerts" if control.serving.alert_from is None else f"alerts from {control.serving.alert_from:g}"
    typer.echo(f"version {control.serving.version}, {kind}, answers; {alerts}")


@commands.command()
def rollback(
    why: Why,
    version: Annotated[str | None, typer.Option(help="the version to go back to; the one before without it")] = None,
) -> None:
    """Have what answered before answer again; before the first: nothing."""
    settings = load_settings()
    who = operator_of(settings, "models are rolled back by operators only").name
    serving = _decide(settings, who, why, lambda tables: roll_back(tables, version)).serving
    typer.echo("nothing answers" if serving is None else f"version {serving.version}, {serving.kind}, answers again")


@commands.command("freeze")
def freeze_learning(why: Why) -> None:
    """Have learning rest, within two seconds; what answers goes on answering."""
    _freeze(why, True)


@commands.command()
def unfreeze(why: Why) -> None:
    """Have learning go on, with what has come meanwhile."""
    _freeze(why, False)


@commands.command("silence")
def silence_model(model: Model, why: Why, unit: Units = None) -> None:
    """Have a model's answers be computed, measured and shown to operators, and nobody else be told."""
    _silence(model, why, unit, silence)


@commands.command("unsilence")
def unsilence_model(model: Model, why: Why, unit: Units = None) -> None:
    """Have a model be heard again."""
    _silence(model, why, unit, unsilence)


def _freeze(why: str, frozen: bool) -> None:
    settings = load_settings()
    who = operator_of(settings, "learning is frozen by operators only").name
    _decide(settings, who, why, lambda tables: freeze(tables, frozen))
    typer.echo("learning rests" if frozen else "learning goes on")


def _silence(
    model: str, why: str, units: list[str] | None, change: Callable[[Tables, str, tuple[str, ...]], Decision]
) -> None:
    if model not in SILENCED:
        raise typer.BadParameter(f"one of {', '.join(SILENCED)}", param_hint="MODEL")
    settings = load_settings()
    who = operator_of(settings, "models are silenced by operators only", units or ()).name
    _say_silence(_decide(settings, who, why, lambda tables: change(tables, model, tuple(units or ()))))


def _decide(settings: Settings, who: str, why: str, decision: Callable[[Tables], Decision]) -> ModelControl:
    if not why.strip():
        raise typer.BadParameter("say why: it goes on the audit", param_hint="--why")
    try:
        return asyncio.run(decide(kafka_client_options(settings), settings.app_id, who, why.strip(), decision))
    except BadEvent as bad:
        raise Failure(f"nothing was changed: {', '.join(bad.fields)} cannot be written") from None
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the models cannot be changed: {type(error).__name__}") from error


def _tables(settings: Settings) -> Tables:
    try:
        return asyncio.run(read_tables(kafka_client_options(settings)))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the models cannot be read: {type(error).__name__}") from error


def _newest_or(tables: Tables, version: str | None) -> RiskModel:
    """The learner's newest snapshot, or the newest approved one of a version."""
    if version is None:
        name = LEARNER
    else:
        name = next((one.snapshot for one in reversed(standing(tables, RISK).approved) if one.version == version), "")
    model = tables.models.get(name)
    if model is None:
        raise Failure("no such snapshot: `wardstream model list` shows what there is")
    return model


def _digest(model: RiskModel) -> str:
    from wardstream.models.risk.snapshots import Signed

    return Signed(key_id=model.key_id, signature=model.signature, payload=model.payload).digest


def _opened(model: RiskModel, settings: Settings) -> Learner:
    from wardstream.models.risk.snapshots import Signed, SnapshotRefused, opened

    snapshot = Signed(key_id=model.key_id, signature=model.signature, payload=model.payload)
    try:
        return opened(snapshot, trusted_keys(settings))[0]
    except SnapshotRefused as refused:
        raise Failure(f"version {model.version}: {refused}") from None


def _row(measures: Measures) -> list[str]:
    counts, others = measures[:2], measures[2:]
    return [*(f"{count:,}" for count in counts), *("" if isnan(value) else f"{value:.3f}" for value in others)]


def _say_silence(control: ModelControl) -> None:
    if control.silent:
        typer.echo(f"{control.name} is silent everywhere")
    elif control.silent_units:
        typer.echo(f"{control.name} is silent in {', '.join(control.silent_units)}")
    else:
        typer.echo(f"{control.name} is heard everywhere")


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)

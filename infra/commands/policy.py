"""`wardstream policy`: which alerts are raised, when, and whom they reach; each change is audited, with who and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wardstream.infra.failure import Failure
from wardstream.infra.operators import operator_of
from wardstream.infra.policies import apply_policy, read_policies
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.models.alerts.policy import PRIORITIES, Policy, Rule
from wardstream.models.alerts.policy_file import DEFAULT, PolicyError, parse_policy
from wardstream.schemas.alert_policies import IN_FORCE, AlertPolicy
from wardstream.schemas.bad_event import BadEvent

commands = typer.Typer(no_args_is_help=True, help="Alert policies: which alerts are raised, when, for whom.")

_WIDE = 160
_HEADS = ("condition", "of", *reversed(PRIORITIES), "over", "held for", "silence", "again", "snooze", "expires", "")

Why = Annotated[str, typer.Option(help="the reason; it goes on the audit")]


@commands.callback()
def quiet() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@commands.command("check")
def check_policy(file: Annotated[Path, typer.Argument(help="a policy in TOML")]) -> None:
    """Name all mistakes, or say what the policy would do. Exits with 2 where there are mistakes."""
    policy = read_policy(file)
    typer.echo(f"sound: {policy.digest}")
    _print(_conditions(policy.conditions))
    for line in _said(policy):
        typer.echo(line)


@commands.command()
def show(
    digest: Annotated[str | None, typer.Argument(help="or its beginning; that in force without it")] = None,
) -> None:
    """Print a policy as it was applied; whose it is goes to standard error."""
    rows = _rows(load_settings())
    row = rows.get(IN_FORCE) if digest is None else _of(rows, digest)
    if row is None:
        typer.echo(f"{DEFAULT.digest}: built in; none has been applied", err=True)
        typer.echo(DEFAULT.text, nl=False)
    else:
        typer.echo(f"{row.digest}: applied {row.at:%Y-%m-%d %H:%M}Z by {row.who}: {row.why}", err=True)
        typer.echo(row.text, nl=False)


@commands.command("list")
def list_policies() -> None:
    """Those that have been applied, the newest first."""
    rows = _rows(load_settings())
    now, table = rows.pop(IN_FORCE, None), Table("digest", "applied", "by", "why", "")
    for row in sorted(rows.values(), key=lambda row: row.at, reverse=True):
        holds = "in force" if now is not None and row.digest == now.digest else ""
        built_in = "built in" if row.digest == DEFAULT.digest else ""
        marks = ", ".join(mark for mark in (holds, built_in) if mark)
        table.add_row(row.digest[:12], f"{row.at:%Y-%m-%d %H:%M}Z", escape(row.who), escape(row.why), marks)
    if now is None:
        table.add_row(DEFAULT.digest[:12], "", "", "", "in force, built in")
    _print(table)


@commands.command("apply")
def apply_file(
    why: Why,
    file: Annotated[Path | None, typer.Argument(help="a policy in TOML")] = None,
    default: Annotated[bool, typer.Option("--default", help="the built-in policy in place of a file")] = False,
) -> None:
    """Have a policy be in force: running workers obey it within two seconds."""
    if (file is None) is not default:
        raise typer.BadParameter("a file, or --default", param_hint="FILE")
    if not why.strip():
        raise typer.BadParameter("say why: it goes on the audit", param_hint="--why")
    policy = DEFAULT if file is None else read_policy(file)
    settings = load_settings()
    who = operator_of(settings, "policies are applied by operators only").name
    try:
        row = asyncio.run(apply_policy(kafka_client_options(settings), settings.app_id, who, why.strip(), policy))
    except BadEvent as bad:
        raise Failure(f"nothing was changed: {', '.join(bad.fields)} cannot be written") from None
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the policy cannot be applied: {type(error).__name__}") from error
    typer.echo(f"{row.digest} is in force")


def read_policy(file: Path) -> Policy:
    """A policy file; where it has mistakes, they are printed, and the command ends with 2."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Failure(f"{file} is not UTF-8") from None
    try:
        return parse_policy(text)
    except PolicyError as wrong:
        for mistake in wrong.mistakes:
            typer.echo(f"{file}: {mistake}", err=True)
        raise typer.Exit(2) from None


def _rows(settings: Settings) -> dict[str, AlertPolicy]:
    try:
        return asyncio.run(read_policies(kafka_client_options(settings)))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the policies cannot be read: {type(error).__name__}") from error


def _of(rows: Mapping[str, AlertPolicy], digest: str) -> AlertPolicy | None:
    """The row of a digest, or of its beginning; None: the built-in policy, which was never applied."""
    found = [row for name, row in rows.items() if name != IN_FORCE and name.startswith(digest)]
    if len(found) == 1:
        return found[0]
    if not found and DEFAULT.digest.startswith(digest):
        return None
    raise Failure("several begin like this: say more of it" if found else "no such policy was ever applied")


def _conditions(rules: Mapping[str, Rule]) -> Table:
    table = Table(*_HEADS)
    for name, rule in rules.items():
        steps = {"low": rule.low, "medium": rule.medium, "high": rule.high}
        told = {p: "" if steps[p] is None else f"{steps[p]:g}" for p in PRIORITIES}
        if rule.by_model is not None:
            told[rule.by_model] = "the model's"
        if rule.single is not None:
            told[rule.single] += " or 3 points"
        if rule.priority is not None:
            told[rule.priority] = ", ".join(sorted(rule.flags)) or "overdue"
        over = "" if rule.end is None else f"≤ {rule.end:g}"
        if rule.kind in ("prediction", "finding"):
            over = f"< {rule.end_share:.0%} of it"
        table.add_row(
            name,
            rule.of or rule.kind,
            *(told[p].strip() for p in reversed(PRIORITIES)),
            over,
            *(_long(s) for s in (rule.hold_s, rule.silence_s, rule.reassess_s, rule.max_snooze_s, rule.expire_s)),
            "silent" if rule.silent else "",
        )
    return table


def _said(policy: Policy) -> Iterator[str]:
    """Who is told, where units differ, and when it is quiet."""
    rule = next(iter(policy.conditions.values()))
    for priority in PRIORITIES:
        tiers = [f"{', '.join(to)}{f' after {_long(after)}' if after else ''}" for to, after in rule.tiers(priority)]
        repeat = rule.repeat_s(priority)
        again = "" if repeat is None else f"; again each {_long(repeat)}"
        yield f"{priority}: {'; '.join(tiers) or 'nobody is told'}{again}"
    for unit, rules in policy.units.items():
        yield f"{unit} has its own {', '.join(rules)}"
    for quiet in policy.quiet:
        where = ", ".join(sorted(quiet.units)) or "everywhere"
        waits = ", ".join(p for p in PRIORITIES if p in quiet.priorities)
        yield f"{quiet.begin:%H:%M} to {quiet.end:%H:%M} ({rule.zone}), {where}: {waits} priority waits"


def _long(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds / 3600:g} h" if seconds >= 7200 else f"{seconds / 60:g} min"


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)

"""`wardstream policy`: which alerts are raised, when, and whom they reach; each change is audited, with who and why."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import Annotated, Any, get_args

import orjson
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wardstream.infra.commands.evaluate import serving_folder
from wardstream.infra.commands.gate import head_of
from wardstream.infra.commands.progress import shown
from wardstream.infra.failure import Failure
from wardstream.infra.feeds.records import Record
from wardstream.infra.operators import operator_of
from wardstream.infra.policies import apply_policy, read_policies
from wardstream.infra.policy_replay import HORIZON_H, Patients, Replayed, Together, choose, matched, replay
from wardstream.infra.policy_site import strangers, units_heard
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.models import sepsis
from wardstream.models.alerts.policy import PRIORITIES, PatientKind, Policy, Rule
from wardstream.models.alerts.policy_file import DEFAULT, PolicyError, parse_policy
from wardstream.models.alerts.retrospect import Episode, Observed, Worth, worth
from wardstream.models.training.recipe import Report
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
    """Name all mistakes, or say what the policy would do. Exits with 2 where there are mistakes. Warns of models that
    do not serve here and, where a broker is configured, of units to which no patient has come in 30 days."""
    policy = read_policy(file)
    typer.echo(f"sound: {policy.digest}")
    _print(_conditions(policy.conditions))
    for line in _said(policy):
        typer.echo(line)
    settings = load_settings()
    for stranger in strangers(policy, settings.models, _units(settings)):
        typer.echo(f"warning: {stranger}", err=True)


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
    """Have a policy be in force: workers obey within two seconds, for each patient from the next event or timer on."""
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
    typer.echo(f"{row.digest} is in force: each patient is judged by it from the next event or timer on")


@commands.command("replay")
def replay_policy(
    file: Annotated[Path, typer.Argument(help="a policy in TOML")],
    data: Annotated[Path, typer.Argument(help="records of the form of the challenge of 2019: folder or archive")],
    beside: Annotated[Path | None, typer.Option(help="another policy in place of the one in force")] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="PREDICTION=CONDITION of FILE: raise as often, by other patients")
    ] = None,
    patients: Annotated[int | None, typer.Option(min=1, help="the first so many of those judged")] = None,
    others: Annotated[
        int | None, typer.Option(min=1, help="the first so many of those thresholds are fixed on")
    ] = None,
    horizon_h: Annotated[float, typer.Option(min=1, help="hours; for alerts without one of their own")] = HORIZON_H,
    as_json: Annotated[bool, typer.Option("--json", help="print the measures as JSON")] = False,
) -> None:
    """Say what a policy would have told of recorded patients, beside the one in force: rate, PPV, sensitivity, lead."""
    wanted = read_policy(file)
    settings = load_settings()
    present = read_policy(beside) if beside is not None else _in_force(settings)
    folder = serving_folder(sepsis.NAME)
    made = head_of(folder, sepsis.NAME)

    async def measured(report: Report) -> tuple[list[str], dict[str, Any]]:
        async def run(policy: Policy, some: Sequence[Record], task: str) -> Replayed:
            asks = any(rule.of == sepsis.NAME for rule in policy.conditions.values())
            model = folder if asks else None
            found = await replay(some, policy, model, settings.never_carried, report, task, horizon_h)
            if found.unanswered:
                raise Failure(f"the model was too slow for {found.unanswered} questions: nothing is said by halves")
            return found

        found = choose(data, made.locked, report)
        judged = found.judged[:patients]
        notes, policy = _notes(found, len(judged), settings.never_carried, horizon_h), wanted
        if match:
            if not found.of_training:
                raise Failure("--match wants all the data that the model was trained on: whom it chose by is not known")
            before = await run(policy, found.others[:others], "fixing thresholds")
            for pair in match:
                condition, _, other = pair.partition("=")
                policy, threshold = matched(policy, before, condition, other)
                notes.append(f"{condition}: from {threshold:.4f}, as often as {other} in {len(before.stays)} others")
        policies = {"it": policy, "present": present}
        together = Together(policies)
        replayed = await run(together, judged, "replaying")
        measures = {
            name: {"digest": one.digest, "kinds": list(_worth(one, together.stays(name, replayed)))}
            for name, one in policies.items()
        }
        return notes, measures

    with shown() as report:
        notes, measures = asyncio.run(measured(report))
    if as_json:
        typer.echo(orjson.dumps({"notes": notes, **measures}, option=orjson.OPT_INDENT_2).decode())
        return
    for note in notes:
        typer.echo(note)
    for name, one in measures.items():
        typer.echo(f"{file if name == 'it' else 'beside it'}: policy {one['digest'][:12]}")
        table = Table("condition", "priority", "episodes", "true", "a patient-day", "PPV", "sensitivity", "lead, h")
        for kind in one["kinds"]:
            estimates = [_told(kind[measure]) for measure in ("per_day", "ppv", "sensitivity", "lead_h")]
            mark = " (silent)" if kind["silent"] else ""
            table.add_row(
                kind["condition"] + mark, kind["priority"], f"{kind['episodes']:,}", f"{kind['true']:,}", *estimates
            )
        _print(table)


def _notes(found: Patients, judged: int, never_carried: frozenset[str], horizon_h: float) -> list[str]:
    """Who was judged, and how."""
    whose = "locked away from the training of the sepsis model" if found.of_training else "that no training would use"
    parts = ", ".join(sorted(never_carried)) or "none"
    return [
        f"{judged} of {len(found.judged)} patients {whose}; of NEWS2 the feed is declared never to carry: {parts}",
        f"an episode is true if the onset comes within its prediction's horizon, or {horizon_h:g} h",
    ]


def _worth(policy: Policy, stays: Sequence[Observed]) -> Iterator[dict[str, Any]]:
    """The whole policy but what is silent; each condition; each of its priorities where there are several."""
    silent = {name for name, rule in policy.conditions.items() if rule.silent}
    kinds = Counter((_name(one), one.priority) for stay in stays for one in stay.episodes)
    yield _kind("all that is told", "", False, worth(stays, lambda one: _name(one) not in silent))
    for name, rule in policy.conditions.items():
        if rule.kind not in get_args(PatientKind):  # feeds and models: no patient's
            continue
        priorities = [priority for priority in PRIORITIES if (name, priority) in kinds]
        for some in (priorities, *([priority] for priority in priorities if len(priorities) > 1)):
            found = worth(stays, partial(_is_of, name, some))
            yield _kind(name, ", ".join(some), name in silent, found)


def _is_of(condition: str, priorities: Sequence[str], episode: Episode) -> bool:
    return _name(episode) == condition and episode.priority in priorities


def _name(episode: Episode) -> str:
    """The condition; of a result without its analyte."""
    return episode.condition.split(".", 1)[0]


def _kind(condition: str, priority: str, silent: bool, found: Worth) -> dict[str, Any]:
    estimates = {name: list(getattr(found, name)) for name in ("per_day", "ppv", "sensitivity", "lead_h")}
    counts = {"episodes": found.episodes, "true": found.true}
    return {"condition": condition, "priority": priority, "silent": silent, **counts, **estimates}


def _told(estimate: Sequence[float]) -> str:
    value, low, high = estimate
    return "" if isnan(value) else f"{value:.3g} ({low:.3g}–{high:.3g})"


def _units(settings: Settings) -> set[str] | None:
    """Units that have been heard of; None: that cannot be asked."""
    if settings.broker_url is None:
        return None
    try:
        return asyncio.run(units_heard(kafka_client_options(settings)))
    except (Failure, KafkaError, TimeoutError, OSError):
        typer.echo("warning: the cluster does not answer, or has no admissions: units are not looked for", err=True)
        return None


def _in_force(settings: Settings) -> Policy:
    """The policy in force; without a cluster the built-in one."""
    if settings.broker_url is None:
        return DEFAULT
    row = _rows(settings).get(IN_FORCE)
    return DEFAULT if row is None else parse_policy(row.text)


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

"""`wardstream data check PATH…`: what recorded patients or films hold, and what is wrong with them, before training."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.table import Table

from wardstream.infra import films
from wardstream.infra.commands.progress import shown
from wardstream.infra.stays import survey
from wardstream.models.sepsis import SIGNALS
from wardstream.models.training.stays import Stays

commands = typer.Typer(no_args_is_help=True, help="Recorded patients and films, as they were downloaded.")
_WIDE = 120


@commands.callback()
def group() -> None:
    """Keep `check` a command of its own, for others to come."""


@commands.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="files, archives or folders")],
    as_json: Annotated[bool, typer.Option("--json", help="print it as JSON")] = False,
    patients: Annotated[int | None, typer.Option(min=1, help="the first so many of each path")] = None,
) -> None:
    """Read everything, and say what is there, what was refused and why. Exits with 1 when something must be mended."""
    told = _of_films(paths, patients) if films.holds_films(paths) else _of_stays(paths, patients)
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console()
        table = _table(told) if "labelled" in told else _table_of_films(told)
        (console if console.is_terminal else Console(width=_WIDE)).print(table)
        for problem in told["problems"]:
            typer.echo(f"- {problem}", err=True)
        if "files" in told and told["files"]["faulty"]:
            typer.echo(
                "{faulty} of {read} files have faults; the rest is of the others".format(**told["files"]), err=True
            )
    if told["problems"]:
        raise typer.Exit(1)


def _of_films(paths: list[Path], limit: int | None) -> dict[str, Any]:
    with shown() as report, TemporaryDirectory() as nothing_kept:
        found, _ = films.read(paths, Path(nothing_kept), report, limit)
    return {"data_hash": found.data_hash, **films.described(found), "problems": films.problems(found)}


def _of_stays(paths: list[Path], limit: int | None) -> dict[str, Any]:
    with shown() as report:
        checked = survey(paths, report, limit)
    found, tally = checked.recorded, checked.tally
    told: dict[str, Any] = {"data_hash": found.data_hash, "files": {"read": checked.files, "faulty": checked.faulty}}
    told |= {name: described(one) for name, one in (("labelled", found.stays), ("unlabelled", found.unlabelled))}
    told |= {"refused": dict(tally.rejected.most_common()), "left_out": dict(tally.dropped.most_common())}
    return told | {"problems": checked.faults + problems(found.stays) + problems(found.unlabelled)}


def described(stays: Stays) -> dict[str, Any]:
    """Counts, ages and sexes, and the share of hours in which each signal was measured."""
    if not len(stays):
        return {"patients": 0}
    hours = np.diff(stays.starts)
    there, known = ~np.isnan(stays.grid), stays.age[~np.isnan(stays.age)]
    return {
        "patients": len(stays),
        "hours": int(hours.sum()),
        "hours_a_stay": [float(v) for v in np.percentile(hours, (0, 50, 100))],
        "septic_patients": sum(stays.positive),
        "known_onsets": int(sum(not np.isnan(stays.onset(i)) for i in range(len(stays)))),
        "positive_hours": int((stays.label == 1).sum()),
        "age_years": [float(v) for v in np.percentile(known, (0, 50, 100))] if len(known) else None,
        "sex": dict(Counter(map(str, stays.sex))),
        "measured_share": {
            code: round(float(share), 4) for code, share in zip(SIGNALS, there.mean(axis=0), strict=True)
        },
    }


def problems(stays: Stays) -> list[str]:
    """What must be mended before training: the same patient twice would be on both sides of a split."""
    seen, copies = set[bytes](), list[str]()
    for i, name in enumerate(stays.ids):
        content = hashlib.sha256(stays.rows(i).tobytes()).digest()
        if content in seen:
            copies.append(name)
        seen.add(content)
    falling = [bool((np.diff(stays.labels(i)[stays.labels(i) >= 0]) < 0).any()) for i in range(len(stays))]
    found = {
        "patients come more than once": [name for name, n in Counter(stays.ids.tolist()).items() if n > 1],
        "stays are copies of another under another number": copies,
        "stays have no measurement at all": [name for i, name in enumerate(stays.ids) if np.isnan(stays.rows(i)).all()],
        "stays have labels that go back from 1 to 0": list(stays.ids[falling]),
    }
    return [f"{len(names)} {what}: {', '.join(names)}" for what, names in found.items() if names]


def _table_of_films(told: dict[str, Any]) -> Table:
    table = Table("what", "found")
    for name, value in told.items():
        if isinstance(value, dict):
            for what, count in value.items():
                table.add_row(f"{name.replace('_', ' ')}: {what.replace('_', ' ')}", str(count))
        elif name != "problems":
            table.add_row(name.replace("_", " "), str(value))
    return table


def _table(told: dict[str, Any]) -> Table:
    table = Table("what", "labelled", "unlabelled")
    for name in told["labelled"] | told["unlabelled"]:
        values = [told[side].get(name, "") for side in ("labelled", "unlabelled")]
        if name == "measured_share":
            for code in SIGNALS:
                table.add_row(f"measured: {code}", *(str(side[code]) if side else "" for side in values))
        else:
            table.add_row(name, *map(str, values))
    table.add_row("files", str(told["files"]["read"]))
    for name in ("refused", "left_out"):
        for what, count in told.get(name, {}).items():
            table.add_row(f"{name.replace('_', ' ')}: {what}", str(count), "")
    return table

"""`wardstream gate MODEL DATA…`: whether a candidate may serve, by what was declared before. Each look is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from wardstream.infra.commands.progress import shown
from wardstream.infra.commands.train import training_folder
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Store
from wardstream.infra.recipes import OTHER_CODE, code_differs, missing, recipe_of
from wardstream.infra.settings import load_settings
from wardstream.models.training.record import MODEL, RECORD, Head, file_hash, head
from wardstream.models.training.splits import fingerprint

_EXIT = {"accepted": 0, "rejected": 1, "not_enough_data": 3}


def gate(
    model: Annotated[str, typer.Argument(help="such as sepsis")],
    data: Annotated[list[Path], typer.Argument(help="as in the training: the locked patients are in it")],
    candidate: Annotated[Path | None, typer.Option(help="the candidate's folder; the newest without it")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the verdict as JSON")] = False,
    patients: Annotated[int | None, typer.Option(min=1, help="as in the training")] = None,
) -> None:
    """Accept a candidate, or say what to improve. Exits with 0 accepted, 1 rejected, 3 not enough data."""
    reader, recipe = recipe_of(model)
    chosen = candidate if candidate is not None else newest_candidate(model)
    made = check_candidate(chosen, model)
    other_code = code_differs(model, made)
    if other_code:
        typer.echo(OTHER_CODE, err=True)
    store = Store(load_settings().models, model)
    version = store.serving()
    serving = None if version is None else store.version(version)
    if serving is not None:
        head_of(serving, model)  # before the look: what cannot be read must not cost one
    with shown() as report:
        found, _ = reader(data, training_folder(model) / "data", report, patients)
        if fingerprint(recipe.locked(found)) != made.locked:  # a mistake, and nothing has been looked at
            raise Failure("the locked patients are not those of the training: give the data it was trained on")
        look = store.count_look(chosen, "begun", str(getattr(found, "data_hash", "")), other_code)
        try:
            verdict = recipe.gate(chosen, serving, found, look.number, report)
        except ModuleNotFoundError as error:
            raise missing(error) from error
        except (FileNotFoundError, ValueError) as error:
            raise Failure(f"{type(error).__name__}: {error}") from error
    store.settle_look(look.number, verdict.outcome, verdict.measured)
    if as_json:
        told = {
            "look": look.number,
            "outcome": verdict.outcome,
            "reasons": verdict.reasons,
            "code_differs": other_code,
            "measured": verdict.measured,
        }
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        against = f"{recipe.baseline}, since nothing serves yet" if version is None else f"version {version}"
        typer.echo(f"look {look.number} at the locked patients, against {against}: {verdict.outcome}")
        for reason in verdict.reasons:
            typer.echo(f"- {reason}")
    raise typer.Exit(_EXIT[verdict.outcome])


def check_candidate(folder: Path, model: str) -> Head:
    """Refuse a folder that holds no candidate of a model, or weights that its record is not of.

    Raises
    ------
    Failure
        Says which.
    """
    for name in (MODEL, RECORD):
        if not (folder / name).is_file():
            raise Failure(f"{folder} is no candidate: it has no {name}")
    made = head_of(folder, model)
    if made.model_hash != file_hash(folder / MODEL):
        raise Failure(f"{folder}: its {RECORD} is not of this {MODEL}: train again")
    return made


def head_of(folder: Path, model: str) -> Head:
    """What a folder's record says of any model.

    Raises
    ------
    Failure
        There is none; it is torn, or of another form or model.
    """
    try:
        return head(folder, model)
    except FileNotFoundError as error:
        raise Failure(f"{folder} is no model's folder: it has no {RECORD}") from error
    except ValueError as error:
        raise Failure(str(error)) from error


def newest_candidate(model: str) -> Path:
    """The candidate that was made last.

    Raises
    ------
    Failure
        There is none.
    """
    found = [path.parent for path in training_folder(model).glob("*/candidate/record.json")]
    if not found:
        raise Failure(f"no candidate of {model}: `wardstream train {model}` makes one")
    return max(found, key=lambda folder: (folder / "record.json").stat().st_mtime)

"""`wardstream evaluate MODEL DATA…`: how good a model is on any data of the format; needs ONNX Runtime, not torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from wardstream.infra.commands.gate import head_of
from wardstream.infra.commands.progress import shown
from wardstream.infra.commands.train import training_folder
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Store
from wardstream.infra.recipes import OTHER_CODE, code_differs, missing, recipe_of
from wardstream.infra.settings import load_settings
from wardstream.models.training.recipe import LEARNT_FROM, LOCKED_OUT, MAYBE_LOCKED, Metrics

_WIDE = 120


def evaluate(
    model: Annotated[str, typer.Argument(help="such as sepsis: the serving version")],
    data: Annotated[list[Path], typer.Argument(help="files, archives or folders, with labels or without")],
    as_json: Annotated[bool, typer.Option("--json", help="print the metrics as JSON")] = False,
    folder: Annotated[Path | None, typer.Option(help="of another version or a candidate")] = None,
    predictions: Annotated[Path | None, typer.Option(help="write each answer here, one JSON a line")] = None,
    patients: Annotated[int | None, typer.Option(min=1, help="the first so many of each path")] = None,
) -> None:
    """Judge a model. Locked films, and of the data of its training the locked patients, are left out."""
    reader, recipe = recipe_of(model)
    chosen = folder if folder is not None else serving_folder(model)
    with shown() as report:
        found, _ = reader(data, training_folder(model) / "data", report, patients)
        other_code = code_differs(model, head_of(chosen, model))
        try:
            evaluation = recipe.evaluate(chosen, found, report)
        except ModuleNotFoundError as error:
            raise missing(error) from error
        except FileNotFoundError as error:
            raise Failure(f"{chosen} is no model's folder: it has no {Path(error.filename or '').name}") from error
        except ValueError as error:
            raise Failure(str(error)) from error
    if other_code:
        typer.echo(OTHER_CODE, err=True)
    for line in _told(evaluation.metrics):
        typer.echo(line, err=True)
    if predictions is not None:
        predictions.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in evaluation.rows))
    if as_json:
        typer.echo(orjson.dumps(evaluation.metrics, option=orjson.OPT_INDENT_2).decode())
    else:
        Console(width=None if Console().is_terminal else _WIDE).print(_table(evaluation.metrics))


def serving_folder(model: str) -> Path:
    """The folder of the version that serves.

    Raises
    ------
    Failure
        None does.
    """
    store = Store(load_settings().models, model)
    version = store.serving()
    if version is None:
        raise Failure(f"no version of {model} serves yet: name a folder with --folder, or deploy one")
    return store.version(version)


def _told(metrics: Metrics) -> list[str]:
    """What must be known to read the measures."""
    found = []
    if metrics[LEARNT_FROM]:
        found.append("the model has learnt from these data: others will be answered worse")
    if locked := metrics[LOCKED_OUT]:
        found.append(f"{locked} are locked, for the gate alone, and left out")
    if maybe := metrics.get(MAYBE_LOCKED):
        found.append(
            f"if these are patients of the training, {maybe} of them are locked: this was a look at them that is not "
            "counted, and the others were learnt from; give the whole data of the training, or others"
        )
    return found


def _table(metrics: Any) -> Table:
    table = Table("measure", "value", "95 % interval")
    for name, value in _flat(metrics):
        if isinstance(value, dict):
            interval = value.get("interval")
            table.add_row(name, _text(value["value"]), "" if interval is None else " to ".join(map(_text, interval)))
        else:
            table.add_row(name, _text(value), "")
    return table


def _flat(found: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(found, dict) and "value" not in found:
        return [row for key, value in found.items() for row in _flat(value, f"{name} {key}".strip())]
    return [] if isinstance(found, list) else [(name, found)]


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)

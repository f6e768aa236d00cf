"""`wardstream train MODEL DATA…`: from recorded patients to a candidate. Under torchrun: in several processes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from wardstream.infra.commands.progress import shown
from wardstream.infra.failure import Failure
from wardstream.infra.recipes import missing, recipe_of
from wardstream.infra.settings import load_settings
from wardstream.models.training.recipe import Settings, TooLittle


def train(
    model: Annotated[str, typer.Argument(help="such as sepsis")],
    data: Annotated[list[Path], typer.Argument(help="files, archives or folders as they were downloaded")],
    only: Annotated[str, typer.Option(help="parts of the recipe, with commas; all without it")] = "",
    seed: Annotated[int, typer.Option(help="of everything that is left to chance")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="at most; the recipe's own number without it")] = None,
    patients: Annotated[int | None, typer.Option(min=1, help="the first so many of each path: to try it")] = None,
) -> None:
    """Train a model: compare learners on the same patients, choose, export. Goes on where it was interrupted."""
    reader, recipe = recipe_of(model)
    folder = training_folder(model)
    settings = Settings(seed=seed, only=tuple(filter(None, re.split(r"[,\s]+", only))), epochs=epochs)
    with shown() as report:
        found, _ = reader(data, folder / "data", report, patients)
        try:
            done = recipe.train(found, folder, settings, report)
        except ModuleNotFoundError as error:
            raise missing(error) from error
        except (TooLittle, ValueError) as error:
            raise Failure(str(error)) from error
    typer.echo(done)


def training_folder(model: str) -> Path:
    """Where a model's training keeps its work."""
    return load_settings().home / "training" / model

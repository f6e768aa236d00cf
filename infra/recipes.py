"""Every model that can be trained: who reads its data, and its recipe. Adding a model adds a line.

Both are named and imported when they are asked for, because a recipe may need what the stream never does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from wardstream.infra.failure import Failure
from wardstream.models.training.recipe import Recipe, Report
from wardstream.models.training.record import Head


class Entry(NamedTuple):
    """Where a model's parts are, as `module:name`.

    Attributes
    ----------
    reader : str
        `(paths, cache folder, report, limit) -> (data, what was not used or None)`; raises `Failure`.
    recipe : str
        A `Recipe` of what the reader returns.
    code_hash : str
        `() -> str`: what a record made now would have as its `code_hash`.
    """

    reader: str
    recipe: str
    code_hash: str


MODELS: Final[dict[str, Entry]] = {
    "sepsis": Entry(
        "wardstream.infra.stays:read",
        "wardstream.models.training.sepsis:RECIPE",
        "wardstream.infra.stays:code_hash",
    ),
    "chest_xray": Entry(
        "wardstream.infra.films:read",
        "wardstream.models.training.chest_xray:RECIPE",
        "wardstream.models.training.chest_xray:code_hash",
    ),
}

OTHER_CODE: Final = (
    "the code that this model was made with (code_hash in record.json) has another text now: if more than comments "
    "changed, it may be asked other than what it learnt; compare `evaluate` with its card, or train again"
)

Reader = Callable[[Sequence[Path], Path, Report, int | None], tuple[Any, Any]]


def recipe_of(model: str) -> tuple[Reader, Recipe[Any]]:
    """The reader and the recipe of a model.

    Raises
    ------
    Failure
        There is no such model, or a package that it needs is not installed.
    """
    if model not in MODELS:
        raise Failure(f"no model of that name; there are {', '.join(MODELS)}")
    return _found(MODELS[model].reader), _found(MODELS[model].recipe)


def code_differs(model: str, made: Head) -> bool:
    """Whether the code that a model was made with (`code_hash` of its record) has another text now.

    Raises
    ------
    Failure
        A package that it needs is not installed.
    """
    return bool(_found(MODELS[model].code_hash)() != made.code_hash)


def _found(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise missing(error) from error


def missing(error: ModuleNotFoundError) -> Failure:
    """What to say when a package of an extra is not there."""
    extra = "evaluate" if error.name in ("numpy", "onnxruntime") else "train"
    return Failure(f"{error.name} is not installed: pip install 'wardstream[{extra}]' (here: make train-env)")

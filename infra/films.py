"""Films for training and judging, as `wardstream train`, `evaluate` and `gate` want them read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wardstream.infra.failure import Failure
from wardstream.models.training import chest_films
from wardstream.models.training.chest_films import Films
from wardstream.models.training.recipe import Report


def read(paths: Sequence[Path], cache: Path, report: Report, limit: int | None = None) -> tuple[Films, None]:
    """Read one npz file of films, the first `limit` of them; nothing is cached, since it takes seconds.

    Raises
    ------
    Failure
        It is not one file, or of another form.
    """
    if len(paths) != 1:
        raise Failure("chest_xray takes one .npz file of images: duplicates could not be found across several")
    report("reading", 0, 1)
    try:
        films = chest_films.read(paths[0])
    except FileNotFoundError as error:
        raise Failure(f"no such file: {paths[0]}") from error
    except (OSError, ValueError) as error:
        raise Failure(f"{paths[0].name} is no file of films: {error}") from error
    report("reading", 1, 1)
    return films if limit is None else films.only(np.arange(min(limit, len(films.ids)))), None

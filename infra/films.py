"""Films for training and judging, as `wardstream data check`, `train`, `evaluate` and `gate` want them read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from wardstream.infra.failure import Failure
from wardstream.models.training import chest_films
from wardstream.models.training.chest_films import Films
from wardstream.models.training.recipe import Report

SUFFIX: Final = ".npz"


def holds_films(paths: Sequence[Path]) -> bool:
    """Whether one of the paths is a file of films, or a folder with one."""
    return any(path.suffix == SUFFIX or (path.is_dir() and any(path.rglob(f"*{SUFFIX}"))) for path in paths)


def read(paths: Sequence[Path], cache: Path, report: Report, limit: int | None = None) -> tuple[Films, None]:
    """Read one npz file of films, the first `limit` of them; nothing is cached, since it takes seconds.

    Raises
    ------
    Failure
        It is not one file, or of another form.
    """
    if len(paths) != 1:
        raise Failure("chest_xray takes one .npz file of images: duplicates could not be found across several")
    path = _file(paths[0])
    report("reading", 0, 1)
    if not zipfile.is_zipfile(path):
        raise Failure(f"{path.name} is no {SUFFIX} file, or not all of one")
    try:
        films = chest_films.read(path)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise Failure(f"{path.name} is damaged: {type(error).__name__}") from error
    except (OSError, ValueError) as error:
        raise Failure(f"{path.name} is no file of films: {error}") from error
    if not films.ids:
        raise Failure(f"{path.name} holds no films, or only such as contradict one another")
    report("reading", 1, 1)
    return films if limit is None else films.only(np.arange(min(limit, len(films.ids)))), None


def _file(path: Path) -> Path:
    """The file itself, or the one of a folder."""
    if not path.is_dir():
        if not path.is_file():
            raise Failure(f"no such file or folder: {path}")
        return path
    found = sorted(path.rglob(f"*{SUFFIX}"))
    if len(found) != 1:
        raise Failure(f"{path} holds {len(found)} {SUFFIX} files, and one is wanted")
    return found[0]


def described(films: Films) -> Mapping[str, Any]:
    """Counts, labels, what was left out, and how bright the films are."""
    return {
        "films": len(films.ids),
        "labels": {name: int((films.label == value).sum()) for name, value in _LABELS.items()},
        "locked": sum(map(chest_films.is_locked, films.ids)),
        "left_out": films.left_out,
        "mean_grey": [round(float(v), 4) for v in np.percentile(films.pixels.mean(axis=(1, 2)), (0, 50, 100))],
    }


def problems(films: Films) -> list[str]:
    """What must be mended before training. That films of one child may be on both sides of a split, nobody can see."""
    found = []
    blank = int((np.ptp(films.pixels, axis=(1, 2)) == 0).sum())
    if blank:
        found.append(f"{blank} films are blank")
    if (films.label >= 0).any():
        for value, name in ((0, "without"), (1, "with")):
            if not (films.label == value).any():
                found.append(f"no film {name} pneumonia")
    return found


_LABELS: Final = {"without": 0, "with": 1, "not_known": -1}

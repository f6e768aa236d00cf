"""The films that `chest_xray` learns from, without duplicates, in folds; and how they are shifted to test it.

PneumoniaMNIST (MedMNIST v2: Yang et al., Sci Data 2023;10:41; CC BY 4.0) brings no patient ids, and a child may have
several films: folds by image, and intervals over images, may be too good. What can be done is done: films that are the
same, or nearly, count once, also across the set's own parts, and those that disagree on the label are left out.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.training.recipe import TooLittle

# Root mean square difference of grey levels 0–1 of the same film saved again. In PneumoniaMNIST no two films that are
# not equal are nearer than 0.033, and from there on there is no gap: those may be other films of one child.
NEAR: Final = 0.02
LOCKED_SHARE: Final = 15  # of 100 films, by their hash: for the gate alone
FOLDS: Final = 5
LEAST: Final = 20  # films of each label

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]


class Films(NamedTuple):
    """Films and what is known of them.

    Attributes
    ----------
    pixels : (n, 28, 28)
        Grey levels 0–1.
    label : (n,)
        1: pneumonia, 0: none; −1: not known.
    ids : list of str
        SHA-256 of the pixels as they came.
    left_out : mapping
        Films that were left out, by why.
    """

    pixels: Pixels
    label: Labels
    ids: list[str]
    left_out: dict[str, int]

    @property
    def data_hash(self) -> str:
        """Of the films and their labels."""
        return hashlib.sha256("".join(sorted(map("{}{}".format, self.ids, self.label))).encode()).hexdigest()

    def only(self, rows: npt.NDArray[np.int64]) -> "Films":
        """Some of them."""
        return Films(self.pixels[rows], self.label[rows], [self.ids[row] for row in rows], self.left_out)


def read(path: Path) -> Films:
    """Read an npz file of `<part>_images` (n, 28, 28) bytes and, if known, `<part>_labels`.

    Raises
    ------
    ValueError
        It has another form; the text names the array.
    """
    images, labels = [], []
    with np.load(path, allow_pickle=False) as arrays:
        for name in sorted(arrays.files):
            if not name.endswith("_images"):
                continue
            part, known = arrays[name], name.replace("_images", "_labels")
            if part.ndim != 3 or part.shape[1:] != (28, 28) or part.dtype != np.uint8:
                raise ValueError(f"{name} is not (n, 28, 28) bytes")
            label = arrays[known].reshape(-1) if known in arrays.files else np.full(len(part), -1)
            if len(label) != len(part) or not np.isin(label, (-1, 0, 1)).all():
                raise ValueError(f"{known} is not a 0 or 1 for each image")
            images.append(part)
            labels.append(label.astype(np.int8))
    if not images:
        raise ValueError("there is no array of images")
    return single(np.concatenate(images), np.concatenate(labels))


def single(images: npt.NDArray[np.uint8], label: Labels) -> Films:
    """Each film once."""
    pixels = images.astype(np.float32) / np.float32(255)
    kept, exact, near, contradicting = [], 0, 0, 0
    for group in same(pixels):
        identical = len({images[row].tobytes() for row in group})
        exact += len(group) - identical
        known = {int(label[row]) for row in group} - {-1}
        if len(known) > 1:
            contradicting += identical
            continue
        near += identical - 1
        kept.append(min(group, key=lambda row: (-int(label[row]), row)))  # one whose label is known, if any
    rows = np.array(sorted(kept), np.int64)
    ids = [hashlib.sha256(images[row].tobytes()).hexdigest() for row in rows]
    return Films(pixels[rows], label[rows], ids, {"exact": exact, "near": near, "contradicting": contradicting})


def same(pixels: Pixels, block: int = 1_000) -> Iterator[list[int]]:
    """Groups of films that are the same or nearly so; most are groups of one."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    squares = (flat**2).sum(axis=1)
    parent = list(range(len(flat)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    limit = NEAR**2 * flat.shape[1]
    for start in range(0, len(flat), block):
        part = flat[start : start + block]
        distance = squares[start : start + block, None] + squares[None] - 2 * part @ flat.T
        for row, other in zip(*np.nonzero(distance < limit), strict=True):
            if start + row < other:
                parent[root(int(start + row))] = root(int(other))
    groups: dict[int, list[int]] = {}
    for row in range(len(flat)):
        groups.setdefault(root(row), []).append(row)
    yield from groups.values()


def is_locked(film_id: str) -> bool:
    """Whether a film is for the gate alone: by its hash, so that it stays so in whatever set it comes again."""
    return int(film_id[:8], 16) % 100 < LOCKED_SHARE


def without_locked(films: Films) -> Films:
    """Those that are not locked: of anybody's films 15 of 100 are, for a film brings its lock.

    Raises
    ------
    TooLittle
        All are.
    """
    found = films.only(np.flatnonzero([not is_locked(one) for one in films.ids]))
    if not found.ids:
        raise TooLittle("all these films are locked (by their hash): only the gate looks at them")
    return found


def folds(label: Labels, seed: int, count: int = FOLDS) -> npt.NDArray[np.int64]:
    """The fold of each film, each with the same share of both labels."""
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(label), np.int64)
    for value in np.unique(label):
        rows = rng.permutation(np.flatnonzero(label == value))
        fold[rows] = np.arange(len(rows)) % count
    return fold


def shifts(pixels: Pixels, seed: int) -> Iterator[tuple[str, Pixels]]:
    """Films as another detector might show them: brighter, darker, flatter, steeper, noisier."""
    rng = np.random.default_rng(seed)
    yield "none", pixels
    for change in (-0.2, 0.2):
        yield f"brightness {change:+.1f}", np.clip(pixels + np.float32(change), 0, 1)
    for factor in (0.6, 1.4):
        yield f"contrast ×{factor:.1f}", np.clip((pixels - 0.5) * np.float32(factor) + 0.5, 0, 1)
    for deviation in (0.05, 0.1):
        noise = rng.normal(0, deviation, pixels.shape).astype(np.float32)
        yield f"noise {deviation:.2f}", np.clip(pixels + noise, 0, 1)


def open_films(films: Films) -> Films:
    """Labelled films that are not locked.

    Raises
    ------
    TooLittle
        Fewer than `LEAST` of a label, or all are locked.
    """
    found = without_locked(films)
    found = found.only(np.flatnonzero(found.label >= 0))
    for value, name in ((0, "without"), (1, "with")):
        if (found.label == value).sum() < LEAST:
            raise TooLittle(f"fewer than {LEAST} films {name} pneumonia")
    return found

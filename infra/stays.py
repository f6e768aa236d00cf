"""Recorded patients for training and judging: the feeds' own events, made into arrays once and kept.

The arrays are kept under the home folder by a hash of the data and of all code between the file and the array, so that
a change of either makes them anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import wardstream.infra.feeds.challenge2012 as challenge2012
import wardstream.infra.feeds.challenge2019 as challenge2019
from wardstream.infra.feeds import archive, records
from wardstream.infra.feeds.records import EPOCH, Record, Tally
from wardstream.models import bins, sepsis, signals, vitals
from wardstream.models.labs import analytes, units
from wardstream.models.training import stays
from wardstream.models.training.recipe import Report
from wardstream.models.training.stays import Course, Recorded, Stays, course, stack

_MODULES: Final = (
    *(archive, records, challenge2012, challenge2019, bins, sepsis, signals, vitals, analytes, units, stays),
)
_SHOWN_EACH: Final = 50  # patients


def code_hash() -> str:
    """A hash of the code between the files and the arrays."""
    found = hashlib.sha256()
    for module in _MODULES:
        found.update(Path(str(module.__file__)).read_bytes())
    return found.hexdigest()


def data_hash(paths: Sequence[Path]) -> str:
    """A hash of files, or of all files in folders with their names."""
    found = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.update(file.name.encode() + b"\0")
                found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def find(path: Path, limit: int | None = None) -> list[Record]:
    """The records of a path, of whichever challenge it holds.

    Raises
    ------
    SourceError
        It holds none, or cannot be read.
    """
    try:
        return challenge2019.records(path, limit)
    except archive.NoRecords as error:
        try:
            return challenge2012.records(path, limit)
        except archive.NoRecords:
            raise error from None


def read(paths: Sequence[Path], cache: Path, report: Report, limit: int | None = None) -> tuple[Recorded, Tally | None]:
    """Read recorded patients, the first `limit` of each path; from `cache` if they have been read before.

    Returns
    -------
    Recorded
        The stays.
    Tally or None
        What was not used; None: the arrays were kept from an earlier reading.

    Raises
    ------
    SourceError
        A path does not hold what it should.
    """
    _there(paths)
    hashes = data_hash(paths), code_hash()
    key = hashlib.sha256(f"{hashes[0]} {hashes[1]} {limit}".encode()).hexdigest()[:16]
    kept = cache / f"{key}.npz", cache / f"{key}.unlabelled.npz"
    if all(path.is_file() for path in kept):
        return Recorded(Stays.load(kept[0]), Stays.load(kept[1]), *hashes), None
    main, others, tally = _stacked([record for path in paths for record in find(path, limit)], report)
    cache.mkdir(parents=True, exist_ok=True)
    main.save(kept[0])
    others.save(kept[1])
    return Recorded(main, others, *hashes), tally


class Survey(NamedTuple):
    """What a reading found.

    Attributes
    ----------
    recorded : Recorded
        The stays of the files without faults; no hash of the data where not all could be read.
    tally : Tally
        What of them was not used.
    files, faulty : int
        How many files of patients there are, and how many of them have faults.
    faults : list of str
        All faults of all files: file, line, field.
    """

    recorded: Recorded
    tally: Tally
    files: int
    faulty: int
    faults: list[str]


def survey(paths: Sequence[Path], report: Report, limit: int | None = None) -> Survey:
    """Read recorded patients, and all that is wrong with any of their files, which `read` would stop at.

    Raises
    ------
    SourceError
        There is no such path, or no file of a patient in any.
    """
    _there(paths)
    found, sound, faults = list[Record](), list[Record](), list[str]()
    for path in paths:
        try:
            found += find(path, limit)
        except archive.SourceError as error:
            faults.append(str(error))
    if not found:
        raise archive.SourceError("; ".join(faults))
    hashes = "" if faults else data_hash(paths), code_hash()
    for record in found:
        if wrong := record.faults():
            faults += wrong
        else:
            sound.append(record)
    main, others, tally = _stacked(sound, report)
    kept = {name.partition("-")[2] for name in (*main.ids, *others.ids)}  # after the source
    if lost := sorted({record.id for record in sound} - kept):
        faults.append(f"{len(lost)} stays have no value that can be used: {', '.join(lost)}")
    return Survey(Recorded(main, others, *hashes), tally, len(found), len(found) - len(sound), faults)


def _there(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise archive.SourceError(f"no such file or folder: {path}")


def _stacked(found: Sequence[Record], report: Report) -> tuple[Stays, Stays, Tally]:
    """Those with labels, those without, and what was not used."""
    tally = Tally()
    main = stack(_courses([r for r in found if r.labels is not None], tally, report))
    return main, stack(_courses([r for r in found if r.labels is None], tally, report)), tally


def _courses(found: Sequence[Record], tally: Tally, report: Report) -> Iterator[Course]:
    for done, record in enumerate(found):
        if done % _SHOWN_EACH == 0:
            report("reading", done, len(found))
        yield course(record.events(EPOCH, tally), record.labels() if record.labels is not None else {})
    report("reading", len(found), len(found))

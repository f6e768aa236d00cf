"""Reading text files out of a folder or a tar archive, without unpacking anything to disk."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from wardstream.infra.failure import Failure


class SourceError(Failure):
    """The path does not hold what the source needs; the text says what was looked for."""


class NoRecords(SourceError):
    """There is no file of this source in the path."""


def texts(path: Path, choose: Callable[[list[str]], list[str]]) -> dict[str, bytes]:
    """Return chosen files of a folder or an archive, or one file.

    Parameters
    ----------
    path : Path
        A folder (read with all its sub-folders), a tar archive of any compression, or a text file.
    choose : callable
        Picks from the names of all files; a name has no folder in it.

    Returns
    -------
    dict of bytes by name
        In the order chosen. An archive is read twice: for the names, then for what was chosen.

    Raises
    ------
    SourceError
        There is no such path, or it cannot be read as what it seems to be; names every file that cannot. Or what was
        chosen is the name of several files: which of them is meant, nobody knows.
    """
    if path.is_dir():
        there = sorted(file for file in path.rglob("*") if file.is_file())
        files = {file.name: file for file in there}
        return _contents({name: files[name] for name in _chosen(path, [file.name for file in there], choose)})
    if not path.is_file():
        raise SourceError(f"no such file or folder: {path}")
    if not tarfile.is_tarfile(path):
        return _contents({name: path for name in choose([path.name])})
    try:
        with tarfile.open(path) as archive:
            names = [PurePosixPath(member.name).name for member in archive if member.isfile()]
        chosen = _chosen(path, names, choose)
        wanted, found = set(chosen), dict[str, bytes]()
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in wanted and (file := archive.extractfile(member)) is not None:
                    found[name] = file.read()
                    if len(found) == len(wanted):
                        break
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SourceError(f"{path} is damaged: {type(error).__name__}") from error
    return {name: found[name] for name in chosen}


def _chosen(path: Path, names: list[str], choose: Callable[[list[str]], list[str]]) -> list[str]:
    times = Counter(names)
    chosen = choose(sorted(times))
    if several := [name for name in chosen if times[name] > 1]:
        raise SourceError(f"{path}: {len(several)} names are of more than one file each: {', '.join(several)}")
    return chosen


def _contents(files: Mapping[str, Path]) -> dict[str, bytes]:
    found, unreadable = dict[str, bytes](), list[str]()
    for name, path in files.items():
        try:
            found[name] = path.read_bytes()
        except OSError as error:
            unreadable.append(f"{path} ({error.strerror})")
    if unreadable:
        raise SourceError(f"cannot be read: {', '.join(unreadable)}")
    return found

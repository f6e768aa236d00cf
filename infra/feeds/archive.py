"""Reading text files out of a folder or a tar archive, without unpacking anything to disk."""

from __future__ import annotations

import tarfile
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
        There is no such path, or it cannot be read as what it seems to be; names every file that cannot.
    """
    if path.is_dir():
        files = {file.name: file for file in path.rglob("*") if file.is_file()}
        return _contents({name: files[name] for name in choose(sorted(files))})
    if not path.is_file():
        raise SourceError(f"no such file or folder: {path}")
    if not tarfile.is_tarfile(path):
        return _contents({name: path for name in choose([path.name])})
    try:
        with tarfile.open(path) as archive:
            chosen = choose(sorted(PurePosixPath(member.name).name for member in archive if member.isfile()))
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

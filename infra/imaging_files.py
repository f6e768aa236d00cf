"""Image files below the folders that a site allows, and nothing else of the machine.

Every step of a path is opened from the folder before it and never through a link (`O_NOFOLLOW` on each component), so
there is nothing to resolve and nothing that could be exchanged between a check and its use. Links below an allowed
folder are therefore not followed, also where they would stay inside.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wardstream.models.imaging.film import Unusable

SALIENCY_SUFFIX = ".wardstream.png"  # what we write beside an image, and never read as one
MAX_ENTRIES = 1_000  # of a folder, images or not
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not make us wait


def path_of(uri: str) -> Path:
    """The path that a file URI means.

    Raises
    ------
    Unusable
        `not_allowed`: another host, a query, a relative path, or one with dots in it.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path, errors="strict") if parts.path.isascii() else ""
    steps = path.split("/")
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or parts.query
        or parts.fragment
        or "\0" in path
        or not path.startswith("/")
        or any(step in (".", "..") for step in steps)
        or "" in steps[1:-1]
    ):
        raise Unusable("not_allowed")
    return Path(path)


class ImageFolders:
    """The folders that a site allows, read one file at a time. The calls block: run them in a thread."""

    def __init__(self, roots: Sequence[Path], max_bytes: int, max_instances: int) -> None:
        self._roots = [root.absolute() for root in roots]
        self._max_bytes = max_bytes
        self._max_instances = max_instances

    def names(self, path: Path) -> list[Path]:
        """The file itself, or the files of a folder, by name; its folders' too, one level deep.

        Raises
        ------
        Unusable
            not_allowed, not_found, empty_study, study_too_large.
        """
        with self._opened(path) as opened:
            if not stat.S_ISDIR(os.fstat(opened).st_mode):
                return [path]
            found = [path / name for name in _listed(opened, deeper=1)]
        if not found:
            raise Unusable("empty_study")
        if len(found) > self._max_instances:
            raise Unusable("study_too_large")
        return found

    def read(self, path: Path, sha256: str | None = None) -> bytes:
        """A file's bytes.

        Raises
        ------
        Unusable
            not_allowed, not_found, too_large, hash.
        """
        with self._opened(path) as opened:
            about = os.fstat(opened)
            if not stat.S_ISREG(about.st_mode):
                raise Unusable("not_allowed")
            if about.st_size > self._max_bytes:
                raise Unusable("too_large")
            with os.fdopen(os.dup(opened), "rb") as file:
                raw = file.read(self._max_bytes + 1)
        if len(raw) > self._max_bytes:
            raise Unusable("too_large")
        check_hash(raw, sha256)
        return raw

    def write_beside(self, path: Path, name: str, content: bytes) -> Path:
        """Write a file into the folder of an image, whole or not at all.

        Raises
        ------
        OSError
            It cannot be written there.
        Unusable
            The folder is not one of those allowed.
        """
        with self._opened(path.parent) as folder:
            temporary = f".{name}.part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o640, dir_fd=folder), "wb") as file:
                file.write(content)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return path.parent / name

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        root = next((root for root in self._roots if path.is_relative_to(root)), None)
        if root is None:
            raise Unusable("not_allowed")
        try:
            with ExitStack() as held:
                at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the site's own may be a link
                held.callback(os.close, at)
                steps = path.relative_to(root).parts
                for index, step in enumerate(steps):
                    at = os.open(step, _FILE if index == len(steps) - 1 else _FOLDER, dir_fd=at)
                    held.callback(os.close, at)
                yield at
        except FileNotFoundError:
            raise Unusable("not_found") from None
        except (NotADirectoryError, PermissionError) as error:
            raise Unusable("not_allowed") from error
        except OSError as error:
            if error.errno == 40:  # ELOOP: a link
                raise Unusable("not_allowed") from None
            raise


def check_hash(raw: bytes, sha256: str | None) -> None:
    """Compare with what was announced, if it was.

    Raises
    ------
    Unusable
        `hash`.
    """
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise Unusable("hash")


def _listed(folder: int, deeper: int, before: str = "") -> list[str]:
    names = []
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MAX_ENTRIES:
                raise Unusable("study_too_large")
            if entry.name.startswith(".") or entry.name.endswith(SALIENCY_SUFFIX) or entry.name == "DICOMDIR":
                continue
            if entry.is_file(follow_symlinks=False):
                names.append(before + entry.name)
            elif deeper and entry.is_dir(follow_symlinks=False):
                inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                try:
                    names += _listed(inner, deeper - 1, f"{before}{entry.name}/")
                finally:
                    os.close(inner)
    return sorted(names)

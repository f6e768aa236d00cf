"""Only files below the allowed folders, and never through a link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from wardstream.infra.imaging_files import SALIENCY_SUFFIX, ImageFolders, path_of
from wardstream.models.imaging.film import Unusable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "study" / "series").mkdir(parents=True)
    (folder / "study" / "b.dcm").write_bytes(b"b")
    (folder / "study" / "a.dcm").write_bytes(b"a")
    (folder / "study" / "series" / "c").write_bytes(b"c")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def folders(root: Path) -> ImageFolders:
    return ImageFolders([root], max_bytes=100, max_instances=3)


def code(folders: ImageFolders, path: Path) -> str:
    try:
        for name in folders.names(path):
            folders.read(name)
    except Unusable as unusable:
        return unusable.code
    raise AssertionError("it was read")


def test_a_file_and_a_study(folders: ImageFolders, root: Path) -> None:
    assert folders.read(root / "study/a.dcm") == b"a"
    found = folders.names(root / "study")
    assert found == [root / "study/a.dcm", root / "study/b.dcm", root / "study/series/c"]
    assert [folders.read(path) for path in found] == [b"a", b"b", b"c"]


def test_the_hash(folders: ImageFolders, root: Path) -> None:
    path = root / "study/a.dcm"
    assert folders.read(path, hashlib.sha256(b"a").hexdigest()) == b"a"
    with pytest.raises(Unusable) as caught:
        folders.read(path, hashlib.sha256(b"b").hexdigest())
    assert caught.value.code == "hash"


def test_what_lies_elsewhere(folders: ImageFolders, root: Path) -> None:
    for path in (root.parent / "secret", Path("/etc/passwd"), root.with_name("images2") / "a", Path("/")):
        assert code(folders, path) == "not_allowed"
    assert code(folders, root / "study" / "gone") == "not_found"


@pytest.mark.parametrize("where", ["link", "study/link"])
def test_no_link_is_followed(folders: ImageFolders, root: Path, where: str) -> None:
    (root / where).symlink_to(root.parent / "secret")
    assert code(folders, root / where) == "not_allowed"
    assert root / where not in folders.names(root / "study")


def test_no_folder_that_is_a_link(folders: ImageFolders, root: Path) -> None:
    (root / "out").symlink_to(root.parent, target_is_directory=True)
    assert code(folders, root / "out" / "secret") == "not_allowed"
    assert code(folders, root / "out") == "not_allowed"


def test_a_pipe_makes_nobody_wait(folders: ImageFolders, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert code(folders, root / "pipe") == "not_allowed"


def test_bounds(folders: ImageFolders, root: Path) -> None:
    (root / "large").write_bytes(bytes(101))
    assert code(folders, root / "large") == "too_large"
    (root / "empty").mkdir()
    assert code(folders, root / "empty") == "empty_study"
    (root / "study" / "d.dcm").write_bytes(b"d")
    assert code(folders, root / "study") == "study_too_large"


def test_saliency_is_written_whole_and_never_read(folders: ImageFolders, root: Path) -> None:
    before = folders.names(root / "study")
    written = folders.write_beside(root / "study/a.dcm", f"x{SALIENCY_SUFFIX}", b"png")
    assert written.read_bytes() == b"png"
    folders.write_beside(root / "study/a.dcm", f"x{SALIENCY_SUFFIX}", b"again")
    assert written.read_bytes() == b"again"
    assert folders.names(root / "study") == before
    assert not list((root / "study").glob("*.part"))


@pytest.mark.parametrize(
    "uri",
    [
        "file:///a/../b",
        "file:///a/%2e%2e/b",
        "file:///a/./b",
        "file:///a//b",
        "file:///a%00b",
        "file://host/a",
        "file:///a?b",
        "file:///a#b",
        "file:a",
        "http:///a",
    ],
)
def test_uris_that_mean_no_path(uri: str) -> None:
    with pytest.raises(Unusable) as caught:
        path_of(uri)
    assert caught.value.code == "not_allowed"


def test_uris_that_do() -> None:
    assert path_of("file:///a/b%20c") == path_of("file://localhost/a/b%20c") == Path("/a/b c")

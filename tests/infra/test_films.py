"""Films as they come: read, checked before training, and refused in words where they are something else."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tests.infra.test_model_store import run, site
from wardstream.models.training.chest_films import is_locked

__all__ = ["site"]
SERVED = Path(__file__).parents[2] / "models" / "repository" / "chest_xray" / "1"


def write(path: Path, **arrays: Any) -> Path:
    """A file of ten films, the last without a label; others instead, if given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(1).integers(0, 256, (10, 28, 28), np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 1, 0, 1, 1, -1])
    np.savez(path, **({"train_images": images, "train_labels": labels} | arrays))
    return path


def told(output: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(output[output.index("{") :])
    return found


def test_data_check_knows_films(site: Path) -> None:
    code, output = run("data", "check", write(site / "set" / "films.npz"), "--json")
    assert code == 0, output
    found = told(output)
    assert (found["films"], found["labels"], found["problems"]) == (10, {"without": 3, "with": 6, "not_known": 1}, [])
    assert found["left_out"] == {"exact": 0, "near": 0, "contradicting": 0}
    assert 0 <= found["locked"] <= 10
    assert len(found["data_hash"]) == 64
    assert told(run("data", "check", site / "set", "--json")[1]) == found, "a folder with one file is the file"
    code, output = run("data", "check", site / "set", "--patients", 4)
    assert code == 0
    assert "films" in output


def test_data_check_tells_what_must_be_mended(site: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 28, 28), np.uint8)
    images[1] = 7
    code, output = run("data", "check", write(site / "films.npz", train_images=images, train_labels=np.array([0] * 4)))
    assert code == 1
    assert "1 films are blank" in output
    assert "no film with pneumonia" in output
    unlabelled = site / "unlabelled.npz"
    np.savez(unlabelled, test_images=images[2:])
    assert run("data", "check", unlabelled)[0] == 0, "for `evaluate` labels are not needed"


@pytest.mark.parametrize("command", [("data", "check"), ("evaluate", "chest_xray")])
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda path: write(path, train_images=np.zeros((3, 32, 32), np.uint8)), "train_images is not"),
        (lambda path: write(path, train_images=np.zeros((2, 28, 28), np.uint8), train_labels=[0, 1]), "holds no films"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)), "no .npz file"),
        (lambda path: write(path).write_bytes(path.read_bytes()[:-2_000]), "no .npz file"),
        (lambda path: spoil(write(path)), "damaged"),
        (lambda path: [write(path), write(path.with_name("other.npz"))], "2 .npz files"),
    ],
    ids=["shape", "none", "png", "truncated", "damaged", "two"],
)
def test_what_is_no_file_of_films_is_told(site: Path, command: tuple[str, ...], made: Any, said: str) -> None:
    candidate = site / "candidate"
    candidate.mkdir()
    (site / "set").mkdir()
    made(site / "set" / "films.npz")
    folder = ("--folder", candidate) if command[0] == "evaluate" else ()
    code, output = run(*command, site / "set", *folder)
    assert code == 2, output
    assert said in " ".join(output.split())
    assert "pickle" not in output


def spoil(path: Path) -> None:
    """Change a byte of the pixels: the archive's checksum tells."""
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("train_images.npy").header_offset + 1_000
    raw = bytearray(path.read_bytes())
    raw[at] ^= 255
    path.write_bytes(raw)


def test_locked_films_are_never_evaluated_in_whatever_file_they_come(site: Path) -> None:
    """All but one of the locked ones, among others and alone: nothing is learnt of them but through the gate."""
    images = np.random.default_rng(2).integers(0, 256, (200, 28, 28), np.uint8)
    images[::2] //= 2
    locked = np.array([is_locked(hashlib.sha256(image.tobytes()).hexdigest()) for image in images])
    labels = (np.arange(200) % 2).astype(np.int64)
    some = np.flatnonzero(locked)[1:]
    both = np.concatenate([some, np.flatnonzero(~locked)[:40]])
    for chosen, left in ((both, 40), (np.arange(200), int((~locked).sum()))):
        file = write(site / "films.npz", train_images=images[chosen], train_labels=labels[chosen])
        code, output = run("evaluate", "chest_xray", file, "--folder", SERVED, "--json")
        assert code == 0, output
        assert told(output)["films"] == left
        assert told(output)["locked_left_out"] == len(chosen) - left
        assert f"{len(chosen) - left} are locked, for the gate alone, and left out" in output
    for chosen in (some, np.flatnonzero(locked)):
        file = write(site / "films.npz", train_images=images[chosen], train_labels=labels[chosen])
        code, output = run("evaluate", "chest_xray", file, "--folder", SERVED, "--json")
        assert code == 2
        assert "all these films are locked" in output

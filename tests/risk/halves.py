"""`python -m tests.risk.halves ARCHIVE FOLDER`: the patients of the Challenge of 2019 whose half trains, as files.

A patient's half follows from a hash of the number and nothing else: the deep model learns from one half, and the other
is streamed (`tests.risk.streaming`). So nothing that the stream's features hold has been learned from its patients.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path, PurePath

from wardstream.infra.feeds.archive import texts


def is_streamed(record: str) -> bool:
    """Whether a patient is of the half that is streamed."""
    return bool(sha256(f"half:{record}".encode()).digest()[0] & 1)


def main() -> None:
    archive, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    found = texts(archive, lambda names: [name for name in names if name.endswith(".psv")])
    for name, text in found.items():
        if not is_streamed(PurePath(name).stem):
            (folder / PurePath(name).name).write_bytes(text)
    print(f"{len(list(folder.glob('*.psv')))} of {len(found)} patients train")


if __name__ == "__main__":
    main()

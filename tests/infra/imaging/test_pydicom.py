"""The files that come with pydicom through the agent: each analysed or abstained with a reason, within bounds.

Once as they are, and once with headers that say they are films of a child's chest, so that all are decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_files

from tests.events import _made
from wardstream.agents.imaging import EVENT_DEADLINE_S, Answered, Tools, Verdict, judge
from wardstream.infra.imaging_readers import DEADLINE_S, MEMORY_BYTES, Readers
from wardstream.infra.imaging_store import Allowed, ImageStore
from wardstream.models.chest_xray import CELLS, Tensor
from wardstream.models.imaging.film import REASONS
from wardstream.models.imaging.suitability import Rules
from wardstream.schemas.imaging import Imaging

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
FILES = sorted({path for name in get_testdata_files() if (path := Path(name)).is_file()})
SUITABLE = {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientAge": "003Y"}
PEAK_BYTES = 1 << 30  # resident, of a reader


async def model(films: Tensor) -> Answered:
    """An answer that does not contradict itself."""
    even = np.full((len(films), 1), 0.5, np.float32)
    activation = np.zeros((len(films), CELLS, CELLS), np.float32)
    return Answered("1", {"probability": even, "calibrated_probability": even, "activation": activation})


def as_it_is(raw: bytes) -> bytes:
    return raw


def as_a_childs_chest(raw: bytes) -> bytes:
    """With another header where it can be read and written; else as it is."""
    try:
        dataset = dcmread(BytesIO(raw), force=True)
        for keyword, value in SUITABLE.items():
            setattr(dataset, keyword, value)
        for keyword in ("ImageType", "PresentationIntentType"):
            if keyword in dataset:
                delattr(dataset, keyword)
        out = BytesIO()
        dataset.save_as(out, enforce_file_format=True)
    except Exception:  # noqa: BLE001 - what pydicom raises on its damaged files is its own affair
        return raw
    return out.getvalue()


@pytest.fixture
async def readers() -> AsyncIterator[Readers]:
    readers = Readers(count=1)
    yield readers
    await readers.close()


def peak_bytes() -> int:
    """Of the reader that runs, over its whole life."""
    (child,) = [one for one in psutil.Process().children() if "imaging_reader" in " ".join(one.cmdline())]
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.parametrize("made", [as_it_is, as_a_childs_chest])
async def test_each_is_analysed_or_abstained(made: Callable[[bytes], bytes], readers: Readers, tmp_path: Path) -> None:
    assert DEADLINE_S < EVENT_DEADLINE_S
    assert MEMORY_BYTES <= 2 << 30
    tools = Tools(images=ImageStore(Allowed(folders=[tmp_path])), read=readers, model=model, rules=Rules())
    told: Counter[str | None] = Counter()
    for number, path in enumerate(FILES):  # fewer than a reader reads
        kept = tmp_path / f"{number}.dcm"
        kept.write_bytes(made(path.read_bytes()))
        about = {"study_uid": "1.2.3", "modality": "DX", "pixels_uri": kept.as_uri()}
        event = _made(Imaging, path.name, 0, None, about)
        verdicts: list[Verdict] = await judge(event, tools)
        assert verdicts, path.name
        for verdict in verdicts:
            assert (verdict.seen is None) is (verdict.code in REASONS), path.name
        told.update(verdict.code for verdict in verdicts)
    assert not {"too_slow", "no_time"} & set(told), "each within its own time"
    assert peak_bytes() < PEAK_BYTES
    assert readers.started == 1, "none of them cost a process"
    assert (told[None] > 40) is (made is as_a_childs_chest), told

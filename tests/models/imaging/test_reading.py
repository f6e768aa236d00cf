"""Every file gets films or a reason. The real files are those that come with pydicom."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_files

from wardstream.infra.feeds.films import draw, film
from wardstream.models.imaging.film import REASONS, About, Unusable
from wardstream.models.imaging.reading import open_image, read
from wardstream.models.imaging.suitability import Rules

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
STATED = About(modality="CR", body_part="CHEST", view="PA", age_years=3.0)
FILES = sorted(path for name in get_testdata_files() if (path := Path(name)).is_file())
# Compressed in each way that a hospital's archive may hold; they must come out as pictures.
COMPRESSED = {
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "examples_palette.dcm",
    "image_dfl.dcm",
}


def raster(kind: str, mode: str = "L") -> bytes:
    out = BytesIO()
    grey = draw()
    values = (grey * 65_535).astype(np.uint16) if mode == "I;16" else (grey * 255).astype(np.uint8)
    image = Image.fromarray(values)
    (image.convert("RGB") if mode == "RGB" else image).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pydicoms_files_are_read_or_refused(path: Path) -> None:
    """Decoded, whatever they are of, and judged; never anything else than films or a known reason."""
    raw = path.read_bytes()
    refused = None
    try:
        films = list(open_image(raw).films())
        assert films
        assert all(each.array().shape == (each.height, each.width) for each in films)
    except Unusable as unusable:
        refused = unusable.code
        assert refused in REASONS
    assert path.name not in COMPRESSED or refused is None
    judged = read(raw, About(), Rules())
    assert judged.refused in REASONS  # none of them is of a child's chest
    assert not judged.films


def test_pydicoms_files_are_there() -> None:
    names = {path.name for path in FILES}
    assert names >= COMPRESSED
    assert len(FILES) > 150


def test_a_good_film_passes() -> None:
    reading = read(film("a", NOW, 3), About(modality="DX"), Rules())
    assert reading.refused is None
    assert len(reading.films) == 1


def test_pixels_of_an_unsuitable_film_are_never_touched() -> None:
    """The header says enough; its pixels would be unreadable."""
    assert read(film("a", NOW, 44, PixelData=b"\0\0"), About(), Rules()).refused == "age"


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("PNG", "I;16"), ("PNG", "RGB"), ("JPEG", "L")])
def test_pictures_that_say_nothing_themselves(kind: str, mode: str) -> None:
    raw = raster(kind, mode)
    reading = read(raw, STATED, Rules())
    assert reading.refused is None
    difference = np.abs(reading.films[0].array() - np.clip(draw() * 255, 0, 255))
    assert difference.mean() < 3
    assert read(raw, About(modality="CR", body_part="CHEST", view="PA"), Rules()).refused == "age_unknown"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_shown_upright(kind: str, orientation: int) -> None:
    """Stored in any of the eight orientations of EXIF, and 16 bits deep where the format can."""
    upright = Image.fromarray((draw("left") * 255).astype(np.uint8)[:240])
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undone[orientation]))
    if kind == "PNG":
        stored = Image.fromarray(np.asarray(stored).astype(np.uint16) * 257)
    exif, out = Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    stored.save(out, kind, exif=exif)
    reading = read(out.getvalue(), STATED, Rules())
    assert reading.refused is None
    assert (reading.films[0].width, reading.films[0].height) == upright.size
    assert np.abs(reading.films[0].array() - np.asarray(upright, np.float32)).mean() < 3


@pytest.mark.parametrize("kept", [8, 20, 100, 5_000])
def test_truncated_pictures(kept: int) -> None:
    for kind in ("PNG", "JPEG"):
        assert read(raster(kind)[:kept], STATED, Rules()).refused == "unreadable"


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    for prefix in (b"", bytes(128) + b"DICM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        assert read(prefix + raw, STATED, Rules()).refused in REASONS


@given(st.integers(0, 2_000), st.binary(min_size=1, max_size=8))
def test_damaged_headers(at: int, patch: bytes) -> None:
    raw = bytearray(film("a", NOW, 3))
    raw[at : at + len(patch)] = patch
    reading = read(bytes(raw), STATED, Rules())
    assert (reading.refused in REASONS) != bool(reading.films)


def test_bombs_are_refused_by_their_header() -> None:
    out = BytesIO()
    Image.new("1", (9_000, 9_000)).save(out, "PNG")
    assert len(out.getvalue()) < 30_000
    assert read(out.getvalue(), STATED, Rules()).refused == "too_large"

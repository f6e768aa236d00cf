"""Pixels of DICOM files as a person would see them."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from wardstream.infra.feeds.films import PADDING, draw, film
from wardstream.models.imaging import dicom
from wardstream.models.imaging.dicom import DicomFile
from wardstream.models.imaging.film import About, Film, Unusable
from wardstream.models.imaging.reading import read
from wardstream.models.imaging.suitability import Rules

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def shown(raw: bytes) -> list[Film]:
    return list(DicomFile(raw).films())


def small(values: np.ndarray[Any, Any], **header: Any) -> bytes:
    """A file of these stored values, and no more said about them than must be."""
    bare = dict.fromkeys(("PresentationLUTShape", "PixelPaddingValue", "WindowCenter", "WindowWidth"))
    elements = {
        "Rows": values.shape[-2],
        "Columns": values.shape[-1],
        "BitsAllocated": values.dtype.itemsize * 8,
        "BitsStored": values.dtype.itemsize * 8,
        "HighBit": values.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": values.tobytes(),
    }
    return film("x", NOW, 3, **(bare | elements | header))


def ramp(kind: str = "uint16", low: int = 0, high: int = 1000) -> np.ndarray[Any, Any]:
    return np.tile(np.linspace(low, high, 40).astype(kind), (40, 1))


def levels(raw: bytes) -> np.ndarray[Any, Any]:
    (only,) = shown(raw)
    return only.array()[20].astype(int)


def test_a_film_comes_out_as_it_was_drawn() -> None:
    """Inverted, 12 bits, windowed and padded in the file; air dark and padding black for us."""
    (only,) = shown(film("a", NOW, 3))
    grey = only.array()
    assert grey.shape == (320, 320)
    assert (grey[:, :PADDING] == 0).all()
    wanted = np.clip(draw() * 255, 0, 255)[:, PADDING:]
    assert np.abs(grey[:, PADDING:] - wanted).max() <= 1


def test_monochrome1_is_inverted_once() -> None:
    plain, inverted = levels(small(ramp())), levels(small(ramp(), PhotometricInterpretation="MONOCHROME1"))
    assert (np.diff(plain) >= 0).all()
    assert (plain[0], plain[-1]) == (0, 255)
    assert (inverted == 255 - plain).all()
    both = levels(small(ramp(), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    assert (both == inverted).all()
    assert (levels(small(ramp(), PresentationLUTShape="INVERSE")) == inverted).all()


def test_the_window_applies_to_rescaled_values() -> None:
    raw = small(ramp("int16", -500, 500), RescaleSlope=2, RescaleIntercept=-100, WindowCenter=-100, WindowWidth=1000)
    values = ramp("int16", -500, 500)[0].astype(float) * 2 - 100
    wanted = np.clip((values + 100 + 0.5) / 999 + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert np.abs(levels(raw) - wanted).max() <= 1


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_window_functions(function: str) -> None:
    found = levels(small(ramp(), WindowCenter=500, WindowWidth=500, VOILUTFunction=function))
    values = ramp()[0].astype(float)
    exact = np.clip((values - 500) / 500 + 0.5, 0, 1)
    wanted = exact if function == "LINEAR_EXACT" else 1 / (1 + np.exp(-4 * (values - 500) / 500))
    assert np.abs(found - wanted * 255).max() <= 1


def test_several_windows_mean_the_first() -> None:
    several = levels(small(ramp(), WindowCenter=[500, 10], WindowWidth=[500, 10]))
    assert (several == levels(small(ramp(), WindowCenter=500, WindowWidth=500))).all()


def test_a_voi_table_comes_before_a_window() -> None:
    table = Dataset()
    table.LUTDescriptor = [1001, 0, 8]
    table.LUTData = np.linspace(255, 0, 1001).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    found = levels(small(ramp(), VOILUTSequence=Sequence([table]), WindowCenter=500, WindowWidth=500))
    assert (found[0], found[-1]) == (255, 0)


def test_padding_is_left_out_of_the_range() -> None:
    values = ramp("int16", 0, 1000)
    values[:, :5] = -2000
    found = levels(small(values, PixelPaddingValue=-2000))
    assert (found[:5] == 0).all()
    assert found[5] < 40 < 215 < found[-1]
    ranged = levels(small(values, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1000))
    assert (ranged == found).all()


def test_unused_high_bits_do_not_count() -> None:
    """Bits stored are fewer than allocated; what lies above them (once overlays) is no brightness."""
    values = ramp("uint16", 0, 4095)
    dirty, header = values | np.uint16(0x1000), {"HighBit": 11, "WindowCenter": 2000, "WindowWidth": 4000}
    clean = levels(small(values, BitsStored=12, **header))
    assert (levels(small(dirty, BitsStored=12, **header)) == clean).all()
    assert (clean[0], clean[-1]) == (0, 255)


def test_every_frame_is_a_film() -> None:
    frames = np.stack([ramp(), ramp()[:, ::-1], ramp().T])
    films = shown(small(frames, NumberOfFrames=3))
    assert [each.frame for each in films] == [1, 2, 3]
    assert films[1].array()[20, 0] == 255
    assert films[2].array()[0, 20] == 0


def test_colours_become_grey() -> None:
    colour = np.zeros((40, 40, 3), np.uint8)
    colour[:20] = 255
    colour[20:, :20] = (255, 0, 0)
    raw = small(
        np.zeros((40, 40), np.uint8),
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        PixelData=colour.tobytes(),
    )
    (only,) = shown(raw)
    assert [only.array()[spot] for spot in ((0, 0), (30, 0), (30, 30))] == [255, 76, 0]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"PixelData": None}, "no_pixels"),
        ({"Rows": 0}, "unreadable"),
        ({"SamplesPerPixel": 2}, "unreadable"),
        ({"Rows": 20_000, "Columns": 10}, "too_large"),
        ({"Rows": 8_000, "Columns": 8_000}, "too_large"),
        ({"NumberOfFrames": dicom.MAX_FRAMES + 1}, "too_large"),
        ({"PixelData": b"\0\0"}, "unreadable"),
        ({"PhotometricInterpretation": "NONSENSE"}, "unreadable"),
    ],
)
def test_what_cannot_be_shown(header: dict[str, Any], code: str) -> None:
    with pytest.raises(Unusable) as caught:
        shown(film("a", NOW, 3, **header))
    assert caught.value.code == code


def test_blank_and_tiny() -> None:
    for values, code in ((np.full((40, 40), 7, np.uint16), "blank"), (ramp()[:20], "too_small")):
        with pytest.raises(Unusable) as caught:
            shown(small(values))
        assert caught.value.code == code


@pytest.mark.parametrize("header", [{"RescaleSlope": 0}, {"WindowCenter": 1e9}, {"WindowCenter": -1e9}])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_no_structure(header: dict[str, Any], photometric: str) -> None:
    """One value, and black padding beside it."""
    shape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    with pytest.raises(Unusable) as caught:
        shown(film("a", NOW, 3, PhotometricInterpretation=photometric, PresentationLUTShape=shape, **header))
    assert caught.value.code == "blank"


@pytest.mark.parametrize("kept", [0, 4, 132, 140, 300, 600, 50_000])
def test_truncated(kept: int) -> None:
    with pytest.raises(Unusable) as caught:
        shown(film("a", NOW, 3)[:kept])
    assert caught.value.code in {"not_an_image", "unreadable", "no_pixels"}


def test_large_films_are_made_smaller() -> None:
    (only,) = shown(small(np.tile(np.arange(2000, dtype=np.uint16), (1000, 1))))
    assert (only.width, only.height) == (512, 256)


@pytest.mark.parametrize(
    ("header", "age"),
    [
        ({"PatientAge": "003Y"}, 3),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "000Y"}, None),
        ({"PatientAge": None}, None),
        ({"PatientAge": None, "PatientBirthDate": "20230301"}, 3.0),
        ({"PatientAge": None, "PatientBirthDate": "20270301"}, None),
    ],
)
def test_age(header: dict[str, Any], age: float | None) -> None:
    found = DicomFile(film("a", NOW, 3, **header)).about.age_years
    assert found == (None if age is None else pytest.approx(age, abs=0.01))


@pytest.mark.parametrize(
    ("age", "born", "fits"),
    [
        ("003Y", "20230215", True),
        ("003Y", "20220401", True),
        ("003Y", "20220101", False),
        ("003Y", "20230601", False),
        ("003Y", "19800101", False),
        ("003Y", "20300101", False),
        ("018M", "20240820", True),
        ("018M", "20200820", False),
        ("003Y", "", True),
    ],
)
def test_an_age_that_the_date_of_birth_contradicts(age: str, born: str, fits: bool) -> None:
    reading = read(film("a", NOW, 3, PatientAge=age, PatientBirthDate=born), About(age_years=3), Rules())
    assert reading.refused == (None if fits else "age_contradicted")


def test_what_the_header_says() -> None:
    about = DicomFile(film("a", NOW, 3, BodyPartExamined="CHEST ")).about
    assert (about.modality, about.body_part, about.view, about.intent) == ("DX", "CHEST", "AP", "FOR PRESENTATION")
    view = Dataset()
    view.CodeMeaning = "postero-anterior"
    assert DicomFile(film("a", NOW, 3, ViewPosition=None, ViewCodeSequence=Sequence([view]))).about.view == "PA"


def test_the_file_is_one_that_others_read() -> None:
    assert dcmread(BytesIO(film("a", NOW, 3))).pixel_array.shape == (320, 320)

"""Films from DICOM: header, modality and VOI transformations, photometric interpretation, frames. By pydicom.

In the order of PS3.4 N.2.1: stored values → rescale or modality LUT → VOI LUT or window, padding apart → photometric
interpretation and presentation LUT shape. Limits are checked on the header before a pixel is decoded; a compressed
stream may still be larger than its header says, so this runs in a process with a limit on memory and time.

Compressed pixels: RLE by pydicom; JPEG (baseline, extended, lossless), JPEG-LS and JPEG 2000 by GDCM and Pillow. The
plugin for JPEG of pylibjpeg is not used since its licence is the GPL; without it JPEG Extended of 12 bits and HTJ2K
(which archives rarely hold) cannot be read.
"""

import re
import warnings
from collections.abc import Iterator
from datetime import date
from io import BytesIO
from typing import Any, Final

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGExtended12Bit

from wardstream.models.imaging.film import About, Film, Unusable
from wardstream.models.imaging.grey import Numbers, film, spread, window

MAX_PIXELS: Final = 40_000_000  # of a frame; the finest mammography detectors have 29 million
MAX_SIDE: Final = 16_384
MAX_FRAMES: Final = 16
_AGE: Final = re.compile(r"^(\d{3})([DWMY])$")
_AGE_YEARS: Final = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_AGE_SLACK: Final = 0.1  # years: an age may have been written some weeks before or after the study
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as PS3.3 C.7.6.3.1.2
_VIEW_WORDS: Final = {"postero-anterior": "PA", "antero-posterior": "AP"}  # PS3.16 CID 4010


def is_dicom(raw: bytes) -> bool:
    """Whether it starts as a DICOM file (PS3.10, 7.1)."""
    return raw[128:132] == b"DICM"


class DicomFile:
    """A DICOM file of which the header has been read.

    Raises
    ------
    Unusable
        It is no DICOM file, its header cannot be read, or its age and date of birth contradict each other.
    """

    def __init__(self, raw: bytes) -> None:
        self._dataset = _read(raw)
        try:
            self.about = _about(self._dataset)
        except Unusable:
            raise
        except Exception as error:
            raise Unusable("unreadable") from error

    def films(self) -> Iterator[Film]:
        """Each frame as it would be shown.

        Raises
        ------
        Unusable
            See `film.REASONS`.
        """
        dataset = self._dataset
        try:
            frames = _frames(dataset)
            for index in range(frames):
                yield film(_shown(dataset, index), None if frames == 1 else index + 1)
        except Unusable:
            raise
        except MemoryError as error:
            raise Unusable("too_large") from error
        except NotImplementedError as error:  # no plugin, or not one that pydicom knows
            raise Unusable("compression") from error
        except Exception as error:
            raise Unusable("unreadable") from error


def _read(raw: bytes) -> Dataset:
    if not is_dicom(raw):
        raise Unusable("not_an_image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            return dcmread(BytesIO(raw))
    except MemoryError as error:  # a deflated file that grows
        raise Unusable("too_large") from error
    except Exception as error:
        raise Unusable("unreadable") from error


def _text(dataset: Dataset, name: str) -> str | None:
    value = dataset.get(name)
    text = "" if value is None else str(value).strip().upper()
    return text or None


def _about(dataset: Dataset) -> About:
    image_type = dataset.get("ImageType") or ()
    parts = [image_type] if isinstance(image_type, str) else image_type
    return About(
        modality=_text(dataset, "Modality"),
        body_part=_text(dataset, "BodyPartExamined"),
        view=_text(dataset, "ViewPosition") or _coded_view(dataset),
        age_years=_age(dataset),
        intent=_text(dataset, "PresentationIntentType"),
        image_type=tuple(str(part).upper() for part in parts)[:8],
        series_uid=_text(dataset, "SeriesInstanceUID"),
        instance_uid=_text(dataset, "SOPInstanceUID"),
    )


def _coded_view(dataset: Dataset) -> str | None:
    codes = dataset.get("ViewCodeSequence") or ()
    return next((_VIEW_WORDS.get(str(code.get("CodeMeaning", "")).lower(), "OTHER") for code in codes), None)


def _age(dataset: Dataset) -> float | None:
    """Years: what Patient's Age says, else from the dates of birth and of the study. 000Y is how many say "unknown".

    Raises
    ------
    Unusable
        Both are there, and do not agree (`age_contradicted`).
    """
    born, taken = _date(dataset.get("PatientBirthDate")), _date(dataset.get("StudyDate"))
    reckoned = None if born is None or taken is None else (taken - born).days / 365.25
    stated = _AGE.match(str(dataset.get("PatientAge") or "").strip())
    if not stated:
        return None if reckoned is None or reckoned < 0 else reckoned
    if stated[1] == "000":
        return None
    unit = _AGE_YEARS[stated[2]]
    age = int(stated[1]) * unit  # in completed units (PS3.5 6.2, AS)
    if reckoned is not None and not age - _AGE_SLACK <= reckoned <= age + unit + _AGE_SLACK:
        raise Unusable("age_contradicted")
    return age


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value).replace(".", ""))
    except ValueError:
        return None


def _frames(dataset: Dataset) -> int:
    """How many frames there are, all within the limits."""
    if "PixelData" not in dataset:
        raise Unusable("no_pixels")
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    if rows < 1 or columns < 1 or frames < 1 or samples not in (1, 3):
        raise Unusable("unreadable")
    if rows * columns * samples > MAX_PIXELS or max(rows, columns) > MAX_SIDE or frames > MAX_FRAMES:
        raise Unusable("too_large")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax == JPEGExtended12Bit and int(dataset.get("BitsStored") or 8) > 8:  # only the plugin left out can
        raise Unusable("compression")
    return frames


def _shown(dataset: Dataset, index: int) -> Numbers:
    """One frame's grey levels, 0–1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = pixel_array(dataset, index=index)
    photometric = _text(dataset, "PhotometricInterpretation")
    if photometric not in _GREY:
        return _from_colour(stored, dataset, photometric)
    if stored.ndim != 2:
        raise Unusable("unreadable")
    known = _known(stored, dataset)
    values = np.asarray(apply_modality_lut(stored, dataset), np.float32)
    grey = _voi(values, known, dataset)
    seen = grey if known is None else grey[known]
    if np.rint(seen.min() * 255) == np.rint(seen.max() * 255):  # padding, made black below, would be its only structure
        raise Unusable("blank")
    if photometric == "MONOCHROME1" or _text(dataset, "PresentationLUTShape") == "INVERSE":
        grey = 1 - grey
    return grey if known is None else np.where(known, grey, np.float32(0))


def _from_colour(stored: np.ndarray[Any, Any], dataset: Dataset, photometric: str | None) -> Numbers:
    """A film that was stored in colours, as secondary captures are. pydicom has made RGB of YBR."""
    if photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim != 3 or stored.shape[2] not in (3, 4) or stored.dtype.kind != "u":
        raise Unusable("unreadable")
    return np.asarray(stored[..., :3] @ _LUMA / np.iinfo(stored.dtype).max, np.float32)


def _known(stored: np.ndarray[Any, Any], dataset: Dataset) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """False where the detector had no value (PS3.3 C.7.5.1.1.2); None where everything counts."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = int(padding), int(padding if limit is None else limit)
    known = (stored < min(ends)) | (stored > max(ends))
    if not known.any():
        raise Unusable("blank")
    return None if known.all() else known


def _voi(values: Numbers, known: np.ndarray[Any, np.dtype[np.bool_]] | None, dataset: Dataset) -> Numbers:
    """The first VOI LUT, else the first window, else what is there."""
    tables = dataset.get("VOILUTSequence")
    if tables:
        return _table(values, tables[0])
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is None or width is None or width <= 0:
        return spread(values, known)
    return window(values, centre, width, _text(dataset, "VOILUTFunction") or "LINEAR")


def _table(values: Numbers, item: Dataset) -> Numbers:
    """Look values up (PS3.3 C.11.2.1.1); those outside of the table take its ends."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    raw = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    count = count or 65_536
    if not 1 <= bits <= 16 or raw.size < count:
        raise Unusable("unreadable")
    looked = raw.astype(np.float32)[np.clip(values - first, 0, count - 1).astype(np.int64)]
    return np.asarray(np.clip(looked / (2**bits - 1), 0, 1), np.float32)


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__getitem__") else value)

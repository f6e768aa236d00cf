"""Films drawn by code, for the demo and the tests: two lungs, ribs, a heart, and a shadow where one is wanted.

They show nothing that anybody has. They are DICOM files like those of a detector, so that the whole path is walked:
12 bits stored in 16, inverted grey (MONOCHROME1), a window, padding at the edge.
"""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import Any, Literal
from uuid import UUID, uuid5

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

Shadow = Literal["none", "left", "right"]
PADDING = 8  # columns without detector
_SPACE = UUID("0d0c7a62-5b5a-5a55-8c0b-3d0a5f2f7a10")


def uid(name: str) -> str:
    """A DICOM UID that follows from a name (PS3.5 B.2)."""
    return f"2.25.{uuid5(_SPACE, name).int}"


def draw(shadow: Shadow = "none", side: int = 320, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Grey levels 0–1 of a frontal chest film, air dark: [side, side]."""
    y, x = np.mgrid[0:side, 0:side] / side
    body = 0.75 - 0.25 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    for centre in (0.31, 0.69):
        body -= 0.45 * _blob(x, y, centre, 0.45, 0.15, 0.28)
    body += 0.03 * np.sin(2 * np.pi * 11 * (y + 0.25 * (x - 0.5) ** 2)) + 0.18 * _blob(x, y, 0.56, 0.58, 0.13, 0.14)
    body += 0.15 * _blob(x, y, 0.5, 0.5, 0.035, 0.6)
    if shadow != "none":  # the patient's left is on the film's right
        body += 0.35 * _blob(x, y, 0.69 if shadow == "left" else 0.31, 0.6, 0.09, 0.1)
    noise = np.random.default_rng(seed).normal(0, 0.01, (side, side))
    return np.asarray(np.clip(body + noise, 0, 1))


def _blob(x: Any, y: Any, x0: float, y0: float, width: float, height: float) -> Any:
    return np.exp(-((((x - x0) / width) ** 2 + ((y - y0) / height) ** 2) ** 2))


def film(name: str, taken_at: datetime, age_years: int, shadow: Shadow = "none", **header: Any) -> bytes:
    """A DICOM file of a drawn chest film; `header` overrides elements by their keyword, None leaves one out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid(f"{name}/instance"))
    grey = draw(shadow)
    stored = np.rint((1 - grey) * 3000 + 500).astype(np.uint16)
    stored[:, :PADDING] = 4095
    elements: dict[str, Any] = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": uid(f"{name}/instance"),
        "StudyInstanceUID": uid(f"{name}/study"),
        "SeriesInstanceUID": uid(f"{name}/series"),
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "AP",
        "PatientAge": f"{age_years:03d}Y",
        "StudyDate": taken_at.strftime("%Y%m%d"),
        "PresentationIntentType": "FOR PRESENTATION",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "INVERSE",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelPaddingValue": 4095,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "WindowCenter": 2000,
        "WindowWidth": 3000,
        "PixelData": stored.tobytes(),
    }
    for keyword, value in (elements | header).items():
        if value is not None:
            setattr(dataset, keyword, value)
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()

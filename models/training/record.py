"""What a model's folder says of how it was made: record.json, written once, and card.md, made from it.

The card has no sentence with a number that is not read from the record.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

RECORD: Final = "record.json"
CARD: Final = "card.md"
MODEL: Final = "model.onnx"
CALIBRATION: Final = "calibration.json"
FALLBACK: Final = "fallback.json"

T = TypeVar("T")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of all models have; see `Record`."""

    model: str
    code_hash: str
    locked: str
    model_hash: str


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model was made, and what it reached.

    Attributes
    ----------
    model, made_at : str
        Name; time (ISO 8601, UTC).
    data_hash, code_hash : str
        Of the files it learnt from, and of the text of the code between them and its inputs: another hash may mean
        other inputs, or another comment.
    inputs_version : str
        Of the features; serving refuses another.
    settings, sizes : mapping
        What was chosen; how many patients were where.
    compared : mapping
        By learner: measures of what it said of patients it had not learnt from.
    differences : mapping
        By learner: paired differences from `against` on the same patients.
    against : str
        The learner that the others are held against: boosting where it has been trained.
    chosen : str
        The learner that is in the folder.
    curves : mapping
        By learner and fold: what each epoch reached; and points of ROC and precision-recall curves.
    locked : str
        Hash of the ids of the locked patients.
    explanations : mapping
        How occlusion, as it is served, compares with integrated gradients and with chance (`explained`).
    parity, latency_s : float
        Largest difference of torch and ONNX Runtime in log-odds; time of a batch of 64 on ONNX Runtime, on two threads
        (the gate asks for its own limit on one).
    model_hash : str
        SHA-256 of model.onnx.
    """

    model: str
    made_at: str
    data_hash: str
    code_hash: str
    inputs_version: str
    settings: Mapping[str, Any]
    sizes: Mapping[str, Any]
    compared: Mapping[str, Any]
    differences: Mapping[str, Any]
    against: str
    chosen: str
    curves: Mapping[str, Any]
    locked: str
    explanations: Mapping[str, Any]
    parity: float
    latency_s: float
    model_hash: str


def plain(value: Any) -> Any:
    """What JSON can say: NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write(path: Path, value: Any) -> None:
    """Write JSON, indented, whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(plain(msgspec.to_builtins(value))), indent=1) + b"\n"
    part = path.with_name(path.name + ".part")
    part.write_bytes(text)
    part.replace(path)


def read(path: Path, form: type[T]) -> T:
    """Read a JSON file of a form.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is torn, or has another form; names the file and the field.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error


def load(folder: Path) -> Record:
    """Read a folder's record; raises as `read`."""
    return read(folder / RECORD, Record)


def head(folder: Path, model: str) -> Head:
    """Read what a folder's record says of any model.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read`; or it is the record of another model.
    """
    found = read(folder / RECORD, Head)
    if found.model != model:
        raise ValueError(f"{folder / RECORD}: it is of another model than {model} - at `$.model`")
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

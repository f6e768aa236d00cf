"""What a policy may say of operators' conditions: of feeds, models and units, and never of a patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final, get_args

from wardstream.schemas.operator_alerts import OperatorKind

OPERATOR_KINDS: Final = frozenset(get_args(OperatorKind))
MEASURED: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("answers",),
    "data": ("patients",),
    "forecast": ("full", "shortfall"),
}
"""What has a value that rises and falls, and so an end of its own; the others last from a notice to its end."""
_NOTICED: Final[Mapping[str, tuple[str, ...]]] = {"feed": ("silent", "rejects"), "model": ("drift",)}
_SHARES: Final = ("answers", "patients", "full")
_LOOKED_BACK_H: Final = 24  # answers are kept for as long


def operator_mistakes(written: Any, numbers: Sequence[float]) -> Iterator[str]:
    """What is wrong with an operators' condition (or with its entries elsewhere), each with its path."""
    longest = {"model": _LOOKED_BACK_H, "forecast": inf}.get(written.kind)
    if written.within_h is not None and (longest is None or written.within_h > longest):
        yield f".within_h: is for models ({_LOOKED_BACK_H} at most) and forecasts"
    if written.least is not None and written.kind not in ("model", "data"):
        yield ".least: is for shares of models and data"
    if written.kind not in OPERATOR_KINDS:
        return
    kinds = (*MEASURED.get(written.kind, ()), *_NOTICED.get(written.kind, ()))
    if written.of not in kinds:
        yield f".of: must be {' or '.join(kinds)}"
    if written.silent:
        yield ".silent: operators' conditions are told"
    if written.of in _SHARES and not all(0 < step <= 1 for step in numbers):
        yield ": thresholds of a share or probability are above 0 and up to 1"
    elif any(step < 0 for step in numbers) or (written.of == "shortfall" and 0 in numbers):
        yield ": thresholds are minutes from 0 on, or patients above 0"
    if written.end is not None and written.end < 0:
        yield ".end: must be 0 or more, or it would never be over"

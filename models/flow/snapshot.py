"""What was learnt of a unit, or of admissions from emergency, as bytes, and back.

What is restored says, bit by bit, what would have been said without it. Most of it is arrays and plain numbers, and
River's models inside are pickled as River means them to be. A pickle can name anything that is to be called, so reading
allows the names of a list and no others: numbers, containers, River's and our own models. Whoever reads a snapshot from
a place that others can write to checks its signature first all the same.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, Final, TypeVar

from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.emergency import Emergency
from wardstream.models.flow.unit import Unit

Learnt = TypeVar("Learnt", Unit, Emergency)

VERSION: Final = b"flow-4\0"  # of the classes' attributes: a snapshot of other code is refused, and learnt anew
_CALENDAR: Final = "calendar"  # is configured, not learnt: it stays outside

_FLOW = "wardstream.models.flow"
ALLOWED: Final = frozenset(
    {
        *((f"{_FLOW}.unit", name) for name in ("Unit", "Present")),
        *((f"{_FLOW}.admission", name) for name in ("AdmissionModel", "Logistic", "Recalibration")),
        (f"{_FLOW}.emergency", "Emergency"),
        *((f"{_FLOW}.members", name) for name in ("HourOfWeek", "SeasonalNaive", "MovingAverage", "HoltWinters")),
        *((f"{_FLOW}.members", name) for name in ("Snarimax", "Linear", "Space")),
        (f"{_FLOW}.arrivals", "Arrivals"),
        (f"{_FLOW}.calibration", "Calibration"),
        (f"{_FLOW}.state_space", "StateSpace"),
        (f"{_FLOW}.stays", "RemainingStay"),
        ("builtins", "float"),
        *(("collections", name) for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("river._river_rust.vectordict", "VectorDict"),
        ("river.compose.pipeline", "Pipeline"),
        ("river.linear_model.lin_reg", "LinearRegression"),
        ("river.optim.ada_grad", "AdaGrad"),
        ("river.optim.initializers", "Zeros"),
        *(("river.optim.losses", name) for name in ("Poisson", "Squared")),
        ("river.optim.schedulers", "Constant"),
        ("river.optim.sgd", "SGD"),
        ("river.preprocessing.scale", "StandardScaler"),
        *(("river.time_series.snarimax", name) for name in ("Differencer", "SNARIMAX")),
        *(("river.time_series.holt_winters", name) for name in ("HoltWinters", "Trend")),
        *(("river.time_series.holt_winters", name) for name in ("MultiplicativeLevel", "MultiplicativeSeason")),
    }
)


class BadSnapshot(ValueError):
    """Bytes that are no snapshot of this version, or name what a snapshot does not."""


def dump(learnt: Unit | Emergency) -> bytes:
    """Everything that was learnt."""
    found = io.BytesIO()
    _Pickler(found, protocol=5).dump(learnt)
    return VERSION + found.getvalue()


def load(snapshot: bytes, calendar: Calendar, kind: type[Learnt]) -> Learnt:
    """What was learnt, as it was.

    Raises
    ------
    BadSnapshot
        See there; nothing has been called.
    """
    if not snapshot.startswith(VERSION):
        raise BadSnapshot("a snapshot of another version")
    try:
        learnt = _Unpickler(io.BytesIO(snapshot[len(VERSION) :]), calendar).load()
    except BadSnapshot:
        raise
    except Exception as error:
        raise BadSnapshot("a damaged snapshot") from error
    if not isinstance(learnt, kind):
        raise BadSnapshot("a snapshot of something else")
    return learnt


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return _CALENDAR if isinstance(obj, Calendar) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, calendar: Calendar) -> None:
        super().__init__(file)
        self._calendar = calendar

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise BadSnapshot("a snapshot that names what none does")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Calendar:
        if pid != _CALENDAR:
            raise BadSnapshot("a snapshot that refers to what none does")
        return self._calendar

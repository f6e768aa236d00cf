"""River's objects as bytes, and back: by an allow-list of exact names.

Unpickling runs what the bytes tell it to. So it is done only to bytes whose signature holds (`snapshots`), and only
with the names of `ALLOWED`: the classes of a Hoeffding adaptive tree and of ADWIN, no function, and nothing else of a
module. A River that names others is refused; look at `ALLOWED` anew then.

Equal objects have equal bytes, whether they were restored in between or not: names of inputs, which pickle would write
once for each string object that holds them, are written by their place.

The normal distributions in a tree's leaves each carry a random generator for a method that nothing calls here. Nine
tenths of a pickled tree are their states: they are left out, and all get one.
"""

import io
import pickle
import zlib
from random import Random
from typing import Any, Final, TypeVar

from wardstream.models.risk.features import NAMES

T = TypeVar("T")

ALLOWED: Final = frozenset(
    {
        ("builtins", "set"),
        ("random", "Random"),
        ("river._river_rust.drift", "AdaptiveWindowing"),
        ("river.drift.adwin", "ADWIN"),
        ("river.proba.gaussian", "Gaussian"),
        ("river.stats.mean", "Mean"),
        ("river.stats.var", "Var"),
        ("river.tree.hoeffding_adaptive_tree_classifier", "HoeffdingAdaptiveTreeClassifier"),
        ("river.tree.nodes.hatc_nodes", "AdaLeafClassifier"),
        ("river.tree.nodes.hatc_nodes", "AdaNumBinaryBranchClass"),
        ("river.tree.splitter.gaussian_splitter", "GaussianSplitter"),
    }
)
LARGEST: Final = 64 << 20  # bytes, unpacked
_UNUSED: Final = "unused generator"
_PLACES: Final = {name: place for place, name in enumerate(NAMES)}


class Refused(Exception):
    """The bytes are not those of such an object."""


def dump(item: object, used: Random | None = None) -> bytes:
    """An object, pickled and packed; of all random generators in it the state of `used` is kept."""
    made = io.BytesIO()
    _Pickler(made, used).dump(item)
    return zlib.compress(made.getvalue())


def load(packed: bytes, kind: type[T]) -> T:
    """The object of `dump`: only to be called on bytes whose signature holds.

    Raises
    ------
    Refused
        They name anything but `ALLOWED`, are no pickle, or hold another kind of object.
    """
    try:
        unpacker = zlib.decompressobj()
        pickled = unpacker.decompress(packed, LARGEST)
        if unpacker.unconsumed_tail:
            raise Refused("larger than such an object is")
        item = _Unpickler(io.BytesIO(pickled)).load()
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - whatever foreign bytes lead a pickle machine into
        raise Refused(f"no such object: {type(error).__name__}") from None
    if not isinstance(item, kind):
        raise Refused(f"another object than a {kind.__name__}")
    return item


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, used: Random | None) -> None:
        super().__init__(file, protocol=5)
        self._used = used

    def persistent_id(self, obj: Any) -> str | None:
        if isinstance(obj, str):
            place = _PLACES.get(obj)
            return None if place is None else str(place)
        return _UNUSED if isinstance(obj, Random) and obj is not self._used else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._unused = Random(0)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused("names something that is not allowed")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        if pid == _UNUSED:
            return self._unused
        if isinstance(pid, str) and pid.isdecimal() and int(pid) < len(NAMES):
            return NAMES[int(pid)]
        raise Refused("names something that is not allowed")

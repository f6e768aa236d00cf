"""The challenger and its pickles: restored it goes on as if nothing had been, and foreign bytes are refused."""

from __future__ import annotations

import os
import pickle
import pickletools
import subprocess
import sys
import zlib
from random import Random
from typing import Any

import pytest

from tests.models.risk.rows import examples
from wardstream.models.risk import pickles
from wardstream.models.risk.challenger import Challenger
from wardstream.models.risk.features import columns

NUMBER = 6_000


def grown(seed: int = 3) -> Challenger:
    tree = Challenger(seed)
    for one in examples(NUMBER, rate=-1.0):
        tree.learn(columns(one.inputs), one.happened)
    return tree


@pytest.fixture(scope="module")
def tree() -> Challenger:
    found = grown()
    assert found._tree.n_nodes > 1, "it has split, so nodes of all kinds are in the pickle"
    return found


def test_restored_it_goes_on_as_before(tree: Challenger) -> None:
    straight, again = Challenger.restored(tree.packed()), Challenger.restored(tree.packed())
    again = Challenger.restored(again.packed())
    for one in examples(2_000, seed=8):
        row = columns(one.inputs)
        assert straight.say(row) == again.say(row)
        straight.learn(row, one.happened)
        again.learn(row, one.happened)
    assert straight.packed() == again.packed()
    assert straight._tree._rng.getstate() == again._tree._rng.getstate() != Random(3).getstate()


def test_it_is_the_same_bytes_whether_it_was_restored_or_not() -> None:
    straight, stopped = Challenger(3), Challenger(3)
    for index, one in enumerate(examples(NUMBER, rate=-1.0)):
        if index in (700, 2_000, 5_500):
            stopped = Challenger.restored(stopped.packed())
        straight.learn(columns(one.inputs), one.happened)
        stopped.learn(columns(one.inputs), one.happened)
    assert stopped.packed() == straight.packed()


def test_it_does_not_depend_on_the_order_of_sets(tree: Challenger) -> None:
    code = "from tests.models.risk.test_challenger import grown, said; print(said(grown()))"
    environment = os.environ | {"PYTHONHASHSEED": "11"}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=240
    )
    assert other.stdout.strip() == said(tree)


def said(tree: Challenger) -> str:
    return repr([tree.say(columns(one.inputs)) for one in examples(20, seed=9)])


def test_it_learns(tree: Challenger) -> None:
    known = list(examples(2_000, seed=4, rate=-1.0))
    sick = [tree.say(columns(one.inputs)) for one in known if one.happened]
    well = [tree.say(columns(one.inputs)) for one in known if not one.happened]
    assert sum(sick) / len(sick) > sum(well) / len(well) + 0.5


def test_the_names_allowed_are_those_it_needs(tree: Challenger) -> None:
    assert names(zlib.decompress(tree.packed())) <= pickles.ALLOWED
    assert len(tree.packed()) < 200_000


def names(pickled: bytes) -> set[tuple[str, str]]:
    texts: list[str] = []
    memo: list[Any] = []
    found = set()
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE"):
            texts.append(argument)
        elif opcode.name == "MEMOIZE":
            memo.append(texts[-1] if texts else None)
        elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(memo[argument], str):
            texts.append(memo[argument])
        elif opcode.name == "STACK_GLOBAL":
            found.add((texts[-2], texts[-1]))
    return found


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/was-run",)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no pickle"),
        zlib.compress(pickle.dumps(Evil())),
        zlib.compress(pickle.dumps(eval)),
        zlib.compress(pickle.dumps({"a": 1})),
        zlib.compress(pickle.dumps(Random(1))),
        zlib.compress(bytes(pickles.LARGEST + 1)),
    ],
)
def test_anything_else_is_refused(packed: bytes) -> None:
    with pytest.raises(pickles.Refused):
        Challenger.restored(packed)


def test_a_cut_tree_is_refused(tree: Challenger) -> None:
    pickled = zlib.decompress(tree.packed())
    for part in (10, len(pickled) // 2, len(pickled) - 1):
        with pytest.raises(pickles.Refused):
            Challenger.restored(zlib.compress(pickled[:part]))

"""A model's file on ONNX Runtime, without torch and without Triton: for judging, and for the latency it allows."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wardstream.models.sepsis import INPUTS, Inputs

THREADS: Final = 2


Floats = npt.NDArray[np.float32]


def loaded(
    path: Path, inputs: Sequence[str], outputs: Sequence[str], threads: int = THREADS
) -> Callable[[Mapping[str, Floats]], list[Floats]]:
    """A model as a function from its inputs by name to some of its outputs.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no model of this contract.
    """
    import onnxruntime

    if not path.is_file():
        raise FileNotFoundError(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        found: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"{path.name} is no ONNX model: {type(error).__name__}") from error
    names = {one.name for one in found.get_inputs()}, {one.name for one in found.get_outputs()}
    if names[0] != set(inputs) or not names[1].issuperset(outputs):
        raise ValueError(f"{path.name} has other inputs or outputs than {', '.join((*inputs, *outputs))}")

    def run(feed: Mapping[str, Floats]) -> list[Floats]:
        return [np.asarray(one, np.float32) for one in found.run(list(outputs), dict(feed))]

    return run


def session(path: Path, threads: int = THREADS) -> Callable[[Inputs], Floats]:
    """`sepsis` as a function from windows to log-odds; raises as `loaded` does."""
    run = loaded(path, INPUTS, ("logit",), threads)
    return lambda made: run(made.feed())[0]


def latency_s(run: Callable[[Any], Any], made: Any, times: int = 30) -> float:
    """The time a batch takes: the median of some runs, seconds."""
    run(made)
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run(made)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))

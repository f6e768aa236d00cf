"""A model's file on ONNX Runtime, without torch and without Triton: for judging, and for the latency it allows."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wardstream.models.sepsis import INPUTS, Inputs

THREADS: Final = 2


def session(path: Path, threads: int = THREADS) -> Callable[[Inputs], npt.NDArray[np.float32]]:
    """The model as a function from windows to log-odds.

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
    names = {one.name for one in found.get_inputs()}, [one.name for one in found.get_outputs()]
    if names != (set(INPUTS), ["logit"]):
        raise ValueError(f"{path.name} has other inputs or outputs than {', '.join(INPUTS)} and logit")

    def run(made: Inputs) -> npt.NDArray[np.float32]:
        return np.asarray(found.run(["logit"], made.feed())[0], np.float32)

    return run


def latency_s(run: Callable[[Inputs], Any], made: Inputs, times: int = 30) -> float:
    """The time a batch takes: the median of some runs, seconds."""
    run(made)
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run(made)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))

"""From a net to one file that ONNX Runtime and Triton serve, held against torch."""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch

from wardstream.models.sepsis import ABOUT, INPUTS, LOOK_BACK, SIGNALS, Inputs
from wardstream.models.training.fitting import runner
from wardstream.models.training.nets import Net
from wardstream.models.training.serving import session

PARITY: Final = 1e-4
OPSET: Final = 20


class ParityError(RuntimeError):
    """torch and ONNX Runtime differ by more than `PARITY`."""


def export(net: Net, path: Path, sample: Inputs) -> float:
    """Write `model.onnx` with its weights inside; returns the largest difference from torch over a sample.

    Raises
    ------
    ParityError
        The file does not compute what the net computes.
    """
    net.eval()
    shape = (2, LOOK_BACK, len(SIGNALS))
    example = (*(torch.zeros(shape) for _ in range(3)), torch.zeros(2, LOOK_BACK, len(ABOUT)))
    batch = torch.export.Dim("batch", min=1, max=65536)
    axes = {name: {0: batch} for name in INPUTS}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch about torch
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            net,
            example,
            path,
            dynamo=True,
            external_data=False,
            input_names=list(INPUTS),
            output_names=["logit"],
            dynamic_shapes=axes,
            opset_version=OPSET,
            verbose=False,
        )
    difference = 0.0
    run, own = session(path), runner(net)
    for size in (1, 3, len(sample.values)):  # the batch is not baked in
        part = Inputs(*(one[:size] for one in sample))
        difference = max(difference, float(np.abs(run(part) - own(part)).max()))
    if not difference <= PARITY:
        raise ParityError(f"torch and ONNX Runtime differ by {difference:.2g}")
    return difference

"""From what was learnt to one file that ONNX Runtime and Triton serve, held against torch and scikit-learn."""

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from wardstream.models.sepsis import ABOUT, INPUTS, LOOK_BACK, SIGNALS, Inputs
from wardstream.models.training import boosting
from wardstream.models.training.blending import FEATURES, NET_LOGIT, Parts, join
from wardstream.models.training.fitting import runner
from wardstream.models.training.nets import Net
from wardstream.models.training.serving import session

PARITY: Final = 1e-4
OPSET: Final = 20


class ParityError(RuntimeError):
    """The file and what it was made from differ by more than `PARITY`."""


def export(net: Net | None, trees: Any, path: Path, sample: Inputs) -> float:
    """Write `model.onnx` with its weights inside; returns the largest difference from its origin over a sample.

    Parameters
    ----------
    net : Net or None
    trees : HistGradientBoostingClassifier or None
        What answers; both: the mean of their log-odds.
    path : Path
        Of the file.
    sample : Inputs
        Windows of patients.

    Raises
    ------
    ParityError
        The file does not compute what it was made from.
    """
    if trees is None and net is not None:
        _export(net.eval(), path, ["logit"])
    else:
        with tempfile.TemporaryDirectory() as folder:
            parts = Path(folder) / "parts.onnx"
            _export(Parts(net).eval(), parts, [FEATURES] if net is None else [FEATURES, NET_LOGIT])
            join(parts, trees, path, OPSET)
    origins = [] if net is None else [runner(net)]
    if trees is not None:
        origins.append(boosting.runner(trees, boosting.Setting()))
    difference, run = 0.0, session(path)
    for size in (1, 3, len(sample.values)):  # the batch is not baked in
        part = Inputs(*(one[:size] for one in sample))
        said = np.mean([origin(part) for origin in origins], axis=0)
        difference = max(difference, float(np.abs(run(part) - said).max()))
    if not difference <= PARITY:
        raise ParityError(f"{path.name} differs from what it was made from by {difference:.2g}")
    return difference


def _export(module: nn.Module, path: Path, outputs: list[str]) -> None:
    shape = (2, LOOK_BACK, len(SIGNALS))
    example = (*(torch.zeros(shape) for _ in range(3)), torch.zeros(2, LOOK_BACK, len(ABOUT)))
    batch = torch.export.Dim("batch", min=1, max=65536)
    axes = {name: {0: batch} for name in INPUTS}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch about torch
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            module,
            example,
            path,
            dynamo=True,
            external_data=False,
            input_names=list(INPUTS),
            output_names=outputs,
            dynamic_shapes=axes,
            opset_version=OPSET,
            verbose=False,
        )

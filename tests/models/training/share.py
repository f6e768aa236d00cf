"""Run under torchrun, or alone: fits a small net on made-up stays and writes its weights to a path."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from tests.models.training.recorded import stays
from wardstream.models.training.fitting import Trial, fit, new_net
from wardstream.models.training.nets import Shape
from wardstream.models.training.sharing import team


def main(kind: str, path: Path) -> None:
    torch.set_num_threads(1)
    found = stays(60)
    learn, held = np.arange(50), np.arange(50, 60)
    trial = Trial(Shape(kind, 16, 1), batch=16, epochs=3)  # type: ignore[arg-type]
    with team() as members:
        net = new_net(trial, found, learn, seed=1)
        for task in ("rebuild", "labelled"):
            kept = path.with_suffix(f".{task}")
            net = fit(net, task, trial, found, learn, held, 1, kept, members, lambda *_: None, kind).net
        if members.leads:
            torch.save({**net.state_dict(), "processes": torch.tensor(members.size)}, path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""The chest model as a torch net, its augmentation, its pre-training, and its export.

Every film is standardised inside the net (mean 0, deviation 1): a brighter or flatter film is the same film. The
classifier is a 1×1 convolution before the mean, so that its map is the class activation map and adds up to the logit.
"""

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS: Final = (16, 32, 64)
PATCH: Final = 4  # pixels a side of what pre-training hides, and of a cell of the map
OPSET: Final = 20
PARITY: Final = 1e-4


class ParityError(RuntimeError):
    """torch and ONNX Runtime differ by more than `PARITY`."""


def _block(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class ChestNet(nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
    """[n,1,28,28] of 0–1 → the activation, [n,7,7]; its mean is the logit."""

    def __init__(self) -> None:
        super().__init__()
        small, middle, large = WIDTHS
        self.body = nn.Sequential(
            _block(1, small), nn.MaxPool2d(2), _block(small, middle), nn.MaxPool2d(2), _block(middle, large)
        )
        self.drop = nn.Dropout2d(0.2)
        self.head = nn.Conv2d(large, 1, 1)

    def features(self, films: Tensor) -> Tensor:
        mean = films.mean(dim=(2, 3), keepdim=True)
        deviation = ((films - mean) ** 2).mean(dim=(2, 3), keepdim=True).sqrt()
        return self.body((films - mean) / (deviation + 1e-3))

    def forward(self, films: Tensor) -> Tensor:
        return self.head(self.drop(self.features(films))).squeeze(1)


class Served(nn.Module):  # type: ignore[misc]
    """The net as it is served: with its calibration inside, so that the two cannot be of different versions."""

    def __init__(self, net: ChestNet, slope: float, intercept: float) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("slope", torch.tensor(slope, dtype=torch.float32))
        self.register_buffer("intercept", torch.tensor(intercept, dtype=torch.float32))

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        activation = self.net(films)
        logit = activation.mean(dim=(1, 2)).unsqueeze(1)
        slope, intercept = self.get_buffer("slope"), self.get_buffer("intercept")
        return torch.sigmoid(logit), torch.sigmoid(logit * slope + intercept), activation


def augmented(films: Tensor, generator: torch.Generator) -> Tensor:
    """Films a little turned, moved, scaled, brighter, steeper, noisier; never mirrored: the heart is on the left."""
    n = len(films)

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, scale = draw(-0.14, 0.14), draw(0.9, 1.1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.cos(angle) * scale
    theta[:, 0, 1], theta[:, 1, 0] = -torch.sin(angle) * scale, torch.sin(angle) * scale
    theta[:, 0, 2], theta[:, 1, 2] = draw(-0.12, 0.12), draw(-0.12, 0.12)
    grid = F.affine_grid(theta, list(films.shape), align_corners=False)
    moved = F.grid_sample(films, grid, align_corners=False, padding_mode="border")
    shade = (moved.clamp_min(1e-4) ** draw(0.7, 1.4).view(-1, 1, 1, 1) - 0.5) * draw(0.7, 1.3).view(-1, 1, 1, 1) + 0.5
    noise = torch.randn(films.shape, generator=generator) * draw(0, 0.08).view(-1, 1, 1, 1)
    return (shade + noise).clamp(0, 1)


def pretrain(net: ChestNet, films: Tensor, epochs: int, batch: int, seed: int) -> float:
    """Masked reconstruction: half of the patches are hidden, and told from the others. No label is seen.

    Returns the last epoch's mean squared error on hidden pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    decoder = nn.Conv2d(WIDTHS[-1], PATCH * PATCH, 1)
    optimiser = torch.optim.AdamW([*net.body.parameters(), *decoder.parameters()], lr=2e-3)
    side = films.shape[-1] // PATCH
    loss_sum = 0.0
    for _ in range(epochs):
        net.train()
        loss_sum, seen = 0.0, 0
        for rows in torch.randperm(len(films), generator=generator).split(batch):
            whole = films[rows]
            hidden = (torch.rand(len(rows), 1, side, side, generator=generator) < 0.5).float()
            mask = F.interpolate(hidden, scale_factor=PATCH)
            told = F.pixel_shuffle(decoder(net.features(whole * (1 - mask) + 0.5 * mask)), PATCH)
            loss = (((told - whole) ** 2) * mask).sum() / mask.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss_sum, seen = loss_sum + float(loss.detach()) * len(rows), seen + len(rows)
        loss_sum /= seen
    return loss_sum


def logits(net: ChestNet, films: Tensor, batch: int = 512) -> npt.NDArray[np.float64]:
    """The net's log-odds."""
    net.eval()
    with torch.no_grad():
        return np.concatenate([net(part).mean(dim=(1, 2)).double().numpy() for part in films.split(batch)])


def export(net: ChestNet, slope: float, intercept: float, path: Path, sample: npt.NDArray[np.float32]) -> float:
    """Write the served net as one ONNX file; returns its largest difference from torch on the sample.

    Raises
    ------
    ParityError
        ONNX Runtime answers otherwise than torch.
    """
    import onnx
    import onnxruntime

    served = Served(net, slope, intercept).eval()
    films = torch.from_numpy(sample)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            served,
            (films[:2],),
            path,
            input_names=["image"],
            output_names=["probability", "calibrated_probability", "activation"],
            dynamic_shapes={"films": {0: torch.export.Dim("films", min=1, max=256)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
    onnx.checker.check_model(onnx.load(path))
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    run = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = [output.numpy() for output in served(films)]
    found = run.run(None, {"image": sample})
    # of cells, whose numbers may be large, relative to their size
    pairs = zip(wanted, found, strict=True)
    worst = max(float((np.abs(one - other) / np.maximum(1, np.abs(one))).max()) for one, other in pairs)
    if not worst <= PARITY:
        raise ParityError(f"{worst:.2g}")
    return worst

"""Trains the demo's network on the Free Spoken Digit Dataset and writes what examples/spoken_digits holds.

    python -m examples.train_spoken_digits            # about two minutes on one core

The network is a small MobileNet: a convolution, depthwise-separable blocks with batch norm, three of them residual, a mean, a dense layer.
It hears 13 mel-frequency cepstral coefficients over 40 frames, each coefficient normalized over the training set. Of 3,000 utterances 1,800
train, 600 validate (every choice was made on these) and 600 test; the six speakers are in all three, because the package does not say who
speaks.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from benchmarks.data import Utterances, spoken_digits

FRAMES = 40
COEFFICIENTS = 13
STEP = 1 / 32  # features are rounded to it, so that the shipped files pack well
CALIBRATION_COUNT = 100
FOLDER = Path(__file__).resolve().parent / "spoken_digits"


class DigitNetwork(nn.Module):
    """(N, 1, 40, 13) normalized MFCC -> (N, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normalized(nn.Conv2d(1, 24, 3, stride=2, padding=1, bias=False))
        self.blocks = nn.Sequential(
            _Separable(24, 32), _Separable(32, 32), _Separable(32, 64, stride=2), _Separable(64, 64), _Separable(64, 64)
        )
        self.dropout = nn.Dropout(0.2)
        self.dense = nn.Linear(64, 10)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        values = self.blocks(functional.relu(self.stem(features)))
        return self.dense(self.dropout(functional.adaptive_avg_pool2d(values, 1).flatten(1)))


class _Separable(nn.Module):
    """Depthwise 3x3, then pointwise (MobileNet, arXiv:1704.04861), residual where the shapes allow it."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = _normalized(nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False))
        self.pointwise = _normalized(nn.Conv2d(channels, out, 1, bias=False))
        self.residual = stride == 1 and channels == out

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = self.pointwise(functional.relu(self.depthwise(inputs)))
        return functional.relu(values + inputs if self.residual else values)


def _normalized(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))


@dataclass(frozen=True)
class Splits:
    """Indices of utterances; each digit has the same share of each part."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def split(labels: npt.NDArray[np.int64]) -> Splits:
    """A fixed random split, 60 : 20 : 20 within every class."""
    rng = np.random.default_rng(2017)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label in np.unique(labels):
        shuffled = rng.permutation(np.flatnonzero(labels == label)).tolist()
        for part, of_label in zip(parts, np.split(shuffled, [len(shuffled) * 3 // 5, len(shuffled) * 4 // 5]), strict=True):
            part.extend(of_label)
    train, validation, test = (np.array(rng.permutation(part), dtype=np.int64) for part in parts)
    return Splits(train, validation, test)


def fixed_length(utterances: Utterances, mean: npt.NDArray[np.float32], deviation: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Every utterance normalized and rounded, in the middle of 40 frames of zeros, or its middle 40 frames: (N, 1, 40, 13)."""
    features = np.zeros((len(utterances.lengths), 1, FRAMES, COEFFICIENTS), np.float32)
    ends = np.cumsum(utterances.lengths)
    for index, (end, length) in enumerate(zip(ends, utterances.lengths, strict=True)):
        kept = min(int(length), FRAMES)
        first = int(end - length) + (int(length) - kept) // 2
        at = (FRAMES - kept) // 2
        normalized = (utterances.frames[first : first + kept] - mean) / deviation
        features[index, 0, at : at + kept] = np.round(normalized / STEP) * STEP
    return features


def augmented(features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A batch moved in time, louder or softer, with noise, and with a band of frames and of coefficients blanked (as SpecAugment does)."""
    count = len(features)

    def integers(high: int) -> torch.Tensor:
        return torch.randint(high, (count, 1, 1, 1), generator=generator)

    frames, coefficients = torch.arange(FRAMES).reshape(1, 1, -1, 1), torch.arange(COEFFICIENTS).reshape(1, 1, 1, -1)
    moved = (frames - integers(13) + 6).clamp(0, FRAMES - 1).expand(-1, -1, -1, COEFFICIENTS)
    values = features.gather(2, moved)
    values = values * (1 + 0.1 * torch.randn(count, 1, 1, 1, generator=generator)) + 0.1 * torch.randn(features.shape, generator=generator)
    for positions, width, size in ((frames, 5, FRAMES), (coefficients, 3, COEFFICIENTS)):
        start = integers(size)
        values = values * ((positions < start) | (positions >= start + integers(width)))
    return values


def train(features: torch.Tensor, labels: torch.Tensor, epochs: int, seed: int) -> DigitNetwork:
    """A network trained with AdamW under a one-cycle learning rate; the last epoch's weights are taken."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = DigitNetwork()
    batch = 64
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * (len(features) // batch))
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=generator)[: len(features) // batch * batch]
        for chosen in order.split(batch):
            loss = functional.cross_entropy(network(augmented(features[chosen], generator)), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of utterances that are understood."""
    with torch.no_grad():
        return float((network(features).argmax(1) == labels).double().mean())


def write(network: nn.Module, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], splits: Splits, folder: Path) -> None:
    """The network as ONNX with its batch norm whole, calibration data from the training set, and the test set."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, FRAMES, COEFFICIENTS),),
            str(folder / "spoken_digits.onnx"),
            input_names=["mfcc"],
            output_names=["logits"],
            dynamic_axes={"mfcc": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=17,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            dynamo=False,
        )
    for name, chosen in (("calibration", splits.train[:CALIBRATION_COUNT]), ("test", splits.test)):
        np.savez_compressed(folder / f"{name}.npz", inputs=features[chosen], labels=labels[chosen])


def main() -> None:
    """Train, say what came out, and write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate", action="store_true", help="only say the validation accuracy: write nothing, leave the test set alone")
    options = parser.parse_args()
    torch.set_num_threads(1)

    utterances = spoken_digits()
    splits = split(utterances.labels)
    owner = np.repeat(np.arange(len(utterances.lengths)), utterances.lengths)
    of_training = utterances.frames[np.isin(owner, splits.train)]
    mean, deviation = of_training.mean(0), of_training.std(0)
    features = fixed_length(utterances, mean, deviation)
    inputs, labels = torch.from_numpy(features), torch.from_numpy(utterances.labels)
    network = train(inputs[splits.train], labels[splits.train], options.epochs, options.seed)

    results = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "validation_accuracy": round(accuracy(network, inputs[splits.validation], labels[splits.validation]), 4),
    }
    if not options.validate:
        results["test_accuracy"] = round(accuracy(network, inputs[splits.test], labels[splits.test]), 4)
        write(network, features, utterances.labels, splits, options.output)
        normalization = {"mean": mean.round(4).tolist(), "deviation": deviation.round(4).tolist()}
        (options.output / "network.json").write_text(json.dumps({**results, "frames": FRAMES, **normalization}, indent=2) + "\n")
    print(json.dumps(results))


if __name__ == "__main__":
    main()

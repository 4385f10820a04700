"""Trains the small Deformable DETR of `samples/deformable` on the same drawings as the demo weights.

It begins with the demo's backbone, takes transformers' own loss, and runs on one CPU core. A run
that was stopped goes on from its last checkpoint when the same command is given again.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from deformable_model import build_model, loss_of, make_config, read_model, write_folder
from drawings import FORMATS, TRAINING_COUNTS, TRAINING_SEED, Batch, Feed, Store, build_store, normalise
from evaluate import Answers, Precision, average_precision, held_out_stores
from losses import to_corners
from numpy.typing import NDArray
from torch import nn

SHIPPED_PX = 288
_LONGEST = 1.67  # times the shorter side, as 1333 to 800
_SIDES = {0.0: (160,), 0.2: (192,), 0.35: (192, 224), 0.5: (224, 256), 0.75: (240, 256, 272)}  # from which part on
_PICTURES = 16
_LEARNING_RATE = 5e-4
_SLOW = {"backbone": 0.1, "sampling_offsets": 0.2, "reference_points": 0.2}  # times the learning rate
_DECAY = 1e-4
_LAST_RATE = 0.01
_WARM_UP_STEPS = 100
_CLIP = 1.0
_AVERAGE_DECAY = 0.998
_REPORT_S = 300.0
_BATCH = 10


@dataclass
class Clock:
    """How far the run is."""

    step: int = 0
    trained_s: float = 0.0


class Run:
    """The training, from its last checkpoint to the end."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.out, self.minutes = out, minutes
        torch.manual_seed(0)
        config = make_config()
        config.auxiliary_loss = True
        self.model = build_model(config)
        for name, parameter in self.model.named_parameters():
            if "backbone" in name:  # the first stage stays as it came
                parameter.requires_grad_("stages." in name and "stages.0" not in name)
        self.average = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.optimiser = make_optimiser(self.model)
        self.clock = Clock()
        self.shown: dict[str, float] = {}
        if self._checkpoint.exists():
            self._restore()
        self.feed = Feed(out / "drawings/training", seed=self.clock.step)
        self.held_out = held_out_stores(out / "drawings/held_out")

    @property
    def done(self) -> float:
        """The part of the run that is over, 0 to 1."""
        return min(1.0, self.clock.trained_s / (60 * self.minutes))

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def train(self) -> None:
        """Steps until the time is up, with a checkpoint and a measurement every few minutes."""
        reported_s = self.clock.trained_s
        while self.done < 1:
            began = time.monotonic()
            self._step()
            self.clock.trained_s += time.monotonic() - began
            if self.clock.trained_s - reported_s > _REPORT_S:
                self._report(fraction=0.1)
                reported_s = self.clock.trained_s
        self._report(fraction=1.0)

    def _step(self) -> None:
        sides = next(_SIDES[start] for start in sorted(_SIDES, reverse=True) if self.done >= start)
        side_px = sides[self.clock.step % len(sides)]
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * rate(self.done, self.clock.step)
        parts = take_step(self.model, self.optimiser, self.feed.draw_batch(_PICTURES, side_px))
        decay = min(_AVERAGE_DECAY, (1 + self.clock.step) / (10 + self.clock.step))
        for key, value in self.model.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)
        self.clock.step += 1
        for name, value in parts.items():
            self.shown[name] = 0.95 * self.shown.get(name, value) + 0.05 * value
        if self.clock.step % 50 == 0:
            self._say(f"{side_px} px: " + " ".join(f"{name} {value:.3f}" for name, value in self.shown.items()))

    def _report(self, fraction: float) -> None:
        """Saves, and measures the averaged weights on a part of the held-out drawings."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "clock": asdict(self.clock),
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        self._write_folder(self.out / "deformable")
        precision = measure(read_model(self.out / "deformable"), self.held_out, SHIPPED_PX, fraction)
        self._say(json.dumps(asdict(precision)))

    def _write_folder(self, folder: Path) -> None:
        averaged = build_model(make_config())
        averaged.load_state_dict(self.average)
        write_folder(folder, averaged, SHIPPED_PX, round(SHIPPED_PX * _LONGEST))

    def _restore(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self.clock = Clock(**state["clock"])
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = state["average"]

    def _say(self, text: str) -> None:
        line = f"{self.clock.trained_s / 60:5.1f} min  step {self.clock.step}: {text}"
        print(line, flush=True)
        with (self.out / "log.txt").open("a") as log:
            log.write(line + "\n")


def make_optimiser(model: nn.Module) -> torch.optim.AdamW:
    """AdamW; smaller steps for what `_SLOW` names, no decay on vectors."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((factor for part, factor in _SLOW.items() if part in name), 1.0)
            decay = _DECAY if parameter.dim() > 1 else 0.0
            groups.setdefault((_LEARNING_RATE * factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": some, "lr": base, "base": base, "weight_decay": decay} for (base, decay), some in groups.items()],
        fused=True,
    )


def rate(done: float, step: int) -> float:
    """Warm-up, then a cosine down to `_LAST_RATE`; times the learning rate."""
    cosine = (1 + math.cos(math.pi * done)) / 2
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * (_LAST_RATE + (1 - _LAST_RATE) * cosine)


def take_step(model: nn.Module, optimiser: torch.optim.AdamW, batch: Batch) -> dict[str, float]:
    """One step on one batch; the parts of the last layer's loss before it."""
    model.train()
    loss, parts = loss_of(model, batch)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimiser.step()
    return parts


def measure(model: nn.Module, stores: dict[str, Store], shortest_px: int, fraction: float = 1.0) -> Precision:
    """Average precision over (the first `fraction` of) each held-out store."""
    found: list[Answers] = []
    for name, store in stores.items():
        width, height = FORMATS[name]
        size = (shortest_px * height // min(width, height), shortest_px * width // min(width, height))
        count = round(len(store) * fraction)
        for start in range(0, count, _BATCH):
            found += _answers(model, store, np.arange(start, min(start + _BATCH, count)), size)
    return average_precision(found)


@torch.no_grad()
def _answers(model: nn.Module, store: Store, indices: NDArray[np.int64], size: tuple[int, int]) -> list[Answers]:
    batch = store.batch(indices, size)
    output = model(normalise(batch.images))
    scores, labels = output.logits.sigmoid().max(-1)
    found, truth = to_corners(output.pred_boxes), to_corners(batch.boxes)
    return [
        Answers(
            scores[index].double().numpy(),
            labels[index].numpy(),
            found[index].double().numpy(),
            batch.labels[index][is_object].numpy(),
            truth[index][is_object].double().numpy(),
        )
        for index, is_object in enumerate(batch.labels >= 0)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small Deformable DETR, or measure one.")
    parser.add_argument("--out", type=Path, required=True, help="drawings, checkpoints and the result")
    parser.add_argument("--minutes", type=float, default=50, help="of training")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help="measure this model, train nothing")
    parser.add_argument("--shortest-px", type=int, default=SHIPPED_PX, help="shorter side of measured pictures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.measure:
        stores = held_out_stores(given.out / "drawings/held_out")
        print(json.dumps(asdict(measure(read_model(given.measure), stores, given.shortest_px))))
        return
    for name, count in TRAINING_COUNTS.items():
        build_store(given.out / "drawings/training" / name, TRAINING_SEED, count, FORMATS[name], workers=1)
    Run(given.out, given.minutes).train()


if __name__ == "__main__":
    main()

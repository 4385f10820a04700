"""Trains the demo weights from nothing: draws the pictures, then three phases on a few CPU cores.

encoder   the backbone and the encoder learn to name outlines, on small pictures;
detector  the whole model learns to detect, on growing pictures;
sharpen   the same at the size that ships, with the batch norms frozen and ever smaller steps.

Every phase has a share of `--minutes`. One process per core, gradients averaged. A run that was
stopped goes on from its last checkpoint when the same command is given again.
"""

import argparse
import os
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from drawings import FORMATS, TRAINING_COUNTS, TRAINING_SEED, Batch, Feed, build_store
from evaluate import held_out_stores, measure
from losses import OutlineHeads, outline_accuracy, outline_loss, set_loss
from outlines import cell_targets
from schedule import PHASES, SHIPPED_PX, Phase
from student import WIDTH, Student, build_detr
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from weights import write_demo

from detr_attnviz.models.detr import DETR

_LONGEST = 1.67  # times the shorter side, as 1333 to 800
_CHECKPOINT_S = 240.0
_OUTLINE_WEIGHT = 0.3  # of the outline losses after the first phase
_CLIP = 1.0
_LATE = ("detr.transformer.decoder", "detr.query_embed", "more_queries", "detr.bbox_embed")


@dataclass
class Clock:
    """How far the run is: which phase, and the part of it that is done (0 to 1)."""

    phase: int = 0
    done: float = 0.0
    step: int = 0  # of the phase
    all_steps: int = 0
    trained_s: float = 0.0


class Run:
    """One process's share of the training."""

    def __init__(self, out: Path, minutes: float, rank: int, workers: int) -> None:
        self.out, self.minutes, self.rank, self.workers = out, minutes, rank, workers
        torch.manual_seed(0)
        self.student = Student().to(memory_format=torch.channels_last)
        self.heads = OutlineHeads(WIDTH, self.student.detr.class_embed.out_features - 1)
        self.clock = Clock()
        self.shown: dict[str, float] = {}
        self._step_began = time.monotonic()
        self.average = {k: v.clone() for k, v in self.student.detr.state_dict().items()}
        self.optimiser = self._make_optimiser()
        if self._checkpoint.exists():
            self._restore()
        self.feed = Feed(out / "drawings/training", seed=1000 * self.clock.all_steps + rank)
        self.held_out = held_out_stores(out / "drawings/held_out") if rank == 0 else {}

    @property
    def phase(self) -> Phase:
        return PHASES[self.clock.phase]

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def train(self) -> None:
        """All phases to the end, with a checkpoint and a measurement every few minutes."""
        saved_at = time.monotonic()
        while self.clock.phase < len(PHASES):
            self.student.train()
            if self.phase.frozen_norms:
                self.student.freeze_norms()
            self._step_began = time.monotonic()
            while self.clock.done < 1:
                self._step()
                if self.clock.step % 20 == 0 and self._agree(time.monotonic() - saved_at) > _CHECKPOINT_S:
                    self._report()
                    saved_at = time.monotonic()
            self._report()
            self.clock.phase, self.clock.done, self.clock.step = self.clock.phase + 1, 0.0, 0
            if self.clock.phase < len(PHASES):
                self.optimiser = self._make_optimiser()
        if self.rank == 0:
            self._export(self.out / "detr_shapes.safetensors", SHIPPED_PX)

    def _step(self) -> None:
        side_px = self.phase.side_px(self.clock.done, self.clock.step)
        batch = self.feed.draw_batch(self.phase.pictures // self.workers, side_px)
        losses = self._losses(batch)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad()
        total.backward()
        passed_s = self._average_over_processes(time.monotonic() - self._step_began)
        self._step_began = time.monotonic()
        nn.utils.clip_grad_norm_(self._parameters(), _CLIP)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * self.phase.rate(self.clock.done, self.clock.step)
        self.optimiser.step()
        self._update_average()
        self._advance(passed_s, losses, side_px)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        detr = self.student.detr
        with torch.autocast("cpu", torch.bfloat16):
            encoded = self.student.encode(batch.images)
            predictions = self.student.decode(encoded) if self.phase.decodes else None
        targets = cell_targets(batch.owners, encoded.rows, encoded.cols)
        memory, features = encoded.memory.float(), encoded.features.float()
        outline = outline_loss(memory, features, detr.class_embed, self.heads, targets, batch.boxes, batch.labels)
        if predictions is None:
            with torch.no_grad():
                named = outline_accuracy(detr.class_embed(memory), targets, batch.labels)
            self.shown["named"] = named
            return outline
        outline = {name: loss * _OUTLINE_WEIGHT for name, loss in outline.items()}
        return outline | set_loss(predictions, batch.boxes, batch.labels)

    def _average_over_processes(self, passed_s: float) -> float:
        """Makes gradients, running statistics and time passed the mean over all processes."""
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        shared = [*gradients, *self.student.norm_statistics()]
        flat = torch.cat([torch.tensor([passed_s]), *(tensor.flatten() for tensor in shared)])
        if self.workers > 1:
            dist.all_reduce(flat)
            flat /= self.workers
        parts = torch.split(flat[1:], [tensor.numel() for tensor in shared])
        for tensor, part in zip(shared, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
        return float(flat[0])

    @torch.no_grad()
    def _update_average(self) -> None:
        """Follows the weights slowly; the average is what is measured and shipped."""
        decay = min(self.phase.average_decay, (1 + self.clock.all_steps) / (10 + self.clock.all_steps))
        for key, value in self.student.detr.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - decay)

    def _advance(self, passed_s: float, losses: dict[str, Tensor], side_px: int) -> None:
        clock = self.clock
        clock.done += passed_s / (60 * self.minutes * self.phase.share)
        clock.step += 1
        clock.all_steps += 1
        clock.trained_s += passed_s
        for name, loss in losses.items():
            self.shown[name] = 0.95 * self.shown.get(name, loss.item()) + 0.05 * loss.item()
        if self.rank == 0 and clock.step % 50 == 0:
            shown = " ".join(f"{name} {value:.3f}" for name, value in self.shown.items())
            rate = self.phase.pictures / passed_s
            self._say(f"{side_px} px, {rate:.0f} pictures/s: {shown}")

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    def _make_optimiser(self) -> torch.optim.AdamW:
        """AdamW over what the phase trains; no decay on vectors, smaller steps in the encoder."""
        phase, groups = self.phase, []
        named = [*self.student.named_parameters(), *self.heads.named_parameters(prefix="heads")]
        for name, parameter in named:
            is_late = name.startswith(_LATE)
            if is_late and not phase.decodes:
                continue
            base = phase.learning_rate * (1.0 if is_late else phase.encoder_rate)
            decay = 1e-4 if parameter.dim() > 1 else 0.0
            groups.append({"params": [parameter], "base": base, "lr": base, "weight_decay": decay})
        return torch.optim.AdamW(_gather(groups), fused=True)

    def _report(self) -> None:
        """Saves a checkpoint and measures the averaged weights (on a part of the drawings)."""
        if self.rank == 0:
            self._save()
            shortest_px = self.phase.side_px(self.clock.done, 0)
            self._export(self.out / "latest.safetensors", shortest_px)
            if self.phase.decodes:
                whole = self.clock.done >= 1
                fraction = 1.0 if whole else 0.2
                detr = self._averaged_detr()
                precision, looks = measure(detr, self.held_out, shortest_px, fraction)
                self._say(f"{shortest_px} px, {_shown(asdict(precision))}; {_shown(asdict(looks))}")
                if whole:
                    self._export(self.out / f"after_{self.phase.name}.safetensors", shortest_px)
        if self.workers > 1:
            dist.barrier()
        self._step_began = time.monotonic()

    def _averaged_detr(self) -> DETR:
        detr = build_detr()
        detr.load_state_dict(self._shipped_state())
        return detr.eval()

    def _shipped_state(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.average.items() if not k.endswith("num_batches_tracked")}

    def _export(self, path: Path, shortest_px: int) -> None:
        write_demo(path, self._shipped_state(), shortest_px, round(shortest_px * _LONGEST))

    def _save(self) -> None:
        state = {
            "student": self.student.state_dict(),
            "heads": self.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "clock": asdict(self.clock),
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _restore(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self.clock = Clock(**state["clock"])
        self.student.load_state_dict(state["student"])
        self.heads.load_state_dict(state["heads"])
        self.average = state["average"]
        self.optimiser = self._make_optimiser()
        self.optimiser.load_state_dict(state["optimiser"])

    def _agree(self, value: float) -> float:
        """The mean over all processes, so that all of them decide alike."""
        mean = torch.tensor(value)
        if self.workers > 1:
            dist.all_reduce(mean)
        return mean.item() / self.workers

    def _say(self, text: str) -> None:
        clock = self.clock
        when = f"{clock.trained_s / 60:5.1f} min  {self.phase.name} {clock.done:.3f}"
        line = f"{when}  step {clock.all_steps}: {text}"
        print(line, flush=True)
        with (self.out / "log.txt").open("a") as log:
            log.write(line + "\n")


def _gather(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Joins parameter groups that differ in nothing but their parameters."""
    joined: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        key = (group["base"], group["weight_decay"])
        if key in joined:
            joined[key]["params"] += group["params"]
        else:
            joined[key] = group
    return list(joined.values())


def _shown(numbers: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in numbers.items())


def _run_process(rank: int, out: Path, minutes: float, workers: int) -> None:
    torch.set_num_threads(1)
    if workers > 1:
        meeting = f"file://{(out / 'meeting').resolve()}"
        dist.init_process_group(
            "gloo",
            init_method=meeting,
            rank=rank,
            world_size=workers,
            timeout=timedelta(minutes=20),
        )
    Run(out, minutes, rank, workers).train()
    if workers > 1:
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo weights.")
    parser.add_argument("--out", type=Path, required=True, help="drawings, checkpoints and the result")
    parser.add_argument("--minutes", type=float, default=75, help="time of all phases together")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    for name, count in TRAINING_COUNTS.items():
        folder = given.out / "drawings/training" / name
        build_store(folder, TRAINING_SEED, count, FORMATS[name], given.workers)
    held_out_stores(given.out / "drawings/held_out", given.workers)
    (given.out / "meeting").unlink(missing_ok=True)
    arguments = (given.out, given.minutes, given.workers)
    spawn(_run_process, arguments, given.workers)


if __name__ == "__main__":
    main()

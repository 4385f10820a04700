"""Peer 2: Hugging Face's DETR with eager attention and ``output_attentions=True``, overlays by matplotlib.

``python -m benchmarks.peers.huggingface CHECKPOINT PICTURES OUT DEVICE`` is the script that a user would write;
without arguments it serves the same, warm.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import DetrForObjectDetection, DetrImageProcessor

from benchmarks.peers.answers import BEST, Seen, pixel_boxes
from benchmarks.peers.huggingface_weights import load_huggingface
from benchmarks.peers.serving import Handlers, serve_or_run, stopwatch


class HuggingFace:
    """The model of transformers and what its user does with it."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.model: DetrForObjectDetection
        self.processor: DetrImageProcessor
        self.seen: Seen

    def handlers(self) -> Handlers:
        """Everything that can be asked."""
        return {name: getattr(self, name) for name in ("load", "forward", "overlays", "answers")}

    def load(self, checkpoint: str, device: str = "cpu", shortest_px: int = 800) -> None:
        self.device = torch.device(device)
        self.model = load_huggingface(checkpoint).to(self.device)
        self.processor = DetrImageProcessor(size={"shortest_edge": shortest_px, "longest_edge": 1333})

    @torch.no_grad()
    def forward(self, picture: str) -> float:
        """Seconds of the model alone, with its attention weights."""
        inputs = self._inputs(Image.open(picture).convert("RGB"))
        with stopwatch(self._wait) as seconds:
            self.model(**inputs, output_attentions=True)
        return seconds()

    def overlays(self, picture: str, out: str) -> dict[str, Any]:
        """Seconds from the file to the overlays on disk, and what was drawn."""
        with stopwatch() as seconds:
            self.seen = self._see(Image.open(picture).convert("RGB"))
            files = self.seen.save_overlays(Path(out))
        return {"seconds": seconds(), "files": files, "queries": list(self.seen.queries)}

    @torch.no_grad()
    def answers(self, picture: str, file: str, pixels: str = "") -> None:
        """Everything to compare as an ``.npz``; with ``pixels``, for the very input that this file of another holds."""
        inputs = self._inputs(Image.open(picture).convert("RGB"))
        if pixels:
            with np.load(pixels) as other:
                inputs["pixel_values"] = torch.from_numpy(other["pixels"]).to(self.device)
        output = self.model(**inputs, output_attentions=True)
        np.savez(
            file,
            logits=output.logits[0].cpu(),
            boxes=output.pred_boxes[0].cpu(),
            cross=_maps(output.cross_attentions[-1], inputs).cpu(),
            encoder=output.encoder_attentions[-1][0].mean(0).cpu(),
        )

    def _inputs(self, image: Image.Image) -> dict[str, Tensor]:
        inputs = self.processor(images=image, return_tensors="pt")
        return {name: value.to(self.device) for name, value in inputs.items()}

    @torch.no_grad()
    def _see(self, image: Image.Image) -> Seen:
        inputs = self._inputs(image)
        output = self.model(**inputs, output_attentions=True)
        scores = output.logits.softmax(-1)[0, :, :-1].max(-1).values
        best = scores.topk(BEST).indices
        boxes = pixel_boxes(output.pred_boxes[0, best].cpu().numpy(), image)
        return Seen(image, best.tolist(), boxes, _maps(output.cross_attentions[-1], inputs)[best].cpu().numpy())

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _maps(weights: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """Weights ``[1 heads queries tokens]`` as mean maps ``[queries rows cols]``; a cell has 32 pixels a side."""
    height, width = inputs["pixel_values"].shape[-2:]
    maps: Tensor = weights[0].mean(0).unflatten(-1, (-(-height // 32), -(-width // 32)))
    return maps


if __name__ == "__main__":
    serve_or_run(HuggingFace())

"""Peer 1: the official recipe, as the well-known notebook does it: hooks on attention, overlays by matplotlib.

``python -m benchmarks.peers.official CHECKPOINT PICTURES OUT DEVICE`` is the script that a user would write; without
arguments it serves the same, warm.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image
from torch import Tensor, nn

from benchmarks.peers.answers import BEST, Seen, pixel_boxes
from benchmarks.peers.official_model import OfficialDetr, load_official
from benchmarks.peers.official_relevance import relevance
from benchmarks.peers.serving import Handlers, peak_mb, serve_or_run, stopwatch


class Official:
    """The official model and what its user does with it."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.model: OfficialDetr
        self.transform: T.Compose
        self.seen: Seen

    def handlers(self) -> Handlers:
        """Everything that can be asked."""
        names = ("load", "forward", "overlays", "draw", "answers", "relevance", "peak_mb")
        return {name: getattr(self, name) for name in names}

    def load(self, checkpoint: str, device: str = "cpu", shortest_px: int = 800) -> None:
        self.device = torch.device(device)
        self.model = load_official(checkpoint).to(self.device)
        normalize = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        self.transform = T.Compose([T.Resize(shortest_px), T.ToTensor(), normalize])

    @torch.no_grad()
    def forward(self, picture: str, batch: int = 1, precision: str = "fp32") -> float:
        """Seconds of the model alone; below fp32 it is torch's autocast."""
        images = self._pixels(Image.open(picture)).expand(batch, -1, -1, -1).contiguous()
        lower = torch.autocast(self.device.type, torch.bfloat16, enabled=precision != "fp32")
        with stopwatch(self._wait) as seconds, lower:
            self.model(images)
        return seconds()

    def overlays(self, picture: str, out: str) -> dict[str, Any]:
        """Seconds from the file to the overlays on disk, and what was drawn."""
        with stopwatch() as seconds:
            self.seen = self._see(Image.open(picture).convert("RGB"))
            files = self.seen.save_overlays(Path(out))
        return {"seconds": seconds(), "files": files, "queries": list(self.seen.queries)}

    def draw(self, style: str, file: str) -> float:
        """Seconds of drawing one map of the picture last seen."""
        with stopwatch() as seconds:
            self.seen.save_one(style, Path(file))
        return seconds()

    @torch.no_grad()
    def answers(self, picture: str, file: str) -> None:
        """Everything to compare, with the pixels that went in, as an ``.npz``."""
        pixels = self._pixels(Image.open(picture).convert("RGB"))
        output, encoder, cross = self._watched(pixels)
        logits, boxes = output["pred_logits"][0].cpu(), output["pred_boxes"][0].cpu()
        np.savez(file, pixels=pixels.cpu(), logits=logits, boxes=boxes, cross=cross.cpu(), encoder=encoder.cpu())

    def relevance(self, picture: str, queries: list[int], file: str) -> float:
        """Seconds from the pixels to the relevance of ``queries``, which go into ``file`` (``.npz``)."""
        pixels = self._pixels(Image.open(picture))
        with stopwatch(self._wait) as seconds:
            found = relevance(self.model, pixels, queries)
        np.savez(file, relevance=found.cpu().numpy())
        return seconds()

    def peak_mb(self) -> float:
        """The largest that this process has been."""
        return peak_mb()

    def _pixels(self, image: Image.Image) -> Tensor:
        pixels: Tensor = self.transform(image)
        return pixels.unsqueeze(0).to(self.device)

    def _watched(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The output, and the last layers' head-averaged weights: encoder self-attention, decoder cross-attention."""
        features: list[Tensor] = []
        encoder: list[Tensor] = []
        cross: list[Tensor] = []
        hooks = [
            self.model.backbone[0].register_forward_hook(lambda module, args, output: features.append(output[0])),
            self._last("encoder", "self_attn").register_forward_hook(
                lambda module, args, output: encoder.append(output[1])
            ),
            self._last("decoder", "multihead_attn").register_forward_hook(
                lambda module, args, output: cross.append(output[1])
            ),
        ]
        output = self.model(pixels)
        for hook in hooks:
            hook.remove()
        return output, encoder[0][0], cross[0][0].unflatten(-1, features[0].shape[-2:])

    def _last(self, half: str, attention: str) -> nn.Module:
        layers = self.model.transformer.get_submodule(f"{half}.layers")
        assert isinstance(layers, nn.ModuleList)
        return layers[-1].get_submodule(attention)

    @torch.no_grad()
    def _see(self, image: Image.Image) -> Seen:
        output, _, cross = self._watched(self._pixels(image))
        scores = output["pred_logits"].softmax(-1)[0, :, :-1].max(-1).values
        best = scores.topk(BEST).indices
        boxes = pixel_boxes(output["pred_boxes"][0, best].cpu().numpy(), image)
        return Seen(image, best.tolist(), boxes, cross[best].cpu().numpy())

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


if __name__ == "__main__":
    serve_or_run(Official())

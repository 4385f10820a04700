"""What is asked of a transformers model: a forward as it is, or one with every place of attention recorded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

import detr_attnviz as av
from benchmarks.peers import family_models
from benchmarks.peers.serving import Handlers, stopwatch
from detr_attnviz.detector import exact_inference
from detr_attnviz.families.hf_table import KNOWN
from detr_attnviz.recording.hooks import Records

_QUERY = 17


class Watched:
    """One model, loaded as its users load it, and a seeded picture."""

    def __init__(self) -> None:
        self.device = "cpu"
        self.detector: av.Detector
        self.inputs: Mapping[str, Tensor]

    def handlers(self) -> Handlers:
        """Everything that can be asked."""
        return {name: getattr(self, name) for name in ("load", "plain", "recorded", "held")}

    def load(self, model_type: str, height_px: int, width_px: int, device: str = "cpu") -> dict[str, Any] | None:
        """Builds the family's model; how it attends, and its sites. None if the installed transformers has no such."""
        if not family_models.is_there(model_type):
            return None
        model: Any = family_models.built(model_type)
        self.hold(model, height_px, width_px, device)
        return {"attention": model.config._attn_implementation, "sites": len(self.detector.sites)}

    def hold(self, model: nn.Module, height_px: int, width_px: int, device: str = "cpu") -> None:
        """Takes a model that is there already."""
        self.device = device
        self.detector = _loaded(model, device)
        generator = torch.Generator().manual_seed(0)
        self.inputs = {"images": torch.randn(1, 3, height_px, width_px, generator=generator).to(device)}

    def plain(self) -> float:
        """Seconds of a forward that nobody watches."""
        with stopwatch(self._wait) as seconds, exact_inference(self.detector.device):
            self.detector.family.forward(self.inputs)
        return seconds()

    def recorded(self) -> dict[str, float]:
        """Seconds of a forward with all sites recorded, and of the first map of one query after it, all heads."""
        with stopwatch(self._wait) as forward:
            _, records = self.detector.forward(self.inputs)
        last = [site.name for site in self.detector.sites if site.kind == "decoder-cross"][-1]
        with stopwatch(self._wait) as first:
            records[last].map(queries=[min(_QUERY, records[last].queries - 1)])
        return {"forward": forward(), "first": first()}

    def held(self) -> int:
        """Bytes that the records keep from being freed, once each, also where several sites saw the same."""
        _, records = self.detector.forward(self.inputs)
        storages = [tensor.untyped_storage() for tensor in _kept(records)]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def _loaded(model: nn.Module, device: str) -> av.Detector:
    config: Any = model.config
    if not KNOWN[config.model_type].needs_text:
        return av.load(model, device=device)
    with TemporaryDirectory() as folder:
        family_models.write_tokenizer(Path(folder))
        config.name_or_path = folder
        return av.load(model, device=device, text=family_models.PROMPT)


def _kept(records: Records) -> Iterator[Tensor]:
    """What went into attention; weights are the model's own."""
    for record in records.values():
        for held in record._kept._inputs.values():
            yield held.tensor

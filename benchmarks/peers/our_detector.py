"""What is asked of detr_attnviz when it is warm, by its library as its users know it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import detr_attnviz as av
from benchmarks.peers.serving import Handlers, peak_mb, stopwatch
from detr_attnviz.batch.exports import make_files
from detr_attnviz.batch.plan import BatchSettings
from detr_attnviz.detector import exact_inference
from detr_attnviz.drawing.options import Style
from detr_attnviz.drawing.panels import draw_one
from detr_attnviz.drawing.png import png_bytes
from detr_attnviz.families.base import Prepared
from detr_attnviz.models.fuse import Precision

Inputs = Mapping[str, Tensor]
_BEST = 5
_SETTINGS = BatchSettings(exports=("overlay",))


class Ours:
    """A detector of this package and what is asked of it."""

    def __init__(self) -> None:
        self.device = "cpu"
        self.shortest_px: int | None = None
        self.detector: av.Detector
        self.explanation: av.Explanation

    def handlers(self) -> Handlers:
        """Everything that can be asked."""
        names = (
            "load",
            "forward",
            "forward_each",
            "recording",
            "overlays",
            "draw",
            "maps",
            "answers",
            "explain",
            "peak_mb",
        )
        return {name: getattr(self, name) for name in names}

    def load(
        self, checkpoint: str, device: str = "cpu", precision: Precision = "fp32", shortest_px: int | None = None
    ) -> None:
        self.device, self.shortest_px = device, shortest_px
        self.detector = av.load(checkpoint, device=device, precision=precision)

    def forward(self, picture: str, batch: int = 1, recorded: bool = True) -> float:
        """Seconds of the model alone, with all sites recorded or with none."""
        inputs = _repeated(self._prepared(picture).inputs, batch, self.device)
        with stopwatch(self._wait) as seconds:
            self._run(inputs, recorded)
        return seconds()

    def forward_each(self, folder: str) -> float:
        """Seconds of the unrecorded forwards of all pictures in a folder, one after the other, and of nothing else."""
        total = 0.0
        for picture in sorted(Path(folder).glob("*.jpg")):
            total += self.forward(str(picture), recorded=False)
        return total

    def recording(self, picture: str) -> float:
        """What recording adds to a forward, as a share of it: plain, recorded twice, plain, so that drift cancels."""
        inputs = self._prepared(picture).inputs
        seconds = {True: 0.0, False: 0.0}
        for recorded in (False, True, True, False):
            with stopwatch(self._wait) as spent:
                self._run(inputs, recorded)
            seconds[recorded] += spent()
        return seconds[True] / seconds[False] - 1

    def overlays(self, picture: str, out: str) -> dict[str, Any]:
        """Seconds from the file to the overlays on disk, and what was drawn."""
        with stopwatch() as seconds:
            trace = self.detector.trace(picture, shortest_px=self.shortest_px)
            chosen = av.select(trace, threshold=0.0, top_k=_BEST)
            self.explanation = av.explain(trace, queries=chosen)
            files = [
                _written(Path(out) / made.name, made.data)
                for made in make_files(self.explanation, _SETTINGS, Path(picture).name)
            ]
        return {"seconds": seconds(), "files": files, "queries": list(chosen)}

    def draw(self, style: Style, file: str) -> float:
        """Seconds of drawing one map of the picture last seen."""
        drawing = replace(_SETTINGS.drawing, style=style)
        with stopwatch() as seconds:
            _written(Path(file), png_bytes(draw_one(self.explanation, 0, drawing)))
        return seconds()

    def maps(self, picture: str) -> dict[str, Any]:
        """What maps cost after a forward, in seconds, and the bytes that its records hold.

        ``first`` is a query's map at a site not asked before, ``further`` one at a site asked before (eight heads
        each), ``all`` every query's at every cross-attention. A tensor that several sites hold counts for each.
        """
        inputs = self._prepared(picture).inputs
        _, records = self.detector.forward(inputs)
        sites = [site for site in records if site.endswith(".cross")]
        held = sum(record.nbytes for record in records.values())
        with stopwatch(self._wait) as first:
            records[sites[-1]].map(queries=[17])
        with stopwatch(self._wait) as further:
            records[sites[-1]].map(queries=[18])
        _, records = self.detector.forward(inputs)
        with stopwatch(self._wait) as everything:
            for site in sites:
                records[site].map()
        return {"first": first(), "further": further(), "all": everything(), "bytes": held}

    def explain(self, picture: str, method: str, queries: list[int], file: str | None = None) -> float:
        """Seconds from a traced picture to the maps of ``queries``, which go into ``file`` (``.npz``) if there is one.

        Records are new each time: nothing that an earlier question left behind helps.
        """
        trace = self.detector.trace(picture, shortest_px=self.shortest_px)
        with stopwatch(self._wait) as seconds:
            found = av.explain(trace, method=method, queries=queries)
        if file:
            np.savez(file, relevance=found.maps.reshape(len(found), -1))
        return seconds()

    def peak_mb(self) -> float:
        """The largest that this process has been."""
        return peak_mb()

    def answers(self, picture: str, file: str) -> None:
        """Everything to compare as an ``.npz``."""
        prepared = self._prepared(picture)
        prediction, records = self.detector.forward(prepared.inputs)
        sites = list(records)
        cross = records[sites[-1]].map()[0].mean(0).unflatten(-1, (prepared.grid.rows, prepared.grid.cols))
        encoder = records[[site for site in sites if site.startswith("encoder")][-1]].map()[0].mean(0)
        logits, boxes = prediction.logits[0].float(), prediction.boxes[0].float()
        np.savez(file, logits=logits.cpu(), boxes=boxes.cpu(), cross=cross.cpu(), encoder=encoder.cpu())

    def _prepared(self, picture: str) -> Prepared:
        return self.detector.prepare(Image.open(picture).convert("RGB"), shortest_px=self.shortest_px)

    def _run(self, inputs: Inputs, recorded: bool) -> None:
        if recorded:
            self.detector.forward(inputs)
            return
        with exact_inference(self.detector.device):
            self.detector.family.forward(inputs)

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def _repeated(inputs: Inputs, batch: int, device: str) -> Inputs:
    """The same picture ``batch`` times, on the device already."""
    on_device = {name: value.to(device) for name, value in inputs.items()}
    return {name: value.expand(batch, *value.shape[1:]).contiguous() for name, value in on_device.items()}


def _written(file: Path, data: bytes) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file.name

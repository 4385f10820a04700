"""Shows where a DETR detector looks.

    import detr_attnviz as av

    detector = av.load("checkpoint.pth")
    trace = detector.trace("image.jpg")
    explanation = av.explain(trace, layer=-1, queries=av.select(trace, threshold=0.7))
    av.render(explanation).save("attention.png")

Names are imported when they are first used, so that ``import detr_attnviz`` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from detr_attnviz.checkpoints.packed import join_in_proj, split_in_proj
    from detr_attnviz.detector import Detector, load
    from detr_attnviz.drawing.render import render
    from detr_attnviz.errors import AttnVizError
    from detr_attnviz.evaluation.run import evaluate
    from detr_attnviz.explanation import Explanation
    from detr_attnviz.explorer.page import explore
    from detr_attnviz.figures.figure import figure
    from detr_attnviz.methods.explain import explain
    from detr_attnviz.methods.select import select
    from detr_attnviz.process import tune_process
    from detr_attnviz.recording.hooks import capture
    from detr_attnviz.sites import AttentionCall, AttentionSite, Mixed, SampledCall
    from detr_attnviz.trace import Trace
    from detr_attnviz.verification import verify

__all__ = [
    "AttentionCall",
    "AttentionSite",
    "AttnVizError",
    "Detector",
    "Explanation",
    "Mixed",
    "SampledCall",
    "Trace",
    "capture",
    "evaluate",
    "explain",
    "explore",
    "figure",
    "join_in_proj",
    "load",
    "render",
    "select",
    "split_in_proj",
    "tune_process",
    "verify",
]

_HOMES = {
    "AttentionCall": "sites",
    "AttentionSite": "sites",
    "AttnVizError": "errors",
    "Detector": "detector",
    "Explanation": "explanation",
    "Mixed": "sites",
    "SampledCall": "sites",
    "Trace": "trace",
    "capture": "recording.hooks",
    "evaluate": "evaluation.run",
    "explain": "methods.explain",
    "explore": "explorer.page",
    "figure": "figures.figure",
    "join_in_proj": "checkpoints.packed",
    "load": "detector",
    "render": "drawing.render",
    "select": "methods.select",
    "split_in_proj": "checkpoints.packed",
    "tune_process": "process",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

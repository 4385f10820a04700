"""Finds the family of a name, a file, a folder or a built module; optional packages are not imported to say no."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from detr_attnviz.checkpoints import naming
from detr_attnviz.checkpoints.choice import Weights as Weights
from detr_attnviz.checkpoints.class_names import read_class_names
from detr_attnviz.checkpoints.coco import COCO_NAMES
from detr_attnviz.checkpoints.config import check_class_names, infer
from detr_attnviz.checkpoints.read import read
from detr_attnviz.checkpoints.source import default_source as default_source
from detr_attnviz.checkpoints.source import locate
from detr_attnviz.errors import CheckpointError, CheckpointKeysError, ChoiceError, few
from detr_attnviz.families.base import Family, Origin, Resize
from detr_attnviz.families.module import ModuleFamily
from detr_attnviz.families.native import NativeFamily
from detr_attnviz.models.build import build
from detr_attnviz.models.detr import DETR

_PARTS = frozenset({"backbone", "input_proj", "transformer", "query_embed", "class_embed", "bbox_embed"})

Source = str | Path | nn.Module
ClassNames = str | Path | Sequence[str] | Mapping[int, str]


@dataclass(frozen=True)
class OpenOptions:
    """What a caller may say about a checkpoint that its tensors do not.

    ``weights`` chooses between plain and averaged ("ema") ones. ``progress`` is called with (bytes so far, bytes in
    all or None) while a known checkpoint is fetched.
    """

    nheads: int | None = None
    dilation: bool | None = None
    classes: ClassNames | None = None
    weights: Weights = "model"
    progress: Callable[[int, int | None], None] | None = None


def open_family(source: Source, options: OpenOptions | None = None) -> Family:
    """The family that runs ``source``: "demo", a name of the zoo, a file, a folder or a built ``nn.Module``.

    A name of the zoo that is not on disk is fetched first.

    Raises: CheckpointError, DownloadError or ChoiceError, each saying what was found.
    """
    options = options or OpenOptions()
    if isinstance(source, nn.Module):
        return _open_module(source, options)
    name, path = locate(source, progress=options.progress)
    found = read(path, weights=options.weights)
    names = None if options.classes is None else read_class_names(options.classes)
    with _naming(path):
        renamed = naming.canonical(found.tensors)
        config = infer(
            renamed,
            args=found.args,
            file_name=path.name,
            nheads=options.nheads,
            dilation=options.dilation,
            class_names=names,
        )
    _refuse_unknown_parts(renamed.unknown, str(path))
    model = build(config, renamed.tensors, source=str(path))
    notes = [*found.notes, *config.assumed]
    if renamed.unknown:
        notes.append(f"{len(renamed.unknown)} tensors fit nothing in a DETR and are not used: {few(renamed.unknown)}")
    if config.masks:
        notes.append("the mask head of this panoptic checkpoint is not used: boxes and their attention are shown")
    resize = Resize(config.shortest_px, config.longest_px, config.mean, config.std)
    origin = Origin(name, str(path), config.heads, config.dilation, options.weights, notes=tuple(notes))
    return NativeFamily(model.requires_grad_(False), resize, config.class_names, origin, is_own=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with its tensors."""
    try:
        yield
    except CheckpointError as error:
        raise error if str(path) in str(error) else CheckpointError(f"{path}: {error}") from None


def _refuse_unknown_parts(unknown: Sequence[str], source: str) -> None:
    """A tensor more inside the detector means another forward; one beside it (a further head) does not matter."""
    inside = [key for key in unknown if key.partition(".")[0] in _PARTS]
    if inside:
        raise CheckpointKeysError(source, unexpected=inside)


def _open_module(module: nn.Module, options: OpenOptions) -> Family:
    if options.nheads is not None or options.dilation is not None:
        raise ChoiceError("a built module knows its own heads and dilation: leave nheads and dilation out")
    origin = Origin(type(module).__name__)
    names = () if options.classes is None else read_class_names(options.classes)
    if isinstance(module, DETR):
        classes = module.class_embed.out_features - 1
        names = check_class_names(names, classes) or (COCO_NAMES if classes == len(COCO_NAMES) else ())
        return NativeFamily(module, Resize(), names, origin)
    return ModuleFamily(module, Resize(), names, origin)

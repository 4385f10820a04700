"""Finds the family of a name, a file, a folder or a built module; optional packages are not imported to say no."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from detr_attnviz.checkpoints import naming, zoo
from detr_attnviz.checkpoints.choice import Weights as Weights
from detr_attnviz.checkpoints.class_names import read_class_names
from detr_attnviz.checkpoints.coco import COCO_NAMES
from detr_attnviz.checkpoints.config import check_class_names, infer
from detr_attnviz.checkpoints.folder import FOLDER_FILES
from detr_attnviz.checkpoints.originals.recognise import Original, original
from detr_attnviz.checkpoints.prefixes import strip_prefixes
from detr_attnviz.checkpoints.read import Checkpoint, read, sha256_of
from detr_attnviz.checkpoints.relatives import refuse_folder_untold
from detr_attnviz.checkpoints.source import default_source as default_source
from detr_attnviz.checkpoints.source import locate
from detr_attnviz.errors import CheckpointError, CheckpointKeysError, ChoiceError, few
from detr_attnviz.families import hf_open
from detr_attnviz.families.base import Family, Origin, Resize
from detr_attnviz.families.hf_configuration import configuration_sha256
from detr_attnviz.families.hf_family import HFFamily
from detr_attnviz.families.hf_table import KNOWN
from detr_attnviz.families.module import ModuleFamily
from detr_attnviz.families.native import NativeFamily
from detr_attnviz.families.own_code import OwnCode
from detr_attnviz.models.build import build
from detr_attnviz.models.detr import DETR

_PARTS = frozenset({"backbone", "input_proj", "transformer", "query_embed", "class_embed", "bbox_embed"})
_NATIVE = ("detr", "table-transformer")
"""``model_type`` of folders that the package's own model runs, without transformers."""

_BESIDE_WEIGHTS = ("config.json", "preprocessor_config.json", "processor_config.json")

Source = str | Path | nn.Module
ClassNames = str | Path | Sequence[str] | Mapping[int, str]


@dataclass(frozen=True)
class OpenOptions:
    """What a caller may say about a checkpoint that its tensors do not, or about a built module.

    ``weights`` chooses between plain and averaged ("ema") ones, see ``checkpoints.read``. ``progress`` is called with
    (bytes so far, bytes in all or None) while a known checkpoint is fetched. ``text`` is what a model is to look for,
    ``own`` is said about built modules only.
    """

    nheads: int | None = None
    dilation: bool | None = None
    classes: ClassNames | None = None
    weights: Weights = "auto"
    progress: Callable[[int, int | None], None] | None = None
    text: str | None = None
    own: OwnCode | None = None

    @property
    def told(self) -> dict[str, int | bool | str]:
        """What was said of the model itself, by the names that ``load`` has for it."""
        said = {"nheads": self.nheads, "dilation": self.dilation, "text": self.text}
        return {name: value for name, value in said.items() if value is not None}

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names in ``classes``, None when nothing was said."""
        return None if self.classes is None else read_class_names(self.classes)


def open_family(source: Source, options: OpenOptions | None = None) -> Family:
    """The family that runs ``source``: "demo", a name of the zoo or the Hub, a file, a folder, a built ``nn.Module``.

    A name of the zoo that is not on disk is fetched first, and so is one of the Hub.

    Raises: CheckpointError, DownloadError, MissingExtraError or ChoiceError, each saying what was found.
    """
    options = options or OpenOptions()
    family = _open_module(source, options) if isinstance(source, nn.Module) else _open_saved(source, options)
    configuration = configuration_sha256(family) if isinstance(family, HFFamily) else ""
    family.origin = replace(family.origin, told=options.told, configuration_sha256=configuration)
    return family


def _open_saved(source: str | Path, options: OpenOptions) -> Family:
    if options.own is not None and options.own.is_given:
        raise ChoiceError(
            "preprocess, postprocess, sites and score are for a built module; a checkpoint has its own: leave them out"
        )
    name, path = locate(source, progress=options.progress)
    _refuse_configuration(path)
    zoo.refuse_damaged(path, partial(sha256_of, path))
    found = read(path, weights=options.weights)
    if _is_of_transformers(found.args):
        return _open_transformers(found, name, options)
    kept = _original(found, options)
    if kept is not None:
        origin = Origin(name, str(path), weights=_weights_of(found), notes=(*found.notes, *kept.assumed))
        return hf_open.open_saved(kept.config, kept.tensors, origin, _asked(options))
    _refuse_untold(found)
    try:
        return _open_native(found, name, options)
    except CheckpointError:
        if found.args.get("model_type") not in _NATIVE or find_spec("transformers") is None:
            raise
    return _open_transformers(found, name, options)  # a backbone or a layout that only transformers has


def _refuse_configuration(path: Path) -> None:
    """A file beside the weights of a Hugging Face folder is easily named in place of the folder."""
    if path.is_file() and (path.name in _BESIDE_WEIGHTS or path.name.endswith(".index.json")):
        raise CheckpointError(f"{path}: holds no weights; give the folder that it lies in: {path.parent}")


def _original(found: Checkpoint, options: OpenOptions) -> Original | None:
    """As transformers would keep it, if it is a relative's of its own repository."""
    try:
        with _naming(found.path):
            return original(found.tensors, _told(found.args, options), str(found.path))
    except CheckpointKeysError:  # D-FINE as transformers keeps it has the telltales of the original
        _refuse_untold(found)
        raise


def _refuse_untold(found: Checkpoint) -> None:
    """A relative in a folder of transformers whose configuration is missing."""
    path = found.path
    if path.name in FOLDER_FILES or any((path / name).is_file() for name in FOLDER_FILES):
        refuse_folder_untold(path if path.is_dir() else path.parent, found.tensors, found.args)


def _is_of_transformers(args: Mapping[str, object]) -> bool:
    """Whether these are a ``config.json``; a training script may have a ``model_type`` of its own."""
    model_type = args.get("model_type")
    if not isinstance(model_type, str) or model_type in _NATIVE:
        return False
    return model_type in KNOWN or "transformers_version" in args or "architectures" in args


def _open_transformers(found: Checkpoint, name: str, options: OpenOptions) -> Family:
    """A folder of transformers, whose configuration tells everything."""
    if options.nheads is not None or options.dilation is not None:
        raise ChoiceError(f"{name}: config.json tells the heads and the dilation: leave nheads and dilation out")
    origin = Origin(name, str(found.path), weights=_weights_of(found), notes=found.notes)
    return hf_open.open_saved(found.args, found.tensors, origin, _asked(options))


def _weights_of(found: Checkpoint) -> str:
    """Which weights were taken."""
    return "ema" if found.flavour == "ema" else "model"


def _told(args: Mapping[str, object], options: OpenOptions) -> Mapping[str, object]:
    """A training script's arguments, and what the caller says in their place."""
    return {**args, **{name: value for name, value in options.told.items() if name != "text"}}


def _asked(options: OpenOptions) -> hf_open.Asked:
    return hf_open.Asked(options.class_names, options.text)


def _open_native(found: Checkpoint, name: str, options: OpenOptions) -> Family:
    """DETR itself, on the package's own model."""
    path = found.path
    if options.text is not None:
        raise ChoiceError(f"{name} has classes of its own and takes no text: leave it out")
    with _naming(path):
        renamed = naming.canonical(found.tensors)
        config = infer(
            renamed,
            args=found.args,
            file_name=path.name if zoo.is_official(path, partial(sha256_of, path)) else "",
            nheads=options.nheads,
            dilation=options.dilation,
            class_names=options.class_names,
        )
    _refuse_unknown_parts(renamed.unknown, str(path))
    model = build(config, renamed.tensors, source=str(path))
    notes = [*found.notes, *config.assumed]
    if renamed.unknown:
        notes.append(f"{len(renamed.unknown)} tensors fit nothing in a DETR and are not used: {few(renamed.unknown)}")
    if config.masks:
        notes.append("the mask head of this panoptic checkpoint is not used: boxes and their attention are shown")
    resize = Resize(config.shortest_px, config.longest_px, config.mean, config.std)
    origin = Origin(name, str(path), config.heads, config.dilation, _weights_of(found), notes=tuple(notes))
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
    inside = [key for key in unknown if strip_prefixes(key).partition(".")[0] in _PARTS]
    if inside:
        raise CheckpointKeysError(source, unexpected=inside)


def _open_module(module: nn.Module, options: OpenOptions) -> Family:
    if options.nheads is not None or options.dilation is not None:
        raise ChoiceError("a built module knows its own heads and dilation: leave nheads and dilation out")
    own = options.own or OwnCode()
    if hf_open.is_transformers(module) and not own.is_given:
        return hf_open.open_built(module, _asked(options))
    if options.text is not None:
        raise ChoiceError("text is for models of transformers that look for what it names: leave it out")
    origin, names = Origin(type(module).__name__), options.class_names or ()
    if isinstance(module, DETR) and not own.is_given:
        classes = module.class_embed.out_features - 1
        names = check_class_names(names, classes) or (COCO_NAMES if classes == len(COCO_NAMES) else ())
        return NativeFamily(module, Resize(), names, origin)
    return ModuleFamily(module, Resize(), names, origin, own)

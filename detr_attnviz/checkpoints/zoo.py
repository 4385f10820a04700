"""The official checkpoints by name: address, hash, architecture, and where they lie once fetched."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detr_attnviz.errors import CheckpointError, ChoiceError

if TYPE_CHECKING:
    from detr_attnviz.checkpoints.fetch import Progress

OFFICIAL_ADDRESS = "https://dl.fbaipublicfiles.com/detr/"
ADDRESS_VARIABLE = "ATTNVIZ_DOWNLOAD_URL"
"""Environment variable: the folder's address on a mirror, instead of the official one."""

DEMO = "demo"
DEMO_PATH = Path(__file__).parent.parent / "demo" / "detr_shapes.safetensors"
"""The weights that come with the package."""


@dataclass(frozen=True)
class Known:
    """One official checkpoint.

    ``ap`` is box AP on COCO val2017 as published, in percent; ``sha256_prefix`` the first hex digits of the file's
    sha256, as its name carries them; ``heads`` and ``dilation`` are what its tensors do not tell.
    """

    name: str
    file: str
    backbone: str
    ap: float
    note: str = ""
    dilation: bool = False
    heads: int = 8
    size_bytes: int | None = None

    @property
    def sha256_prefix(self) -> str:
        """Eight hex digits at the end of the file's name."""
        return self.file.removesuffix(".pth").rpartition("-")[2]

    @property
    def url(self) -> str:
        """The official address of the file."""
        return OFFICIAL_ADDRESS + self.file


_KNOWN = (
    Known("detr-r50", "detr-r50-e632da11.pth", "resnet50", 42.0),
    Known("detr-r50-dc5", "detr-r50-dc5-f0fb7ef5.pth", "resnet50", 43.3, "dilated C5, stride 16", dilation=True),
    Known("detr-r101", "detr-r101-2c7b67e5.pth", "resnet101", 43.5),
    Known("detr-r101-dc5", "detr-r101-dc5-a2e86def.pth", "resnet101", 44.9, "dilated C5, stride 16", dilation=True),
    Known("detr-r50-panoptic", "detr-r50-panoptic-00ce5173.pth", "resnet50", 38.8, "PQ 43.4"),
    Known(
        "detr-r50-dc5-panoptic",
        "detr-r50-dc5-panoptic-da08f1b1.pth",
        "resnet50",
        40.2,
        "PQ 44.6; dilated C5",
        dilation=True,
    ),
    Known("detr-r101-panoptic", "detr-r101-panoptic-40021d53.pth", "resnet101", 40.1, "PQ 45.1"),
    Known(
        "detr-demo",
        "detr_demo-da2a99e9.pth",
        "resnet50",
        40.0,
        "notebook's model, fp16",
        size_bytes=83_100_797,
    ),
)


def known() -> tuple[Known, ...]:
    """Every known checkpoint, the plain detectors first."""
    return _KNOWN


def find(name: str) -> Known:
    """The checkpoint of that name.

    Raises:
        ChoiceError: no such name; lists those there are.
    """
    for entry in _KNOWN:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in _KNOWN)
    raise ChoiceError(f"no known checkpoint is called {name!r}; known names are {names}")


def of_file(file_name: str) -> Known | None:
    """The known checkpoint whose file this is by its name, also when it was renamed to the bare name."""
    base = Path(file_name).name
    return next((entry for entry in _KNOWN if base in (entry.file, f"{entry.name}.pth")), None)


def is_official(path: str | Path, sha256: Callable[[], str]) -> bool:
    """Whether it is a known checkpoint by its name and its content, which alone tells what its tensors do not.

    ``sha256`` is asked for only where the name is a known one.
    """
    entry = of_file(str(path))
    return entry is not None and sha256().startswith(entry.sha256_prefix)


def is_genuine(path: str | Path, sha256: str) -> bool:
    """Whether a file is what its name says: False for a name that carries an official hash over other content."""
    entry = _claimed_by(path)
    return entry is None or sha256.startswith(entry.sha256_prefix)


def refuse_damaged(path: str | Path, sha256: Callable[[], str]) -> None:
    """Raise for a file whose name carries an official hash that is not its own; ``sha256`` is asked for no other.

    Raises:
        CheckpointError: naming both hashes, and how to fetch the file anew.
    """
    entry = _claimed_by(path)
    if entry is None or is_genuine(path, found := sha256()):
        return
    raise CheckpointError(
        f"{path}: cut off, damaged or another file: its sha256 is {found[:8]}…, and {entry.sha256_prefix}… by its "
        f"name; fetch it anew with: attnviz checkpoints download {entry.name}; one of your own needs another name"
    )


def _claimed_by(path: str | Path) -> Known | None:
    """The known checkpoint whose hash a file's name carries; a bare ``detr-r50.pth`` may be anybody's training."""
    return next((entry for entry in _KNOWN if entry.file == Path(path).name), None)


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where torch hub keeps checkpoints, so that files are shared with it; computed without importing torch.

    Source: ``torch.hub.get_dir``.
    """
    cache_home = environment.get("XDG_CACHE_HOME", "~/.cache")
    torch_home = environment.get("TORCH_HOME", os.path.join(cache_home, "torch"))
    return Path(torch_home).expanduser() / "hub" / "checkpoints"


def local_path(name: str) -> Path:
    """Where the checkpoint of that name lies, or would lie once fetched."""
    return cache_folder() / find(name).file


def is_on_disk(name: str) -> bool:
    """Whether the checkpoint of that name has been fetched."""
    return local_path(name).is_file()


def download(
    name: str,
    *,
    base_url: str | None = None,
    progress: "Progress | None" = None,
    cache: Path | None = None,
    replaces: bool = False,
) -> Path:
    """Fetch a known checkpoint once, whole and verified; return where it lies.

    ``progress`` is called with bytes so far and bytes in all, ``None`` while unknown. A cut download is continued by
    the next call. With ``replaces`` a file that is there already gives way to the one that is fetched.

    Raises:
        DownloadError: it could not be fetched whole, or what came has another hash.
        ChoiceError: no such name.
    """
    entry = find(name)
    target = (cache or cache_folder()) / entry.file
    address = base_url or os.environ.get(ADDRESS_VARIABLE) or OFFICIAL_ADDRESS
    if replaces or not target.is_file():
        from detr_attnviz.checkpoints.fetch import fetch

        url = f"{address.rstrip('/')}/{entry.file}"
        fetch(url, target, sha256_prefix=entry.sha256_prefix, progress=progress, replaces=replaces)
    return target

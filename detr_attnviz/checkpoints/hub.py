"""Fetches models from the Hugging Face Hub by ``owner/name``, into the cache that its own package keeps."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from detr_attnviz.errors import DownloadError, MissingExtraError

_PART = r"\w(?:[\w.-]{0,94}\w)?"
_NAME = re.compile(f"{_PART}/{_PART}", re.ASCII)
_NOT_IN_NAMES = re.compile(r"--|\.\.|\.git$")
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".ckpt", ".pkl", ".json")
_WEIGHTS = (".safetensors", ".bin")
_BESIDE = (".json", ".txt")
_PLAIN_NAME = re.compile(r"[\w.-]{1,200}", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")


def is_hub_name(name: str) -> bool:
    """Whether ``name`` may be an ``owner/name`` of the Hub: nothing in its way on disk, and no file by its ending.

    The Hub has no names with parts of more than 96 letters, with ``--`` or ``..``, or with signs first or last.
    """
    if not _NAME.fullmatch(name) or _NOT_IN_NAMES.search(name) or name.endswith(_SUFFIXES):
        return False
    return not Path(name).exists() and not Path(name.partition("/")[0]).is_dir()


def cached_folder(name: str) -> Path | None:
    """Where a model that was fetched before lies, or None; no network is used."""
    if not is_hub_name(name):
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # a name that this version of the Hub's package refuses
        return None
    return Path(found).parent if isinstance(found, str) else None


def fetched_folder(name: str) -> Path:
    """Where the model lies once its newest version is on disk; without a connection, the version fetched before.

    A cut download is continued by the next call. The Hub's package shows its own progress.

    Raises:
        DownloadError: no such model, no right to it, no connection, or cut off.
        MissingExtraError: the Hub's package is not installed.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    except ImportError:
        raise MissingExtraError(f"{name}: no such file or folder; a model of the Hugging Face Hub", "hf") from None
    try:
        mirror = os.environ.get("HF_ENDPOINT")  # else it would count only before the package is first imported
        about = HfApi(mirror).model_info(name)
        if not _COMMIT.fullmatch(about.sha or ""):  # it becomes a folder's name
            raise ValueError("the Hub names no commit of it")
        files = _wanted(entry.rfilename for entry in about.siblings or ())
        return Path(snapshot_download(name, allow_patterns=files, endpoint=mirror))
    except GatedRepoError as error:
        raise DownloadError(
            f"{name}: its owner gives it to those who ask: ask on its page of the Hub, then log in (hf auth login)"
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"{name}: no such file or folder, and no such model on the Hugging Face Hub, or a private one: check the "
            "name, or log in (hf auth login)"
        ) from error
    except Exception as error:  # whatever the Hub's package reaches the network by
        if (folder := cached_folder(name)) is not None and not _is_cut(folder):
            return folder
        raise DownloadError(
            f"{name}: not on disk, and could not be fetched whole from the Hugging Face Hub ({_reason(error)}); check "
            "the network, then run the same command again, which continues where it was cut"
        ) from error


def _wanted(files: Iterable[str]) -> list[str]:
    """What a model is read from: one set of weights in the main folder, and the small files beside it.

    Other names than plain ones would be patterns to the Hub's package, or lead out of the folder.
    """
    here = [name for name in files if isinstance(name, str) and _PLAIN_NAME.fullmatch(name)]
    weights = next((kind for kind in _WEIGHTS if any(name.endswith(kind) for name in here)), _WEIGHTS[0])
    return [name for name in here if name.endswith((weights, *_BESIDE))]


def _is_cut(folder: Path) -> bool:
    return not any(path.suffix in _WEIGHTS for path in folder.iterdir())


def _reason(error: Exception) -> str:
    if isinstance(error, (KeyError, TypeError, AttributeError)):  # the Hub's package looks for what is not there
        return "its answer makes no sense"
    lines = str(error).strip().splitlines()
    return "".join(filter(str.isprintable, lines[0]))[:300] if lines else type(error).__name__

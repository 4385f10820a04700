"""Where a command's single result file goes: found, checked and its folder made before anything is computed."""

import os
from collections.abc import Sequence
from pathlib import Path

from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.files import fault_of, is_one_of


def result_file(output: Path | None, inputs: Sequence[str], ending: str, suffixes: Sequence[str]) -> Path:
    """``output`` itself, or a name in it if it is a folder (the current one without it): the single input's stem and
    ``ending``, as in ``street.objects.pdf``; of several inputs, or a pattern, ``attnviz`` and ``ending``.

    Raises: ChoiceError for another suffix, or a file that is an input; OutputError when its folder cannot be made.
    """
    folder = Path() if output is None else output
    path = folder / f"{_stem(inputs)}{ending}" if os.path.isdir(folder) else folder
    if path.suffix.lower() not in suffixes:
        raise ChoiceError(
            f"{path} ends in {path.suffix or 'no suffix'}: this can be written as {', '.join(suffixes)}; a folder of "
            "that name must be there already"
        )
    if is_one_of(path, (given.removeprefix("@") if not os.path.exists(given) else given for given in inputs)):
        raise ChoiceError(f"{path} is an input, which is never overwritten: give another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent}: {fault_of(error)}") from error
    return path


def _stem(inputs: Sequence[str]) -> str:
    from detr_attnviz.batch.names import short_stem  # and numpy, Pillow: not for --help

    single = inputs[0] if len(inputs) == 1 else ""
    return short_stem(Path(single).stem) if os.path.isfile(single) else "attnviz"

"""A picture file of any kind → the upright RGB picture that the model and the drawing both see."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from detr_attnviz.decoders import known_kind, most_bytes, most_pixels, readable
from detr_attnviz.errors import ImageError
from detr_attnviz.files import no_file_at, reason_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
KINDS = "JPEG, PNG, WebP, TIFF or BMP"
"""The kinds of file in words, for messages."""
_DAMAGED = "the picture is damaged or cut off: {}; fetch it again, or save it anew with a program that still opens it"
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BAND = 256
_WHERE_TURNS_STAND = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def read_picture(source: "str | Path | Image.Image") -> Image.Image:
    """RGB, turned upright by its EXIF tag, transparency laid over white, 16 bits scaled to 8.

    CMYK goes through its ICC profile if there is one. Of an animation or a multi-page file the first frame counts.
    A file may be of any kind in ``decoders.READ``, whatever its name says, and of any size up to Pillow's limit: from
    twice ``PIL.Image.MAX_IMAGE_PIXELS`` on it is refused (179 megapixels; above half of that Pillow warns). A picture
    that is handed in has been opened by the caller, with whatever Pillow has for its kind.

    Raises: ImageError when there is no such file or it is no whole picture.
    """
    if isinstance(source, Image.Image):
        with _as_image_error(_name_of(source), "the picture cannot be loaded: {}; open it again, or give its path"):
            return as_upright_rgb(source)
    path = Path(source)
    if what := no_file_at(path):
        raise ImageError(f"{path}: {what}; give the path of a {KINDS} file")
    with _as_image_error(f"{path}: ", _DAMAGED):
        _check_bytes(path)
        try:
            with Image.open(path, formats=readable()) as opened:
                return as_upright_rgb(opened)
        except UnidentifiedImageError:
            kind = known_kind(path)
            what = f"a kind of picture that is not read ({kind})" if kind else "not a picture that can be read"
            raise ImageError(f"{what}; give a {KINDS} file") from None


def as_upright_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture as a viewer would show ``image``.

    Raises: ImageError when it has no pixels.
    """
    if 0 in image.size:
        raise ImageError(
            f"the picture has no pixels: its size is {image.width}×{image.height}; give one of at least 1×1"
        )
    image.load()
    upright = _turned(image)
    if upright.mode.startswith(("I", "F")):
        upright = _eight_bits(upright, is_sixteen="16" in image.mode or image.format == "PNG")
    if upright.mode == "CMYK":
        upright = _by_profile(upright, image.info.get("icc_profile"))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB") if upright.mode != "RGB" or upright is image else upright


def text_inside(path: Path) -> Mapping[Any, object]:
    """What a PNG says of itself in words; nothing if it is no PNG, or none that can be read."""
    if no_file_at(path):
        return {}
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            return dict(opened.info)
    except Exception:  # whatever stands there, it is nothing of ours
        return {}


@contextmanager
def _as_image_error(name: str, otherwise: str) -> Iterator[None]:
    """What goes wrong inside as an ImageError that begins with ``name``; ``otherwise`` is for a decoder's own words."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name}{error}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}{_too_large(str(error))}") from None
    except MemoryError:
        raise ImageError(f"{name}not enough memory to read this picture; give a smaller copy of it") from None
    except Exception as error:  # decoders raise anything at bytes that nobody foresaw
        if isinstance(error, OSError) and error.errno:
            words = f"cannot be read: {reason_of(error)}; see to it that it can be opened, or leave it out"
        else:
            words = otherwise.format(" ".join(str(error).split()) or type(error).__name__)
        raise ImageError(f"{name}{words}") from None


def _name_of(image: Image.Image) -> str:
    """The file that a picture was opened from, as the beginning of a message."""
    name = getattr(image, "filename", "")
    return f"{os.fsdecode(name)}: " if name and isinstance(name, (str, bytes, os.PathLike)) else ""


def _too_large(told: str) -> str:
    """A refusal by Pillow in our words."""
    found = re.search(r"\((\d+) pixels\).* limit of (\d+)", told)
    if found is None:
        return f"too large: {told.rstrip('.')}; give a smaller copy of it"
    size, limit = (int(number) / 1e6 for number in found.groups())
    return f"too large, with {size:.4g} megapixels, where {limit:.4g} are the limit; {_allowing(size)}"


def _allowing(megapixels: float) -> str:
    most = ceil(megapixels)
    return (
        f"give a smaller copy of it, or allow it by --max-megapixels {most} (in Python by "
        f"PIL.Image.MAX_IMAGE_PIXELS = {most * 500_000})"
    )


def _check_bytes(path: Path) -> None:
    """Raises: ImageError for a file that is empty, or larger than any picture within the limit."""
    size, most, pixels = path.stat().st_size, most_bytes(), most_pixels()
    if not size:
        raise ImageError("the file is empty; fetch it again")
    if most is not None and pixels is not None and size > most:
        raise ImageError(
            f"too large, with {size / 1e9:.4g} GB, for a picture within the limit of {pixels / 1e6:.4g} megapixels; "
            f"{_allowing(size / most * pixels / 1e6)}"
        )


def _turned(image: Image.Image) -> Image.Image:
    """Upright, and without a note that says to turn it; as it is if there is no such note, or none that makes sense."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # a damaged note leaves whole pixels worth seeing
        turn = None
    if turn is None:
        return image
    upright = image.transpose(turn)
    for place in _WHERE_TURNS_STAND:
        upright.info.pop(place, None)
    return upright


def _eight_bits(image: Image.Image, *, is_sixteen: bool) -> Image.Image:
    """Grey of more than 8 bits, by the depth of the file where it is known to be 16, else by the largest value."""
    values = np.asarray(image)
    bands = [slice(top, top + _BAND) for top in range(0, len(values), _BAND)]  # as a whole it would take eight times
    largest = max(float(_finite(values[band]).max()) for band in bands)
    if image.mode == "F":
        factor = 255.0 if largest <= 1 else 1.0
    elif is_sixteen or 255 < largest <= 65535:
        factor = 1 / 257
    else:
        factor = 255 / largest if largest > 65535 else 1.0
    levels = np.empty(values.shape, np.uint8)
    for band in bands:
        levels[band] = (_finite(values[band]) * factor).round().clip(0, 255)
    return Image.fromarray(levels)


def _finite(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def _by_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB; as it is if there is no profile, or one that does not fit."""
    if not profile:
        return image
    from PIL import ImageCms

    try:
        press = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(image, press, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):  # ImportError: Pillow without LittleCMS
        return image
    return converted or image

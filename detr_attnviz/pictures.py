"""A picture file of any kind → the upright RGB picture that the model and the drawing both see."""

import stat
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from detr_attnviz.errors import ImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
KINDS = "JPEG, PNG, WebP, TIFF or BMP"
"""The kinds of file in words, for messages."""


def read_picture(source: "str | Path | Image.Image") -> Image.Image:
    """RGB, turned upright by its EXIF tag, transparency laid over white, 16 bits scaled to 8.

    CMYK goes through its ICC profile if there is one. Of an animation or a multi-page file the first frame counts.

    Raises: ImageError when there is no such file or it is no whole picture.
    """
    if isinstance(source, Image.Image):
        return as_upright_rgb(source)
    path = Path(source)
    if what := _no_file(path):
        raise ImageError(f"{path}: {what}; give the path of a {KINDS} file")
    try:
        with Image.open(path) as opened:
            return as_upright_rgb(opened)
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture that can be read; give a {KINDS} file") from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path}: too large to be a real picture ({str(error).rstrip('.')}); give a smaller copy of it"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's word; Pillow's own have no number
            raise ImageError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
        reason = str(error) or type(error).__name__
        raise ImageError(
            f"{path}: the picture is damaged or cut off: {reason}; fetch it again, or save it anew with a program that "
            "still opens it"
        ) from None


def as_upright_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture as a viewer would show ``image``.

    Raises: ImageError when it has no pixels.
    """
    if 0 in image.size:
        raise ImageError(
            f"the picture has no pixels: its size is {image.width}×{image.height}; give one of at least 1×1"
        )
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _eight_bits(upright, is_sixteen="16" in image.mode or image.format == "PNG")
    if upright.mode == "CMYK":
        upright = _by_profile(upright, image.info.get("icc_profile"))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB") if upright.mode != "RGB" or upright is image else upright


def _no_file(path: Path) -> str | None:
    """Why there is no file to open, or ``None`` if there is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(mode):
        return "is a folder, not a picture"
    return None if stat.S_ISREG(mode) else "is no file"


def _eight_bits(image: Image.Image, *, is_sixteen: bool) -> Image.Image:
    """Grey of more than 8 bits, by the depth of the file where it is known to be 16, else by the largest value."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    largest = values.max()
    if image.mode == "F":
        values *= 255 if largest <= 1 else 1
    elif is_sixteen or 255 < largest <= 65535:
        values /= 257
    elif largest > 65535:
        values *= 255 / largest
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


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

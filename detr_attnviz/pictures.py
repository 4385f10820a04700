"""A picture file of any kind → the upright RGB picture that the model and the drawing both see."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from detr_attnviz.errors import ImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})


def read_picture(source: "str | Path | Image.Image") -> Image.Image:
    """RGB, turned upright by its EXIF tag, transparency laid over white, 16 bits scaled to 8.

    Of an animation or a multi-page file the first frame counts.

    Raises: ImageError when there is no such file or it is no whole picture.
    """
    if isinstance(source, Image.Image):
        return as_upright_rgb(source)
    path = Path(source)
    if not path.is_file():
        what = (
            "is a folder, not a picture" if path.is_dir() else "does not exist" if not path.exists() else "is no file"
        )
        raise ImageError(f"{path}: {what}; give a JPEG, PNG, WebP, TIFF or BMP file")
    try:
        with Image.open(path) as opened:
            return as_upright_rgb(opened)
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture that can be read; give a JPEG, PNG, WebP, TIFF or BMP file") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large to be a real picture ({error})") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{path}: the picture is damaged or cut off: {reason}") from None


def as_upright_rgb(image: Image.Image) -> Image.Image:
    """A new RGB picture as a viewer would show ``image``."""
    if 0 in image.size:
        raise ImageError(f"the picture has no pixels: its size is {image.width}×{image.height}")
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _eight_bits(upright)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB") if upright.mode != "RGB" or upright is image else upright


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    if image.mode == "F" and values.max() <= 1:
        values = values * 255
    elif image.mode != "F" and values.max() > 255:
        values = values / 257
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))

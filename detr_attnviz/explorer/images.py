"""Pictures as the page carries them: as JPEG, or as PNG when that is smaller."""

from io import BytesIO

from PIL import Image

from detr_attnviz.explorer.arrays import Arrays, Row

LONGEST_PX = 1600
_QUALITY = 90
_FEW_COLORS = 2**14  # of more than these no PNG is smaller, and making one takes long


def image_row(image: Image.Image, arrays: Arrays) -> Row:
    """The document's entry of a picture, at most ``LONGEST_PX`` long."""
    factor = LONGEST_PX / max(image.size)
    if factor < 1:
        size = tuple(max(1, round(side * factor)) for side in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    kind, data = "jpeg", _written(image, "JPEG", quality=_QUALITY, subsampling=0)
    if image.getcolors(_FEW_COLORS) is not None:
        drawn = _written(image, "PNG", optimize=True)
        kind, data = ("png", drawn) if len(drawn) < len(data) else (kind, data)
    return {
        "id": arrays.add_file(data),
        "mime": f"image/{kind}",
        "width_px": image.width,
        "height_px": image.height,
    }


def _written(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()

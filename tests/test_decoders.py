"""Only kinds that this process decodes itself, a limit that holds, and decoders that are quiet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from detr_attnviz import decoders
from detr_attnviz.decoders import known_kind, limit_pixels, most_bytes, most_pixels, readable
from tests import gallery


def test_what_is_readable_is_known_to_this_pillow_and_starts_no_program() -> None:
    assert set(gallery.KINDS) <= set(readable())
    assert set(readable()) <= set(Image.OPEN)
    assert "EPS" not in readable()


def test_an_older_pillow_without_a_kind_reads_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    readable()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    assert set(readable.__wrapped__()) == set(decoders.READ) - {"AVIF"}


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"%!PS-Adobe", "EPS"),
        (b"\xc5\xd0\xd3\xc6" + bytes(28), "EPS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"", ""),
        (b"\n", ""),
        (b"plain words", ""),
        (b"\xff\xd8\xff", ""),
    ],
)
def test_the_kind_that_a_file_begins_as(tmp_path: Path, begin: bytes, kind: str) -> None:
    readable()
    (tmp_path / "x").write_bytes(begin)
    assert known_kind(tmp_path / "x") == kind


def test_the_limit_is_twice_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert (most_pixels(), most_bytes()) == (1000, 16_000)
    limit_pixels(None)
    assert (most_pixels(), most_bytes(), Image.MAX_IMAGE_PIXELS) == (None, None, None)
    limit_pixels(3_000_000)
    assert (most_pixels(), Image.MAX_IMAGE_PIXELS) == (3_000_000, 1_500_000)


NOISY = """
import sys
from pathlib import Path
from detr_attnviz.decoders import silence_decoders
from detr_attnviz.errors import ImageError
from detr_attnviz.pictures import read_picture
if sys.argv[1] == "quiet":
    silence_decoders()
for path in Path(sys.argv[2]).iterdir():
    try:
        read_picture(path)
    except ImageError:
        pass
"""


@pytest.mark.parametrize("is_quiet", [False, True])
def test_decoders_are_quiet_when_they_are_told_to_be_and_only_then(tmp_path: Path, is_quiet: bool) -> None:
    fax = bytearray(gallery.encoded(Image.effect_noise((64, 48), 60).convert("1"), "TIFF", compression="group4"))
    fax[10:40] = b"\xff\0" * 15
    if sys.platform != "win32":  # where libtiff is part of Pillow
        (tmp_path / "fax.tif").write_bytes(fax)  # libtiff itself tells of this
    (tmp_path / "exif.jpg").write_bytes(gallery.damaged_exif()["leads-nowhere.jpg"])
    (tmp_path / "tag.tif").write_bytes(gallery.broken()["long-tag.tif"])
    done = subprocess.run(
        [sys.executable, "-c", NOISY, "quiet" if is_quiet else "loud", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "always"},
    )
    assert ("Corrupt EXIF data" in done.stderr) != is_quiet
    assert not is_quiet or done.stderr == ""

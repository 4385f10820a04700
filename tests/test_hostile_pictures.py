"""Pictures as strangers send them are read, or refused in one clear line; nothing hangs, runs or fills the memory."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_attnviz import pictures
from detr_attnviz.errors import ImageError
from detr_attnviz.pictures import read_picture, text_inside
from tests import gallery
from tests.gallery import KINDS, colours, encoded, exif_of
from tests.rights import without_root

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged files; commands keep them quiet


def refusal(path: Path) -> str:
    """The one line that says why a picture is not read, and begins with its name."""
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "; " in message, "what to do next"
    return message.removeprefix(f"{path}: ")


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", gallery.sound())
def test_odd_pictures_that_are_whole_are_read(tmp_path: Path, name: str) -> None:
    picture = read_picture(put(tmp_path, name, gallery.sound()[name]))
    assert picture.mode == "RGB"
    assert picture.size in ((40, 30), (1, 1), (2, 1), (10_000, 1), (1, 10_000))


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_tells_the_kind_whatever_the_name_says(tmp_path: Path, kind: str) -> None:
    picture = read_picture(put(tmp_path, "x.nef", encoded(colours(), kind)))
    difference = np.abs(np.asarray(picture).astype(int) - np.asarray(colours()).astype(int))
    assert np.median(difference) <= 8


@pytest.mark.parametrize("name", gallery.broken())
def test_broken_files_are_refused(tmp_path: Path, name: str) -> None:
    message = refusal(put(tmp_path, name, gallery.broken()[name]))
    known = ("damaged or cut off", "not a picture that can be read", "the file is empty")
    assert any(words in message for words in known)


@pytest.mark.parametrize("name", gallery.other_kinds())
def test_a_kind_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    data, kind = gallery.other_kinds()[name]
    message = refusal(put(tmp_path, name, data))
    assert f"a kind of picture that is not read ({kind}); give a JPEG, PNG" in message


GHOST = """
import sys
from PIL import Image
if sys.argv[2] == "ours":
    from detr_attnviz.errors import ImageError
    from detr_attnviz.pictures import read_picture
    try:
        read_picture(sys.argv[1])
    except ImageError:
        sys.exit(7)
else:
    Image.open(sys.argv[1]).load()
"""


@pytest.mark.skipif(os.name != "posix", reason="the mark is left by a shell script")
@pytest.mark.parametrize(("reader", "code", "is_marked"), [("ours", 7, False), ("pillow", 1, True)])
def test_postscript_under_a_pictures_name_starts_no_program(
    tmp_path: Path, reader: str, code: int, is_marked: bool
) -> None:
    program = put(tmp_path, "gs", b"#!/bin/sh\necho ran >> " + os.fsencode(tmp_path / "mark") + b"\nexit 0\n")
    program.chmod(0o755)
    path = put(tmp_path, "x.jpg", gallery.POSTSCRIPT)
    done = subprocess.run(
        [sys.executable, "-c", GHOST, str(path), reader],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert (tmp_path / "mark").exists() == is_marked  # with Pillow's own choice of kinds it does run


@pytest.mark.parametrize("name", gallery.giants())
def test_a_small_file_that_claims_to_be_a_giant_is_refused(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, gallery.giants()[name])
    assert path.stat().st_size < 1000
    message = refusal(path)
    assert "megapixels, where 179 are the limit" in message
    size = {"giant.gif": 4295, "giant.webp": 269}.get(name, 3600)
    assert f"give a smaller copy of it, or allow it by --max-megapixels {size} " in message
    assert f"PIL.Image.MAX_IMAGE_PIXELS = {size * 500_000}" in message


@pytest.mark.parametrize("name", gallery.bombs())
def test_text_and_profiles_that_unpack_to_much_are_refused_and_pixels_that_are_too_many_left(
    tmp_path: Path, name: str
) -> None:
    path = put(tmp_path, name, gallery.bombs()[name])
    if name == "pixels.png":
        assert read_picture(path).size == (4, 4)
    else:
        assert re.search("too large|too much memory", refusal(path), re.IGNORECASE)


GROWTH = """
import resource, sys
from pathlib import Path
from detr_attnviz.errors import ImageError
from detr_attnviz.pictures import read_picture
def read(path):
    try:
        read_picture(path)
    except ImageError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
paths = sorted(Path(sys.argv[1]).iterdir(), key=lambda path: path.name != "plain.jpg")
first = read(paths[0])
print(max(map(read, paths)) - first)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_neither_claims_nor_bombs_take_memory(tmp_path: Path) -> None:
    for name, data in (gallery.giants() | gallery.bombs()).items():
        put(tmp_path, name, data)
    put(tmp_path, "plain.jpg", gallery.sound()["plain.jpg"])
    done = subprocess.run([sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150_000  # KiB; of many texts together Pillow takes 64 MB, the bombs hold 400 MB each


def test_the_limit_is_pillows_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "x.png", encoded(Image.new("L", (100, 100)), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    with pytest.warns(Image.DecompressionBombWarning):
        assert read_picture(path).size == (100, 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4999)
    assert "with 0.01 megapixels, where 0.009998 are the limit" in refusal(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_picture(path).size == (100, 100)


def test_where_warnings_are_errors_a_large_picture_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "x.png", encoded(Image.new("L", (100, 100)), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9000)
    assert "with 0.01 megapixels, where 0.009 are the limit" in refusal(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems may not make files with holes")
def test_a_file_larger_than_any_picture_is_not_taken_into_memory(tmp_path: Path) -> None:
    path = put(tmp_path, "x.webp", encoded(colours(), "WEBP"))
    os.truncate(path, 10**11)
    message = refusal(path)
    assert "too large, with 100 GB, for a picture within the limit of 179 megapixels" in message
    assert "--max-megapixels 6250 " in message


def test_not_enough_memory_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(image: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(pictures, "as_upright_rgb", exhausted)
    message = refusal(put(tmp_path, "x.png", encoded(colours(), "PNG")))
    assert message == "not enough memory to read this picture; give a smaller copy of it"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    stored = colours().transpose(BACK[orientation]) if orientation > 1 else colours()
    exif = exif_of(orientation, order="><"[orientation % 2])
    picture = read_picture(put(tmp_path, "x", encoded(stored, kind, exif=exif)))
    assert picture.size == (40, 30)
    inner = np.s_[4:-4, 4:-4]  # JPEG blurs edges
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(colours()).astype(int))[inner].mean() < 4


BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture that is to be turned by each orientation."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_was_turned_upright_is_not_turned_again(tmp_path: Path, kind: str) -> None:
    once = read_picture(put(tmp_path, "x", encoded(colours(), kind, exif=exif_of(6))))
    assert once.size == (30, 40)
    assert read_picture(once).tobytes() == once.tobytes()


@pytest.mark.parametrize("name", gallery.damaged_exif())
def test_damaged_exif_does_not_take_the_picture_away(tmp_path: Path, name: str) -> None:
    picture = read_picture(put(tmp_path, name, gallery.damaged_exif()[name]))
    assert picture.size == (40, 30)
    assert picture.getpixel((5, 5))[0] > 200  # type: ignore[index]


def test_what_is_no_file_is_refused_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "dangling.jpg").symlink_to("gone.jpg")
    assert refusal(tmp_path / "folder.jpg").startswith("is a folder; give the path of a JPEG")
    assert refusal(tmp_path / "circle.jpg").startswith("cannot be looked at (")
    assert refusal(tmp_path / "dangling.jpg").startswith("does not exist; give")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    assert refusal(tmp_path / "x.jpg").startswith("is a pipe, not a file; give")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets with names here")
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.jpg")
        assert refusal(Path("x.jpg")).startswith("is a device or socket, not a file; give")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device that never ends here")
def test_a_device_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").symlink_to("/dev/zero")
    assert refusal(tmp_path / "x.jpg").startswith("is a device or socket, not a file; give")


READ = """
import sys
from pathlib import Path
from detr_attnviz.errors import ImageError
from detr_attnviz.pictures import read_picture
try:
    print(read_picture(Path(sys.argv[1])).size)
except ImageError as error:
    print(error)
"""


def test_a_file_without_permission_says_so_and_is_not_called_damaged(tmp_path: Path) -> None:
    path = put(tmp_path, "x.png", encoded(colours(), "PNG"))
    path.chmod(0)
    command = [*without_root(), sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"{path}: cannot be read: permission denied; see to it that it can be opened, or leave it out\n"
    )


def test_a_picture_opened_by_the_caller_that_turns_out_broken(tmp_path: Path) -> None:
    path = put(tmp_path, "x.jpg", gallery.broken()["half.jpg"])
    with (
        Image.open(path) as opened,
        pytest.raises(ImageError, match=r"x\.jpg: the picture cannot be loaded: .*truncated.*; open it again"),
    ):
        read_picture(opened)


def test_a_picture_that_the_caller_has_closed(tmp_path: Path) -> None:
    with Image.open(put(tmp_path, "x.png", encoded(colours(), "PNG"))) as opened:
        pass
    with pytest.raises(ImageError, match=r"x\.png: the picture cannot be loaded: .*, or give its path"):
        read_picture(opened)


def test_a_decoders_surprise_is_an_image_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(image: Image.Image) -> Image.Image:
        raise RuntimeError("nobody\nforesaw this")  # as AVIF's does of some damage

    monkeypatch.setattr(pictures, "as_upright_rgb", surprised)
    message = refusal(put(tmp_path, "x.png", encoded(colours(), "PNG")))
    assert message.startswith("the picture is damaged or cut off: nobody foresaw this; fetch it again")


@pytest.mark.parametrize("name", ["giant.png", "text.png", "plain.jpg", "empty.jpg", "wrong-sum.png"])
def test_text_inside_what_is_no_png_of_ours_is_nothing(tmp_path: Path, name: str) -> None:
    files = {**gallery.giants(), **gallery.bombs(), **gallery.sound(), **gallery.broken()}
    assert text_inside(put(tmp_path, "sheet.png", files[name])) == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_text_inside_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sheet.png")
    assert text_inside(tmp_path / "sheet.png") == {}

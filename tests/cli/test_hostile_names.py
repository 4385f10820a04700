"""The commands among files whose names trip programs up: shown on one line, written under safe names."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import gallery
from tests.cli.conftest import Attnviz
from tests.cli.proof import is_proof_on
from tests.cli.test_hostile_pictures import SMALL, TAKERS, in_python
from tests.gallery import colours, encoded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
AS_BYTES = r"zebra \udcf0\udc9f\udca6\udc93 \udcff\n.png"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def fill(folder: Path) -> list[str]:
    """One picture under every name."""
    folder.mkdir()
    data = encoded(colours(), "PNG")
    for name in gallery.names():
        (folder / name).write_bytes(data)
    return sorted(gallery.names())


def test_batch_keeps_names_apart_and_safe(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    names = fill(Path("photos"))
    options = ("-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "maps", "--json")
    done = attnviz("batch", "photos", *options)
    assert (done.code, done.data["written"]) == (0, len(names))
    assert done.err.count("\n") == 1
    assert not CONTROL.search(done.err)
    assert is_proof_on(done.err.removesuffix("\n"), done.data["proof"]["picture"])
    rows = [json.loads(line) for line in Path("maps/manifest.jsonl").read_text("ascii").splitlines()]
    assert len({row["picture"] for row in rows}) == len(names)
    for row in rows:
        assert Path("maps", row["file"]).is_file()
        assert not re.search(r'[<>:"|?*\\]|[. ](/|$)', row["picture"])
        assert not CONTROL.search(
            row["picture"].replace("\u202e", "").replace("\u2066", "")
        )  # letters to a file system
    assert attnviz("batch", "photos", *options).data["skipped"] == len(names)


def test_render_shows_each_on_one_line_and_draws_it_over(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    names = fill(Path("photos"))
    options = ("-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "sheets")
    done = attnviz("render", "photos", *options)
    assert (done.code, done.out.count("wrote sheets/")) == (0, len(names))
    assert not CONTROL.search(done.out + done.err)
    assert "photos/:zebra: smile.png: decoder" in done.out
    assert "photos/[bold]markup.png: decoder" in done.out
    files = sorted(path.name for path in Path("sheets").iterdir())
    assert len(files) == len(names)
    data = attnviz("render", "photos", *options, "--json").data
    assert sorted(os.path.basename(one["picture"]) for one in data["pictures"]) == names
    assert sorted(path.name for path in Path("sheets").iterdir()) == files  # each knows its own picture again


def test_names_of_pictures_that_cannot_be_read_stay_on_one_line(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    names = fill(Path("photos"))
    for name in names:
        Path("photos", name).write_bytes(b"no picture")
    done = attnviz("render", "photos", "-c", tiny_checkpoint, *SMALL, "-o", "sheets")
    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == len(names)
    assert all(line.startswith("attnviz: photos/") for line in done.err.splitlines())
    assert not CONTROL.search(done.err)
    done = attnviz("explore", "photos", "-c", tiny_checkpoint, *SMALL, "-o", "page.html")
    assert (done.code, len(done.err.splitlines())) == (1, len(names) + 1)
    for command in ("batch", "evaluate"):
        done = attnviz(command, "photos", "-c", tiny_checkpoint, *SMALL, "-o", "maps")
        assert done.code == 1
        assert not CONTROL.search(done.out + done.err)


@pytest.mark.parametrize("command", ["render", "explore", "figure objects", "verify"])
def test_a_single_picture_of_any_name_has_results_named_after_it(
    attnviz: Attnviz, tiny_checkpoint: Path, command: str
) -> None:
    names = fill(Path("photos"))
    pages = ("--dpi", 72) if command == "figure objects" else ()
    for name in names if command == "render" else ("new\nline.png", "no-utf8-\udcff\udcfe.png", "z" * 251 + ".png"):
        done = attnviz(*command.split(), f"photos/{name}", "-c", tiny_checkpoint, *SMALL, *pages)
        assert done.code == 0, done.err
        assert not CONTROL.search(done.out + done.err)
    written = [path.name for path in Path().iterdir() if path.name not in ("photos", "tiny.pth")]
    assert len(written) == {"render": len(names), "explore": 3, "figure objects": 6, "verify": 0}[command]
    assert not any(CONTROL.search(name) for name in written if "gnp" not in name)
    assert not written or any(name.startswith("new%0Aline.") for name in written)


@pytest.mark.parametrize("output", ["new\nline.png", "no-utf8-\udcff.png", "\x1b[31mred.png", "ü" * 124 + "z.png"])
def test_an_output_of_any_name(attnviz: Attnviz, tiny_checkpoint: Path, output: str) -> None:
    Path("street.png").write_bytes(encoded(colours(), "PNG"))
    done = attnviz("render", "street.png", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", output)
    assert (done.code, Path(output).is_file()) == (0, True)
    assert not CONTROL.search(done.out + done.err)
    page = Path(output).with_suffix(".html")
    done = attnviz("explore", "street.png", "-c", tiny_checkpoint, *SMALL, "-o", page)
    assert (done.code, page.is_file(), len(done.out.splitlines())) == (0, True, 1)
    assert not CONTROL.search(done.out + done.err)


def test_an_output_whose_name_is_too_long(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    Path("street.png").write_bytes(encoded(colours(), "PNG"))
    done = attnviz("render", "street.png", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "z" * 256 + ".png")
    assert done.code == 1
    assert "file name too long" in done.err.splitlines()[-1]


def test_a_path_with_dots_in_it_leads_to_the_same_picture(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    fill(Path("photos"))
    Path("photos/..png.png").write_bytes(encoded(colours(), "PNG"))  # hidden, but given outright
    Path("other").mkdir()
    given = ("other/../photos/dots..and...more..png", "photos/..png.png", "photos/../photos/..png.png")
    done = attnviz("batch", *given, "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "maps", "--json")
    assert (done.code, done.data["written"]) == (0, 2)
    assert sorted(path.name for path in Path("maps").iterdir() if path.is_dir()) == [
        "..png.png",
        "dots..and...more..png",
    ]
    done = attnviz("render", "other/../photos/..png.png", "-c", tiny_checkpoint, *SMALL, "--query", 1)
    assert (done.code, Path("..png.decoder.1.cross.overlay.png").is_file()) == (0, True)


SEVERAL = """
import json, sys
from detr_attnviz.cli.app import main
for args in json.loads(sys.argv[1]):
    sys.argv = ["attnviz", *args]
    try:
        main()
    except SystemExit as end:
        assert not end.code, args
    print(chr(12), flush=True)
"""


@pytest.mark.parametrize("environment", [ASCII, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_that_knows_ascii_only(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zebra 🦓 \udcff\n.png").write_bytes(encoded(colours(), "PNG"))
    each = [[*command.split(), "@list", "-c", "tiny.pth", *SMALL, *more] for command, more in TAKERS.items()]
    taken = json.dumps([[*map(str, args), *end] for args in each for end in ((), ("--json",))])
    taken = taken.replace("@list", r"zebra \ud83e\udd93 \udcff\n.png" if environment is not ASCII else AS_BYTES)
    done = in_python(SEVERAL, taken, **environment)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert (done.stdout + done.stderr).isascii()
    outputs = done.stdout.split("\f\n")[:-1]
    assert len(outputs) == 2 * len(TAKERS)
    assert not any(CONTROL.search(output) for output in (*outputs, done.stderr))
    assert all(json.loads(output) for output in outputs[1::2])


def test_a_name_that_is_no_text_stands_in_the_sheet_as_escapes(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    Path("a\udcff.png").write_bytes(encoded(colours(), "PNG"))
    assert attnviz("render", "a\udcff.png", "-c", tiny_checkpoint, *SMALL, "--query", 1, "-o", "x.png").code == 0
    with Image.open("x.png") as sheet:
        assert sheet.info["picture"] == r"a\udcff.png"

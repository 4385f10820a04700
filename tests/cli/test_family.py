"""The commands on relatives of DETR: a trained Deformable DETR, and small random ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Attnviz
from tests.hf import tiny_dense

pytest.importorskip("transformers", reason="transformers is not installed")
SAMPLES = Path(__file__).parent.parent.parent / "samples"
DEFORMABLE = ("-c", SAMPLES / "deformable", "--threshold", 0.6)
PICTURE = SAMPLES / "shapes_many.png"


def text_in(path: str) -> dict[str, str]:
    with Image.open(path) as image:
        image.load()
        return {str(name): str(value) for name, value in image.info.items()}


def test_points_and_overlay_of_every_object(attnviz: Attnviz) -> None:
    done = attnviz("render", PICTURE, *DEFORMABLE, "--style", "points")
    assert done.code == 0
    assert done.err == ""
    assert "decoder.2.cross, head mean" in done.out
    assert all(name in done.out for name in ("circle", "star", "cross"))
    assert text_in("shapes_many.decoder.2.cross.points.png")["site"] == "decoder.2.cross"
    assert attnviz("render", PICTURE, *DEFORMABLE).code == 0
    assert Path("shapes_many.decoder.2.cross.overlay.png").exists()


def test_objects_are_read_where_they_are(attnviz: Attnviz) -> None:
    done = attnviz("render", PICTURE, *DEFORMABLE, "--layer", "all", "--json")
    (shown,) = done.data["pictures"]
    assert len(shown["maps"]) >= 5
    for row in shown["maps"]:
        (x, y), (left, top, right, bottom) = row["peak"], row["box"]
        assert left - 20 < x < right + 20
        assert top - 20 < y < bottom + 20
        assert 0 <= row["rest"] < 0.05
        assert row["rest_where"] == "outside the picture"


def test_a_level_is_in_the_files_name_and_in_the_file(attnviz: Attnviz) -> None:
    done = attnviz("render", PICTURE, *DEFORMABLE, "--level", 1, "--top-k", 1)
    assert done.code == 0
    assert "decoder.2.cross, head mean, level 1" in done.out
    assert text_in("shapes_many.decoder.2.cross.level1.overlay.png")["level"] == "1"


def test_what_a_cell_of_the_encoder_reads(attnviz: Attnviz) -> None:
    point = ("--kind", "encoder", "--point", "400,210", "--style", "points")
    for level in (0, 2):
        done = attnviz("render", PICTURE, "-c", SAMPLES / "deformable", *point, "--point-level", level, "-o", "x.png")
        assert done.code == 0
        assert "encoder.1.self" in done.out
        assert "on grid: peak at" in done.out
        assert text_in("x.png")["point_level"] == str(level)


def test_batch_writes_the_places_too(attnviz: Attnviz) -> None:
    done = attnviz("batch", PICTURE, *DEFORMABLE, "--top-k", 2, "-o", "maps", "--export", "points,arrays")
    assert done.code == 0
    (arrays,) = Path("maps").rglob("*.npz")
    with np.load(arrays) as found:
        assert found["sample_places_xy_px"].shape == (2, 72, 2)
        np.testing.assert_allclose(found["sample_weights"].sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(found["maps"].sum((1, 2)) + found["rest"], 1, atol=1e-5)
    assert len(list(Path("maps").rglob("*.points.png"))) == 2
    again = attnviz("batch", PICTURE, *DEFORMABLE, "--top-k", 2, "-o", "maps", "--export", "points,arrays", "--json")
    assert again.data["skipped"] == 1


def test_terms_of_conditional_detr(attnviz: Attnviz, tmp_path: Path) -> None:
    tiny_dense.save_folder("conditional_detr", tmp_path / "conditional")
    for term in ("content", "spatial"):
        done = attnviz("render", PICTURE, "-c", "conditional", "--term", term, "--top-k", 1, "--shortest-px", 128)
        assert done.code == 0
        assert f"head mean, {term} term alone" in done.out
        assert text_in(f"shapes_many.decoder.1.cross.{term}.overlay.png")["term"] == term


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--level", 9), 1, "no level 9: levels are 0–2"),
        (("--term", "content"), 1, "is sampled attention, of which there are no terms"),
        (("--text", "a cat."), 1, "takes no text"),
        (("--method", "relevance"), 1, "method relevance needs"),
        (("--nheads", 4), 1, "config.json tells the heads"),
        (("--precision", "bf16"), 1, "precision bf16 is for"),
        (("--head", 6), 1, "no head 6"),
        (("--point-level", 1), 2, "point-level"),
    ],
)
def test_what_it_has_not_is_one_clear_line(
    attnviz: Attnviz, options: tuple[object, ...], code: int, words: str
) -> None:
    done = attnviz("render", PICTURE, *DEFORMABLE, *options)
    assert done.code == code
    assert words in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert not list(Path().glob("*.png"))


def test_points_of_dense_attention_say_what_has_them(attnviz: Attnviz) -> None:
    done = attnviz("render", PICTURE, "-c", "demo", "--style", "points")
    assert done.code == 1
    assert "sampled" in done.err
    assert len(done.err.strip().splitlines()) == 1

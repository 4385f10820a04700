"""A checkpoint that holds NaN: every command says so, and none draws, writes or proves as if nothing were wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from detr_attnviz.errors import ImageError
from detr_attnviz.evaluation.picture import check_maps
from tests.cli.conftest import Attnviz, attnviz
from tests.tiny import tiny_model, write_picture

__all__ = ["attnviz"]

NAN = float("nan")
CROSS = "transformer.decoder.layers.1.multihead_attn.in_proj_weight"
PLACES: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
    "one layer": lambda state: state[CROSS],
    "one head": lambda state: state[CROSS][8:16],
    "the encoder": lambda state: state["transformer.encoder.layers.0.self_attn.in_proj_weight"][0],
    "the backbone": lambda state: state["backbone.0.body.layer1.0.conv1.weight"][0],
    "one query": lambda state: state["query_embed.weight"][3],
    "the classes": lambda state: state["class_embed.weight"][1],
    "the boxes": lambda state: state["bbox_embed.layers.2.weight"][0],
}
GREYS = {(150, 150, 150), (205, 205, 205)}
SHOWN = ("--nheads", "4", "--shortest-px", "64", "--threshold", "0", "--top-k", "2")
Poison = Callable[[str], Path]


@pytest.fixture
def poisoned(tmp_path: Path) -> Poison:
    """A checkpoint with NaN in one of the places."""

    def made(place: str) -> Path:
        state = tiny_model().state_dict()
        PLACES[place](state).fill_(NAN)
        torch.save({"model": state}, tmp_path / "nan.pth")
        return tmp_path / "nan.pth"

    return made


@pytest.fixture
def street(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "street.png")


@pytest.mark.parametrize("place", [*PLACES])
def test_a_sheet_and_its_table_say_so(attnviz: Attnviz, poisoned: Poison, street: Path, place: str) -> None:
    found = attnviz("render", street, "-c", poisoned(place), *SHOWN, "-o", "sheet.png")
    assert found.code == 0
    assert "NaN" in found.out
    assert "not finite" in found.err or "hold NaN" in found.err
    with Image.open("sheet.png") as sheet:
        assert "NaN" in sheet.info["note"]


@pytest.mark.parametrize("style", ["overlay", "heatmap", "pair", "contour"])
def test_a_map_without_numbers_is_hatched_in_every_style(
    attnviz: Attnviz, poisoned: Poison, street: Path, style: str
) -> None:
    found = attnviz("batch", street, "-c", poisoned("one head"), *SHOWN, "--style", style, "--no-verify", "-o", "maps")
    assert "in 1 picture maps hold NaN or infinite values" in found.out
    lines = [json.loads(line) for line in Path("maps/manifest.jsonl").read_text().splitlines()]
    assert [line["not_finite"] for line in lines] == ["6 of 6 cells are NaN"] * 2
    assert all(line["peak"] is None and "2 of 2 maps hold NaN" in line["remark"] for line in lines)
    with Image.open(Path("maps", lines[0]["file"])) as drawn:
        assert drawn.info["not_finite"] == "6 of 6 cells are NaN"
        pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    hatched = np.isin(pixels @ [1 << 16, 1 << 8, 1], [r << 16 | g << 8 | b for r, g, b in GREYS])
    assert hatched.mean() > 0.25


@pytest.mark.parametrize("place", [*PLACES])
def test_a_batch_without_proof_writes_nothing(attnviz: Attnviz, poisoned: Poison, street: Path, place: str) -> None:
    found = attnviz("batch", street, "-c", poisoned(place), *SHOWN, "--no-dilation", "-o", "maps")
    assert (found.code, found.out) == (1, "")
    weights, fault = found.err.splitlines()
    assert weights.startswith("attnviz: 1 tensor holds NaN or infinity (")
    assert fault.startswith("attnviz: nan.pth: ")
    assert "NaN" in fault
    assert "on street.png; no map was written: attnviz verify shows every site" in fault
    assert not Path("maps").exists() or not list(Path("maps").rglob("*.*"))


@pytest.mark.parametrize("method", ["value-norm", "rollout", "relevance", "attn-gradcam", "gradcam", "decompose"])
def test_every_method_says_so(attnviz: Attnviz, poisoned: Poison, street: Path, method: str) -> None:
    found = attnviz("render", street, "-c", poisoned("one layer"), *SHOWN, "--method", method, "--json")
    maps = found.data["pictures"][0]["maps"]
    assert {one["not_finite"] for one in maps} == {"6 of 6 cells are NaN"}
    assert all(one["share"] is None for one in maps if "share" in one)


def test_decoder_self_attention_of_nan_is_not_attention_to_nobody(
    attnviz: Attnviz, poisoned: Poison, street: Path
) -> None:
    found = attnviz("render", street, "-c", poisoned("one query"), *SHOWN, "--kind", "decoder-self", "--json")
    assert found.data["pictures"][0]["maps"][0]["not_finite"] == "10 of 10 queries are NaN"
    assert "no detection has a score that is a number" in found.data["pictures"][0]["remark"]


@pytest.mark.parametrize(
    "kind", ["objects --top-k 2 --threshold 0", "grid --query 4", "evolution --query 4", "methods --query 4"]
)
def test_captions_of_figures_say_so(attnviz: Attnviz, poisoned: Poison, street: Path, kind: str) -> None:
    name, *choices = kind.split()
    model = ("-c", poisoned("one layer"), "--nheads", "4", "--shortest-px", "64")
    found = attnviz("figure", name, street, *model, *choices, "-o", "f.svg")
    assert found.code == 0
    assert "Cells that hold no number (NaN or infinite) are" in Path("f.txt").read_text()
    assert "NaN" in Path("f.svg").read_text() or "not a number" in Path("f.svg").read_text()


UNSCORED = "no detection has a score that is a number"


def test_nobody_has_a_class_where_no_score_is_a_number(attnviz: Attnviz, poisoned: Poison, street: Path) -> None:
    model = ("-c", poisoned("the classes"), "--nheads", "4", "--shortest-px", "64")
    rendered = attnviz("render", street, *model, "-o", "sheet.png", "--json")
    maps = rendered.data["pictures"][0]["maps"]
    assert {(one["label"], one["name"], one["score"]) for one in maps} == {(-1, "no class", None)}
    assert f"{UNSCORED}: showing 3 of them" in rendered.data["pictures"][0]["remark"]
    batch = attnviz("batch", street, *model, "--no-verify", "-o", "maps")
    assert f"in 1 picture {UNSCORED}, so any were drawn" in batch.out
    assert "reaches" not in batch.out
    names = [path.name for path in sorted(Path("maps", "street.png").iterdir())]
    assert names == [f"q{query}_no_class.overlay.png" for query in range(3)]
    drawn = attnviz("figure", "objects", street, *model, "-o", "f.svg")
    assert f"{UNSCORED}: 3 of them are drawn" in drawn.err
    assert f"3 objects (any 3, as {UNSCORED}) in street.png" in Path("f.txt").read_text()
    assert "no class NaN" in Path("f.svg").read_text()
    assert attnviz("figure", "objects", street, *model, "--label", "class 0", "-o", "g.svg").code == 1


@pytest.mark.parametrize("method", ["relevance", "attn-gradcam", "gradcam"])
def test_no_class_is_explained_by_no_number(attnviz: Attnviz, poisoned: Poison, street: Path, method: str) -> None:
    found = attnviz("render", street, "-c", poisoned("the classes"), *SHOWN, "--method", method, "--json")
    assert all(one["not_finite"] for one in found.data["pictures"][0]["maps"])


def test_figures_of_weights_say_what_green_is(attnviz: Attnviz, poisoned: Poison) -> None:
    checkpoint = poisoned("one layer")
    assert attnviz("inspect-weights", checkpoint, "--plot", "plot.svg").code == 0
    assert "green: NaN or infinite" in Path("plot.svg").read_text()
    found = attnviz("figure", "weights", checkpoint, "--nheads", 4, "-o", "weights.svg")
    assert found.code == 0
    assert found.err.count("\n") == 1  # and no warning, which is for Python users
    assert found.err.startswith(f"attnviz: 1 tensor holds NaN or infinity ({CROSS}: ")
    assert "What is not finite is green" in Path("weights.txt").read_text()


@pytest.mark.parametrize("place", [*PLACES])
def test_nothing_is_proven(attnviz: Attnviz, poisoned: Poison, street: Path, place: str) -> None:
    model = ("-c", poisoned(place), "--nheads", "4", "--shortest-px", "64")
    found = attnviz("verify", street, *model)
    assert found.code == 1
    assert "FAIL" in found.out
    assert "the same to the bit" in found.out, "recording changed nothing"
    site = {"one layer": "decoder.1.cross", "one head": "decoder.1.cross", "the encoder": "encoder.0.self"}
    assert f"NaN in the maps of {site.get(place, '')}" in found.out or "NaN or infinite values in" in found.out
    assert place not in site or site[place] in found.out.partition("NaN in the maps of")[2]


def test_an_evaluation_measures_nothing(attnviz: Attnviz, poisoned: Poison, street: Path) -> None:
    tried = ("--methods", "raw", "--heads", "none", "-o", "report.csv")
    for place in ("one head", "the classes"):
        found = attnviz("evaluate", street, "-c", poisoned(place), *SHOWN, *tried)
        assert found.code == 1
        assert "have scores or boxes that are no numbers" in found.out


def test_an_evaluation_ranks_no_cells_by_maps_that_are_no_numbers() -> None:
    with pytest.raises(ImageError, match="maps by rollout hold NaN or infinite values, which rank no cells"):
        check_maps({"raw": np.zeros((1, 2, 2)), "rollout": np.full((1, 2, 2), NAN)})

"""`attnviz render`, as a person meets it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detr_attnviz.cli.options import ModelOptions
from detr_attnviz.methods.catalogue import METHODS
from tests.cli.conftest import Attnviz
from tests.scarce import Scarce
from tests.tiny import tiny_model

SMALL = ("--shortest-px", 128, "--longest-px", 192)


def picture_size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_render_draws_and_prints(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, class_file: Path) -> None:
    done = attnviz(
        "render", picture, "-c", tiny_checkpoint, *SMALL, "--nheads", 4, "--classes", class_file, "-o", "x.png"
    )
    assert done.code == 0
    assert picture_size("x.png")[0] > 300
    assert "decoder.1.cross, head mean" in done.out
    assert "wrote x.png" in done.out
    assert "peak at" in done.out
    assert "no detection reaches the threshold 0.7: showing the 3 best instead" in done.err
    assert "--dilation" in done.err


def test_json_holds_everything_and_nothing_else(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz(
        "render",
        picture,
        "-c",
        tiny_checkpoint,
        *SMALL,
        "--nheads",
        4,
        "--query",
        7,
        "--query",
        2,
        "--layer",
        0,
        "--json",
    )
    assert done.code == 0
    (shown,) = done.data["pictures"]
    assert [row["query"] for row in shown["maps"]] == [7, 2]
    assert shown["maps"][0]["site"] == "decoder.0.cross"
    assert done.data["provenance"]["heads"] == "4"
    assert any("dilated" in note for note in done.data["notes"])


def test_arrays_hold_the_maps(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz(
        "render", picture, "-c", tiny_checkpoint, *SMALL, "--query", 3, "--arrays", "-o", "out/x.png", "--json"
    )
    assert done.code == 0
    (arrays,) = [path for path in done.data["pictures"][0]["files"] if path.endswith(".npz")]
    with np.load(arrays, allow_pickle=False) as found:
        assert found["maps"].shape == (1, 4, 6)
        assert found["maps"].sum() == pytest.approx(1, abs=1e-5)
        assert found["queries"].tolist() == [3]


def test_encoder_at_a_point(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz(
        "render",
        picture,
        "-c",
        tiny_checkpoint,
        *SMALL,
        "--kind",
        "encoder",
        "--point",
        "10,20",
        "--direction",
        "to",
        "-o",
        "x.png",
    )
    assert done.code == 0
    assert "encoder.0.self" in done.out
    assert "10,20" in done.out


@pytest.mark.parametrize("style", ["overlay", "heatmap", "pair", "contour"])
def test_every_style(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, style: str) -> None:
    assert attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--style", style, "-o", "x.png").code == 0
    assert picture_size("x.png")[1] > 60


def test_decoder_self(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz(
        "render", picture, "-c", tiny_checkpoint, *SMALL, "--kind", "decoder-self", "--query", 1, "-o", "x.png"
    )
    assert done.code == 0
    assert "decoder.1.self" in done.out


@pytest.mark.parametrize("method", METHODS)
def test_every_method(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, method: str) -> None:
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--method", method, "--query", 1, "-o", "x.png")
    assert done.code == 0, done.err
    title = next(line for line in done.out.splitlines() if "street.png" in line)
    assert title.endswith(", head mean") == METHODS[method].has_heads
    assert (f", {method}" in title) == (method != "raw")
    assert ("%" in done.out) == (method in ("raw", "decompose"))
    assert picture_size("x.png")[0] > 300


def test_terms_have_rows_and_shares_on_a_narrow_terminal(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--method", "decompose", "--query", 1)
    assert done.code == 0, done.err
    rows = [line for line in done.out.splitlines() if re.search(r"(content|position) · (content|position)", line)]
    assert max(map(len, rows)) <= 80
    shares = [int(re.findall(r"(-?\d+)%", row)[0]) for row in rows]
    assert len(rows) == 4
    assert sum(shares) == pytest.approx(100, abs=2)
    assert "wrote street.decoder.1.cross.decompose.overlay.png" in done.out


def test_layers_by_number_and_all_of_them(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    for layer, found in (("0,-1", [0, 1]), ("all", [0, 1]), ("-2", 0), ("1,1", 1)):
        done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--layer", layer, "-o", "x.png", "--json")
        assert [row["layer"] for row in done.data["pictures"][0]["maps"]] == [found] * 3
    assert done.data["pictures"][0]["maps"][0]["quantity"] == "attention"


def test_wrong_choices_of_a_method_are_told_without_a_model(attnviz: Attnviz, picture: Path) -> None:
    done = attnviz("render", picture, "-c", "nowhere.pth", "--method", "magic")
    assert (done.code, "no method 'magic'" in done.err) == (1, True)


def test_demo_weights_say_how_to_get_real_ones(attnviz: Attnviz, picture: Path) -> None:
    done = attnviz("render", picture, "-o", "x.png")
    assert done.code == 0
    assert "demo weights" in done.err
    assert "attnviz checkpoints download detr-r50" in done.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--layer", 9], 1, "decoder has 2 layers, 0–1"),
        (["--head", 17], 1, "head must be in 0–"),
        (["--head", "best"], 1, "mean, max, entropy-weighted or a head's number"),
        (["--method", "magic"], 1, "no method 'magic': methods are raw, rollout, attn-gradcam"),
        (["--method", "rollout", "--kind", "decoder-self"], 1, "rollout explains kind cross, not decoder-self"),
        (["--method", "decompose", "--layer", "0,1"], 1, "decompose explains one layer at a time: layer is 0, 1"),
        (["--method", "decompose", "--head", "max"], 1, "it must be mean or a head's number with method decompose"),
        (["--method", "decompose", "--style", "contour"], 2, "--style cannot be contour"),
        (["--layer", "0,7"], 1, "no layer 7: this checkpoint's decoder has 2 layers"),
        (["--layer", "last"], 2, "several as 3,5, or all"),
        (["--layer", "0,"], 2, "several as 3,5, or all"),
        (["--query", 99], 1, "queries are 0–9|query must be in 0–9"),
        (["--label", "unicorn"], 1, "no class 'unicorn'"),
        (["--cmap", "infarno"], 1, "inferno"),
        (["--nheads", 5], 1, "5.*32"),
        (["--classes", "nowhere.txt"], 1, "nowhere.txt: class names cannot be read"),
        (["--device", "tpu"], 1, "no device 'tpu'"),
        (["--shortest-px", 900, "--longest-px", 100], 1, "at most the longest"),
        (["--kind", "encoder", "--point", "900,900"], 1, "outside the picture"),
        (["-o", "pictures/street.png"], 1, "street.png"),
        (["--kind", "encoder"], 2, "needs at least one --point"),
        (["--point", "1,1"], 2, "belongs to --kind encoder"),
        (["--kind", "encoder", "--point", "1;1"], 2, "such as 320,240"),
        (["--query", 1, "--top-k", 2], 2, "names the queries outright"),
        (["--kind", "decoder-self", "--style", "pair"], 1, r"choose overlay \(boxes by weight\), or heatmap"),
        (["--threshold", 7], 2, "threshold.*less than or equal to 1|threshold.*0.0<=x<=1.0"),
        (["--style", "oil"], 2, "oil"),
    ],
)
def test_bad_choices_are_one_clear_line(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, options: list[object], code: int, words: str
) -> None:
    before = picture.read_bytes()
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, *options)
    assert done.code == code
    assert re.search(words, done.err), done.err
    assert "Traceback" not in done.err
    if code == 1:
        assert len([line for line in done.err.splitlines() if "assumed" not in line]) == 1
    assert picture.read_bytes() == before


@pytest.fixture
def three(picture: Path) -> tuple[Path, Path, Path]:
    """Two pictures with a bad one between them."""
    bad, last = picture.with_name("bad\n.png"), picture.with_name("third.png")
    bad.write_bytes(b"no picture")
    last.write_bytes(picture.read_bytes())
    return picture, bad, last


def test_a_bad_picture_among_several(attnviz: Attnviz, tiny_checkpoint: Path, three: tuple[Path, ...]) -> None:
    done = attnviz("render", *three, "-c", tiny_checkpoint, *SMALL, "-o", "out", "--query", 1)
    assert done.code == 1
    assert done.out.count("wrote ") == len(list(Path("out").iterdir())) == 2
    (line,) = [line for line in done.err.splitlines() if "assumed" not in line]
    assert line.startswith(f"attnviz: {three[0].parent}/bad\\n.png: not a picture that can be read")


def test_a_bad_picture_in_json(attnviz: Attnviz, tiny_checkpoint: Path, three: tuple[Path, ...]) -> None:
    done = attnviz("render", *three, "-c", tiny_checkpoint, *SMALL, "-o", "out", "--query", 1, "--json")
    assert done.code == 1
    first, bad, last = done.data["pictures"]
    assert first["files"] != last["files"]
    assert bad.keys() == {"picture", "error"}
    assert bad["picture"] == str(three[1])
    done = attnviz("render", three[1], "-c", tiny_checkpoint, "--json")
    assert (done.code, len(done.data["pictures"])) == (1, 1)


def test_a_folder_and_a_list(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    Path("list.txt").write_text("pictures/street.png\n")
    for given in ("pictures", "pictures/*.png", "@list.txt"):
        done = attnviz("render", given, "-c", tiny_checkpoint, *SMALL, "-o", "out", "--json")
        assert [shown["picture"] for shown in done.data["pictures"]] == ["pictures/street.png"]


def test_json_says_with_which_settings(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    options = ("--top-k", 1, "--threshold", 0.25, "--style", "contour", "--cmap", "viridis", "--head", 3)
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, *options, "--json")
    settings = done.data["pictures"][0]["maps"][0]["settings"]
    asked = {"kind": "cross", "layer": -1, "head": "3", "top_k": 1, "threshold": 0.25, "fallback": 3}
    assert asked.items() <= settings["request"].items()
    assert {"style": "contour", "cmap": "viridis", "alpha": 0.8}.items() <= settings["drawing"].items()
    assert (settings["shortest_px"], settings["longest_px"], settings["dilation"]) == (128, 192, "False")
    assert "assumed" in settings["assumed"]


def test_nothing_to_show_prints_no_table(attnviz: Attnviz, tiny_checkpoint: Path, picture: Path) -> None:
    done = attnviz("render", picture, "-c", tiny_checkpoint, *SMALL, "--threshold", 1, "--fallback", 0)
    assert (done.code, done.out) == (0, "")
    assert "street.png: " in done.err
    assert "--threshold" in done.err.splitlines()[-1]


def test_scores_that_are_not_numbers(attnviz: Attnviz, picture: Path) -> None:
    state = tiny_model().state_dict()
    state["class_embed.bias"][:] = torch.nan
    torch.save({"model": state}, "nan.pth")
    done = attnviz("render", picture, "-c", "nan.pth", *SMALL, "--query", 2, "-o", "x.png")
    assert done.code == 0
    assert re.search(r"\b2 .* NaN ", done.out)
    assert "nan" not in done.out
    done = attnviz("render", picture, "-c", "nan.pth", *SMALL, "--query", 2, "-o", "x.png", "--json")
    assert done.data["pictures"][0]["maps"][0]["score"] is None
    batch = ("batch", "pictures", "-c", "nan.pth", *SMALL, "--query", 2, "-o", "out", "--json")
    done = attnviz(*batch)
    assert (done.code, done.out) == (1, "")  # nothing is proven by a model whose scores are no numbers
    assert "the model's logits hold NaN or infinity" in done.err.splitlines()[-1]
    done = attnviz(*batch, "--no-verify")
    assert (done.code, done.data["written"]) == (0, 1)


@pytest.mark.parametrize("command", ["render", "batch", "verify"])
def test_averaged_weights(attnviz: Attnviz, picture: Path, command: str) -> None:
    torch.save({"model": tiny_model().state_dict(), "model_ema": tiny_model().state_dict()}, "both.pth")
    output = () if command == "verify" else ("-o", "out")
    for weights, words in (("model", "plain"), ("ema", "averaged (EMA)")):
        done = attnviz(command, picture, "-c", "both.pth", *SMALL, *output, "--weights", weights)
        assert done.code == 0, done.err
        assert f"{words} weights taken from" in done.err
    torch.save({"model": tiny_model().state_dict()}, "plain.pth")
    done = attnviz(command, picture, "-c", "plain.pth", *output, "--weights", "ema")
    assert (done.code, "no averaged (EMA) weights" in done.err) == (1, True)


def test_missing_picture_and_checkpoint(attnviz: Attnviz, tiny_checkpoint: Path) -> None:
    gone = attnviz("render", "nowhere.png", "-c", tiny_checkpoint)
    assert (gone.code, "nowhere.png" in gone.err, "no such file" in gone.err) == (1, True, True)
    gone = attnviz("render", "nowhere.png", "-c", "nowhere.pth")
    assert (gone.code, "no such file or folder" in gone.err) == (1, True)


def test_a_picture_too_large_for_the_gpu_is_done_on_the_cpu_if_allowed(
    attnviz: Attnviz, tiny_checkpoint: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ModelOptions.open
    monkeypatch.setattr(
        ModelOptions, "open", lambda self, classes=None: Scarce(opened(self, classes).family, most_px=0)
    )
    args = ("render", picture, "-c", tiny_checkpoint, "--query", 1, "--json")
    outcome = attnviz(*args)
    assert outcome.code == 1
    assert "not enough memory on mps for this picture" in outcome.err
    assert "--allow-cpu has it done on the CPU" in outcome.err
    outcome = attnviz(*args, "--allow-cpu")
    assert outcome.code == 0
    assert outcome.err.count("a copy of the model does it on the CPU") == 1
    assert outcome.data["pictures"][0]["maps"][0]["settings"]["device"] == "cpu"

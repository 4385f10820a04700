"""Loading, tracing, and asking a trace."""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.detector import find_device
from detr_attnviz.errors import CheckpointError, ChoiceError, ImageError
from detr_attnviz.families.base import Prediction
from detr_attnviz.methods.request import Request
from detr_attnviz.trace import Trace
from tests.tiny import NAMES, drawn_picture, tiny_detector, tiny_model, write_picture

NAMES_AND_NO_OBJECT = len(NAMES) + 1
WEIGHTS: tuple[Literal["model", "ema"], ...] = ("model", "ema")


@pytest.fixture
def trace() -> Trace:
    return tiny_detector().trace(drawn_picture())


def test_everything_is_recorded(trace: Trace) -> None:
    assert trace.sites == (
        "encoder.0.self",
        "decoder.0.self",
        "decoder.0.cross",
        "decoder.1.self",
        "decoder.1.cross",
    )
    assert trace.logits.shape == (10, len(NAMES) + 1)
    assert trace.boxes.shape == (10, 4)
    assert [seen.index for seen in trace.detections] == list(range(10))
    assert (trace.grid.rows, trace.grid.cols) == (4, 6)


def test_cross_attention_sums_to_one(trace: Trace) -> None:
    maps = trace.attention("decoder.1.cross", queries=[7, 2])
    assert maps.shape == (4, 2, 4, 6)
    assert_close(maps.sum((2, 3)), torch.ones(4, 2))


def test_point_and_its_cell_are_the_same(trace: Trace) -> None:
    cell = trace.grid.token_at(70, 20)
    by_point = trace.attention("encoder.0.self", points=[(70, 20)])
    assert torch.equal(by_point, trace.attention("encoder.0.self", queries=[cell]))
    assert_close(by_point[:, 0].flatten(1), trace.records["encoder.0.self"].map()[0, :, cell])


def test_direction_to_is_the_column(trace: Trace) -> None:
    cell = trace.grid.token_at(70, 20)
    found = trace.attention("encoder.0.self", points=[(70, 20)], direction="to", heads=[2])
    assert_close(found[0, 0].flatten(), trace.records["encoder.0.self"].map()[0, 2, :, cell])
    assert not torch.allclose(found, trace.attention("encoder.0.self", points=[(70, 20)], heads=[2]))


def test_decoder_self_attention_is_between_queries(trace: Trace) -> None:
    maps = trace.attention("decoder.0.self", queries=[3])
    assert maps.shape == (4, 1, 10)
    assert_close(maps.sum(-1), torch.ones(4, 1))


@pytest.mark.parametrize(
    ("site", "options", "words"),
    [
        ("decoder.9.cross", {}, "no site 'decoder.9.cross' here; there are decoder.1.cross"),
        ("decoder.0.cross", {"points": [(1, 1)]}, "belong to encoder self-attention"),
        ("decoder.0.cross", {"direction": "to"}, "belong to encoder self-attention"),
        ("encoder.0.self", {"direction": "up"}, "must be 'from' or 'to'"),
        ("encoder.0.self", {"queries": [1], "points": [(1, 1)]}, "not both"),
        ("encoder.0.self", {"queries": [24]}, "query must be in 0–23"),
        ("encoder.0.self", {"points": [(96, 1)]}, "outside the picture"),
    ],
)
def test_what_is_not_there_is_said(trace: Trace, site: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        trace.attention(site, **options)  # type: ignore[arg-type]


def test_values_of_tokens_are_laid_out_as_cells(trace: Trace) -> None:
    values = torch.arange(48.0).view(2, 24)
    assert torch.equal(trace.on_grid("decoder.0.cross", values)[1, 3], torch.arange(42.0, 48.0))
    with pytest.raises(ChoiceError, match=r"decoder.0.cross has 25 tokens, but the picture's grid is 4 × 6: use capt"):
        trace.on_grid("decoder.0.cross", torch.zeros(25))


def test_maps_need_no_second_forward(trace: Trace) -> None:
    trace.detector.family.forward = None  # type: ignore[method-assign, assignment]
    assert trace.attention("decoder.0.cross").shape == (4, 10, 4, 6)


def test_recording_costs_only_references(trace: Trace) -> None:
    tokens, queries = trace.grid.tokens, 10
    assert trace.records["encoder.0.self"].nbytes <= 4 * 32 * tokens * 2  # q is k, and v
    assert trace.records["decoder.0.cross"].nbytes <= 4 * 32 * (queries + 2 * tokens)


def test_size_options_change_the_grid() -> None:
    trace = tiny_detector().trace(drawn_picture(), shortest_px=64, longest_px=64)
    assert (trace.grid.input_height_px, trace.grid.input_width_px) == (43, 64)


def test_picture_by_path_is_named_in_the_provenance(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "x.png")
    trace = tiny_detector().trace(path)
    assert trace.source == str(path)
    assert av.explain(trace).provenance["picture"] == str(path)


def test_missing_picture() -> None:
    with pytest.raises(ImageError, match="does not exist"):
        tiny_detector().trace("nowhere.png")


def test_load_names_what_it_knows() -> None:
    with pytest.raises(CheckpointError, match="no such file or folder.*demo, detr-r50"):
        av.load("detr-r5000")


def test_load_a_native_model() -> None:
    detector = av.load(tiny_model(), device="cpu", classes=NAMES)
    assert detector.class_names == NAMES
    assert detector.checkpoint_sha256 == ""
    assert "DETR" in repr(detector)


def test_more_names_than_classes() -> None:
    with pytest.raises(ChoiceError, match="6 class names.*5 classes"):
        av.load(tiny_model(), classes=[*NAMES, "unicorn"])


def test_loaded_checkpoint_knows_its_hash_and_what_was_assumed(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": tiny_model().state_dict()}, path)
    detector = av.load(path, device="cpu", nheads=4)
    assert len(detector.checkpoint_sha256) == 64
    assert detector.provenance["heads"] == "4"
    assert any("--dilation" in note for note in detector.notes)


def test_checkpoint_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.pth"
    torch.save(tiny_model().state_dict(), path)
    monkeypatch.setenv("ATTNVIZ_CHECKPOINT", str(path))
    detector = av.load(device="cpu", nheads=4)
    assert detector.name == "mine.pth"
    assert "$ATTNVIZ_CHECKPOINT" in detector.notes[0]


@pytest.mark.parametrize("name", ["gpu", "cuda:999", "tpu"])
def test_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ChoiceError, match=r"choose auto"):
        find_device(name)


_SWITCHES = """
import torch
from detr_attnviz.detector import _without_tf32, exact_inference
matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
{setting}
def state():
    found = [torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")]
    for ask in (lambda: matmul.allow_tf32, lambda: convolution.allow_tf32, torch.get_float32_matmul_precision):
        try: found.append(ask())
        except RuntimeError: found.append("refused")
    return found
before = state()
with _without_tf32():
    if hasattr(matmul, "fp32_precision"):
        assert matmul.fp32_precision == convolution.conv.fp32_precision == "ieee"
    else:
        assert not matmul.allow_tf32 and not convolution.allow_tf32
assert state() == before, (before, state())
with exact_inference(torch.device("cpu")):
    pass
assert state() == before, (before, state())
"""


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('medium')",
        "if hasattr(matmul, 'fp32_precision'): matmul.fp32_precision = 'tf32'",
    ],
)
def test_inference_leaves_global_switches_alone(setting: str) -> None:
    code = _SWITCHES.format(setting=setting)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_autocast_of_the_caller_changes_no_map() -> None:
    detector, picture = av.load("demo", device="cpu"), drawn_picture(320, 240)
    expected = detector.trace(picture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = detector.trace(picture)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.attention("encoder.0.self"), expected.attention("encoder.0.self"))


def test_single_values_will_do(trace: Trace) -> None:
    one = trace.attention("encoder.0.self", points=(70, 20), heads=2)
    assert torch.equal(one, trace.attention("encoder.0.self", points=[(70, 20)], heads=[2]))
    assert trace.attention("decoder.0.cross", queries=3).shape == (4, 1, 4, 6)
    assert av.explain(trace, queries=3).detections[0].index == 3
    assert av.explain(trace, kind="encoder", points=(70, 20)).points == ((70, 20),)


def test_an_array_is_no_picture() -> None:
    with pytest.raises(ImageError, match=r"ndarray is no picture.*Image.fromarray"):
        tiny_detector().trace(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_repr_is_short(trace: Trace) -> None:
    assert len(repr(trace)) < 600
    assert "decoder.1.cross" in repr(trace)


def test_traces_can_be_compared_and_hashed(trace: Trace) -> None:
    assert trace == trace
    assert trace != tiny_detector().trace(drawn_picture())
    assert len({trace, trace}) == 1


def test_output_can_be_used_in_a_graph(trace: Trace) -> None:
    weight = torch.ones(NAMES_AND_NO_OBJECT, requires_grad=True)
    (trace.logits * weight).sum().backward()
    assert weight.grad is not None
    assert not trace.attention("decoder.0.cross").is_inference()


def test_output_that_is_not_finite_is_said() -> None:
    detector = tiny_detector()
    detector.family.model.class_embed.weight.data[1] = float("nan")  # type: ignore[attr-defined]
    trace = detector.trace(drawn_picture())
    assert "10 of 10 queries have scores or boxes that are no numbers" in trace.notes[0]
    assert len(av.select(trace, threshold=0, fallback=3)) == 3
    assert "that are no numbers" in Request().answer(trace).provenance["note"]


def test_two_threads_do_not_mix_their_records() -> None:
    detector = tiny_detector()
    pictures = [drawn_picture(), drawn_picture().rotate(180)] * 4
    expected = [detector.trace(picture).attention("encoder.0.self") for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda picture: detector.trace(picture).attention("encoder.0.self"), pictures))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_folder_called_demo_does_not_stand_in_for_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert av.load("demo", device="cpu").name == "demo"


@pytest.mark.parametrize("prefix", ["", "module.", "detr."])
def test_unknown_tensors_inside_the_detector_are_refused_and_others_said(prefix: str, tmp_path: Path) -> None:
    state = {prefix + key: value for key, value in tiny_model().state_dict().items()}
    torch.save(state | {f"{prefix}reid_head.weight": torch.zeros(2)}, tmp_path / "beside.pth")
    notes = av.load(tmp_path / "beside.pth", device="cpu", nheads=4).notes
    assert any(f"1 tensors fit nothing in a DETR and are not used: {prefix}reid_head.weight" in note for note in notes)
    torch.save(state | {f"{prefix}transformer.gate": torch.zeros(2)}, tmp_path / "inside.pth")
    with pytest.raises(CheckpointError, match=rf"1 unexpected \({prefix}transformer.gate\)"):
        av.load(tmp_path / "inside.pth", device="cpu", nheads=4)


def test_too_few_class_names_are_said_and_used(tmp_path: Path) -> None:
    torch.save(tiny_model(classes=91).state_dict(), tmp_path / "x.pth")
    detector = av.load(tmp_path / "x.pth", device="cpu", nheads=4, dilation=False, classes=["thing"])
    assert detector.notes == ("1 names for 91 classes: ids from 1 on are called class N",)
    assert detector.class_names == ("thing",)


def test_what_is_wrong_with_tensors_comes_with_the_files_name(tmp_path: Path) -> None:
    whole = tiny_model(decoder_layers=3).state_dict()
    state = {name: value for name, value in whole.items() if "decoder.layers.1" not in name}
    torch.save(state, tmp_path / "torn.pth")
    with pytest.raises(CheckpointError, match=r"torn\.pth: .*decoder\.layers\.1 missing.*not whole"):
        av.load(tmp_path / "torn.pth", device="cpu")


def test_averaged_weights_can_be_chosen(tmp_path: Path) -> None:
    plain, averaged = tiny_model(), tiny_model()
    averaged.class_embed.bias.data.add_(1.0)
    torch.save({"model": plain.state_dict(), "model_ema": averaged.state_dict()}, tmp_path / "x.pth")
    picture = drawn_picture()
    traces = {
        name: av.load(tmp_path / "x.pth", device="cpu", nheads=4, weights=name).trace(picture, shortest_px=64)
        for name in WEIGHTS
    }
    assert not torch.allclose(traces["model"].logits, traces["ema"].logits)
    assert traces["ema"].detector.provenance["weights"] == "ema"


def test_pictures_of_one_size_share_a_forward() -> None:
    detector = tiny_detector()
    pictures = [drawn_picture(), drawn_picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT), drawn_picture()]
    calls, forward = [], detector.family.forward

    def counted(inputs: Mapping[str, torch.Tensor]) -> Prediction:
        calls.append(inputs)
        return forward(inputs)

    detector.family.forward = counted  # type: ignore[method-assign]
    together = detector.trace_prepared(
        [(picture, detector.prepare(picture), f"{n}") for n, picture in enumerate(pictures)]
    )
    assert len(calls) == 1
    assert [trace.source for trace in together] == ["0", "1", "2"]
    for trace, picture in zip(together, pictures, strict=True):
        alone = detector.trace(picture)
        assert_close(trace.logits, alone.logits, atol=1e-5, rtol=0)
        assert trace.sites == alone.sites
        for site in alone.sites:
            assert trace.records[site].map().shape == alone.records[site].map().shape
            assert_close(trace.attention(site), alone.attention(site), atol=1e-5, rtol=0)


def test_a_prepared_picture_alone_is_its_trace_to_the_bit() -> None:
    detector, picture = tiny_detector(), drawn_picture()
    (trace,) = detector.trace_prepared([(picture, detector.prepare(picture), "x.png")])
    assert torch.equal(trace.logits, detector.trace(picture).logits)
    assert detector.trace_prepared([]) == ()


def test_pictures_of_other_sizes_share_no_forward() -> None:
    detector = tiny_detector()
    pictures = [drawn_picture(96, 64), drawn_picture(64, 96)]
    with pytest.raises(ChoiceError, match="prepared to one size"):
        detector.trace_prepared([(picture, detector.prepare(picture), "") for picture in pictures])


def test_precision_is_the_detectors_and_in_its_provenance(tmp_path: Path) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "x.pth")
    exact = av.load(tmp_path / "x.pth", device="cpu", nheads=4)
    official = av.load(tmp_path / "x.pth", device="cpu", nheads=4, precision="official")
    assert "precision" not in exact.provenance
    assert official.provenance["precision"] == "official"
    picture = drawn_picture()
    assert_close(exact.trace(picture).logits, official.trace(picture).logits, atol=1e-5, rtol=0)
    plain = av.load(tiny_model(), nheads=None).trace(picture)
    assert_close(official.trace(picture).logits, plain.logits, atol=1e-6, rtol=0)


def test_a_built_module_keeps_its_own_precision() -> None:
    with pytest.raises(ChoiceError, match="a built module runs in its own"):
        av.load(tiny_model(), precision="bf16")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_gpu_maps_equal_the_cpus() -> None:
    on_cpu = av.load(tiny_model(), device="cpu").trace(drawn_picture())
    on_gpu = av.load(tiny_model(), device="cuda").trace(drawn_picture())
    for site in on_cpu.sites:
        assert_close(on_gpu.attention(site).cpu(), on_cpu.attention(site), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity"),
            "not enough memory on meta for the model: end what else is there, or choose device cpu",
        ),
        (MemoryError(), "not enough memory on this machine for the model: end what else is there"),
    ],
)
def test_a_device_that_is_too_small_for_the_model_is_one_line(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, moves = tiny_model(), list[torch.device]()

    def full(self: torch.nn.Module, device: torch.device) -> torch.nn.Module:
        moves.append(device)
        if device.type != "cpu":
            raise error
        return self

    monkeypatch.setattr("detr_attnviz.detector.find_device", torch.device)
    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ChoiceError) as refused:
        av.load(model, device="meta")
    assert str(refused.value) == f"DETR: {told}"
    assert [device.type for device in moves] == ["meta", "cpu"]  # nothing of a caller's model stays behind there

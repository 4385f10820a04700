"""What each decoder layer of transformers' models predicts: what the model cut off behind that layer predicts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from detr_attnviz.detector import Detector, load
from detr_attnviz.families.hf_table import KNOWN
from tests.hf.saved import EVERY, save_folder
from tests.hf.saved import tiny as tiny_model
from tests.hf.tiny_sampled import WITH_TEXT
from tests.tiny import drawn_picture

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:Deprecated in 0.9.0:DeprecationWarning")

LAYERS = 3
TELLING = tuple(model_type for model_type in EVERY if model_type != "yolos")
PICTURE = drawn_picture(192, 160)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Detector]:
    """A tiny detector of a family, with three decoder layers; each is made once."""
    made: dict[str, Detector] = {}

    def detector(model_type: str) -> Detector:
        if model_type not in made:
            folder = tmp_path_factory.mktemp(model_type)
            save_folder(model_type, folder, **({} if model_type == "yolos" else {"decoder_layers": LAYERS}))
            made[model_type] = load(folder, text="cat. remote dog." if model_type in WITH_TEXT else None)
            stir_classes(made[model_type].family.model)  # type: ignore[attr-defined]
        return made[model_type]

    return detector


def stir_classes(model: nn.Module) -> None:
    """As initialised, every query of every layer would score alike."""
    generator = torch.Generator().manual_seed(3)
    for name, value in model.named_parameters():
        if "class" in name and value.dim() == 2:
            value.data.copy_(torch.randn(value.shape, generator=generator))


def cut(model: Any, layers: int) -> Callable[[], None]:
    """Ends the decoder behind its first ``layers``; the answer gives it all of them back."""
    decoder = model.model.decoder
    was = {name: getattr(decoder, name) for name in ("layers", "class_embed", "eval_idx", "num_layers")
           if hasattr(decoder, name)}  # fmt: skip
    decoder.layers = decoder.layers[:layers]
    if "eval_idx" in was:
        decoder.eval_idx = layers - 1
    if "num_layers" in was:
        decoder.num_layers = layers
    if model.config.model_type == "pp_doclayout_v4":
        decoder.class_embed = decoder.class_embed[:layers]

    def mend() -> None:
        for name, value in was.items():
            setattr(decoder, name, value)

    return mend


@pytest.mark.parametrize("model_type", TELLING)
def test_a_layer_predicts_what_the_model_that_ends_there_predicts(
    opened: Callable[[str], Detector], model_type: str
) -> None:
    detector = opened(model_type)
    trace = detector.trace(PICTURE)
    found = trace.layer_outputs
    assert len(found) == LAYERS
    for layer, prediction in enumerate(found):
        mend = cut(detector.family.model, layer + 1)  # type: ignore[attr-defined]
        with torch.inference_mode():
            expected = detector.family.forward(trace.prepared.inputs)
        mend()
        assert_close(prediction.logits, expected.logits, atol=1e-5, rtol=1e-5)
        assert_close(prediction.boxes, expected.boxes, atol=1e-5, rtol=1e-5)
    assert not torch.equal(found[0].logits, found[1].logits)
    assert not torch.equal(found[0].boxes, found[1].boxes)


@pytest.mark.parametrize("model_type", TELLING)
def test_the_last_layer_is_the_detections(opened: Callable[[str], Detector], model_type: str) -> None:
    trace = opened(model_type).trace(PICTURE)
    *_, last = trace.layer_predictions
    for mine, theirs in zip(last, trace.detections, strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=1e-5)
        assert mine.box == pytest.approx(theirs.box, abs=1e-2)
        assert (mine.index, mine.label) == (theirs.index, theirs.label)


@pytest.mark.parametrize("model_type", TELLING)
def test_nothing_of_the_model_is_changed(opened: Callable[[str], Detector], model_type: str) -> None:
    detector = opened(model_type)
    model: nn.Module = detector.family.model  # type: ignore[attr-defined]
    trace = detector.trace(PICTURE)
    hooks = [len(part._forward_hooks) for part in model.modules()]
    assert trace.layer_predictions
    assert hooks == [len(part._forward_hooks) for part in model.modules()]
    assert not any(part.training for part in model.modules())
    assert torch.equal(detector.trace(PICTURE).logits, trace.logits)


def test_one_stack_of_cells_and_queries_does_not_tell(opened: Callable[[str], Detector]) -> None:
    assert opened("yolos").trace(PICTURE).layer_predictions == ()


@pytest.mark.parametrize("model_type", sorted({"conditional_detr", "d_fine", "rt_detr"}))
def test_a_built_model_in_training_tells_as_in_inference(model_type: str) -> None:
    model = tiny_model(model_type, decoder_layers=LAYERS).train()
    trace = load(model, device="cpu").trace(PICTURE)
    assert len(trace.layer_predictions) == LAYERS
    assert all(part.training for part in model.modules())


def test_a_built_model_with_auxiliary_loss_ends_with_its_own_answer() -> None:
    model = tiny_model("detr", decoder_layers=LAYERS, auxiliary_loss=True)  # its layers are normed one by one
    trace = load(model, device="cpu").trace(PICTURE)
    *_, last = trace.layer_outputs
    assert_close(last.logits[0], trace.logits)


@pytest.mark.parametrize("with_box_refine", [True, False])
@pytest.mark.parametrize("two_stage", [True, False])
def test_deformable_detr_of_every_make(with_box_refine: bool, two_stage: bool) -> None:
    if two_stage and not with_box_refine:
        pytest.skip("transformers has no two-stage model without refinement")
    model: Any = tiny_model(
        "deformable_detr", decoder_layers=LAYERS, with_box_refine=with_box_refine, two_stage=two_stage
    )
    trace = load(model, device="cpu").trace(PICTURE)
    mend = cut(model, 2)
    with torch.no_grad():
        expected = trace.detector.family.forward(trace.prepared.inputs)
    mend()
    assert_close(trace.layer_outputs[1].boxes, expected.boxes, atol=1e-5, rtol=0)


def test_a_model_that_predicts_otherwise_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = tiny_model("lw_detr", decoder_layers=LAYERS)
    trace = load(model, device="cpu").trace(PICTURE)
    output = type(model).forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = output(self, *args, **kwargs)
        given.pred_boxes = given.pred_boxes + 0.1
        return given

    monkeypatch.setattr(type(model), "forward", forward)
    assert trace.layer_predictions == ()


def test_pp_doclayout_v2_counts_queries_as_its_attention_does() -> None:
    model: Any = tiny_model("pp_doclayout_v2", decoder_layers=LAYERS)
    sure = torch.tensor([-9.0, 9.0, -9.0, 9.0, -9.0, 9.0])[:, None]  # the model puts what it keeps first
    model.model.decoder.class_embed[-1].register_forward_hook(lambda head, args, output: output + sure)
    trace = load(model, device="cpu").trace(PICTURE)
    with torch.no_grad():
        moved = model(trace.prepared.inputs["images"]).logits[0].max(-1).values > 0
    assert moved.tolist() == [True, True, True, False, False, False]
    assert [seen.score > 0.5 for seen in trace.detections] == [False, True, False, True, False, True]
    assert len(trace.layer_predictions) == LAYERS


def test_every_family_was_thought_of() -> None:
    assert set(EVERY) == set(KNOWN)

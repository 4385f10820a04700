"""Detectors that somebody else built, run as they are."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.detector import Detector
from detr_attnviz.errors import CaptureError, ChoiceError
from detr_attnviz.evaluation.choice import parse_methods
from detr_attnviz.evaluation.copies import copied
from detr_attnviz.evaluation.run import evaluate
from detr_attnviz.evaluation.settings import EvaluationSettings
from detr_attnviz.families.base import THRESHOLDS, Origin, Resize
from detr_attnviz.families.module import ModuleFamily
from detr_attnviz.families.own_code import OwnCode
from detr_attnviz.grid import common_grid
from detr_attnviz.sites import AttentionCall, AttentionSite, SampledCall
from tests.own_repository.models import MSDeformAttn, build_model
from tests.own_repository.util.misc import NestedTensor
from tests.tiny import NAMES, drawn_picture, write_picture

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")


class Notebook(nn.Module):
    """A fork in the manner of the official demo notebook: PyTorch's transformer on a small backbone."""

    def __init__(self, stride: int = 32, output: str = "pred_logits") -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 16, stride, stride=stride)
        self.transformer = nn.Transformer(16, 2, 2, 3, 32, dropout=0.0)
        self.linear_class = nn.Linear(16, len(NAMES) + 1)
        self.linear_bbox = nn.Linear(16, 4)
        self.query_pos = nn.Parameter(torch.rand(7, 16))
        self.output = output

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        tokens = self.backbone(images).flatten(2).permute(2, 0, 1)
        state = self.transformer(tokens, self.query_pos[:, None]).transpose(0, 1)
        return {self.output: self.linear_class(state), "pred_boxes": self.linear_bbox(state).sigmoid()}


@pytest.mark.parametrize("stride", [32, 16])
def test_a_fork_is_traced_as_it_is(stride: int) -> None:
    fork = Notebook(stride).eval()
    detector = av.load(fork, device="cpu", classes=NAMES)
    trace = detector.trace(drawn_picture(), shortest_px=128)
    with torch.inference_mode():
        expected = fork(trace.prepared.inputs["images"])
    assert torch.equal(trace.logits, expected["pred_logits"][0])
    assert (trace.grid.rows, trace.grid.cols) == (128 // stride, 192 // stride)
    assert trace.sites[0] == "encoder.0.self"
    assert trace.sites[-1] == "decoder.2.cross"
    maps = trace.attention("decoder.2.cross", queries=[6])
    assert maps.shape == (2, 1, 128 // stride, 192 // stride)
    assert_close(maps.sum((2, 3)), torch.ones(2, 1))
    assert trace.detections[0].name in NAMES


def test_a_fork_passes_verify_without_a_padding_column() -> None:
    proof = av.verify(av.load(Notebook(), device="cpu"), drawn_picture(), shortest_px=128)
    assert proof.passed
    assert {site.padding_mass for site in proof.sites} == {None}


def test_a_module_without_decoder_attention_is_sent_to_capture() -> None:
    with pytest.raises(ChoiceError, match=r"decoder.layers.N.multihead_attn; found none: use capture"):
        av.load(nn.Linear(3, 3))


def test_an_output_without_logits_says_so() -> None:
    with pytest.raises(ChoiceError, match="no pred_logits or logits: found dict"):
        av.load(Notebook(output="classes"))


def test_tokens_that_are_no_square_grid() -> None:
    fork = Notebook()
    fork.backbone = nn.Conv2d(3, 16, (32, 256), stride=(32, 256))
    with pytest.raises(ChoiceError, match="256×256 picture gave 8 tokens"):
        av.load(fork)


def test_a_model_that_rounds_its_grid_down() -> None:
    detector = av.load(Notebook(), device="cpu")
    trace = detector.trace(drawn_picture(100, 75), shortest_px=100)
    assert (trace.grid.input_height_px, trace.grid.input_width_px) == (100, 133)
    assert (trace.grid.rows, trace.grid.cols) == (3, 4)
    assert trace.attention("decoder.0.cross").shape == (2, 7, 3, 4)
    assert trace.grid.extent == (3, 4)
    assert trace.grid.token_at(99, 74) == trace.grid.tokens - 1
    av.render(av.explain(trace, queries=[0]))


def test_two_transformers_are_too_many_to_guess() -> None:
    fork = Notebook()
    fork.text = nn.Transformer(16, 2, 1, 1, 32)
    with pytest.raises(ChoiceError, match=r"several transformers \(text\., transformer\.\)"):
        av.load(fork)


def test_loading_leaves_the_module_as_it_was() -> None:
    fork = Notebook().train()
    fork.transformer.encoder.eval()
    detector = av.load(fork, classes=NAMES)
    detector.trace(drawn_picture(), shortest_px=128)
    assert fork.training
    assert not fork.transformer.encoder.training
    assert all(weight.requires_grad for weight in fork.parameters())


class Doubled(nn.MultiheadAttention):
    """Attention whose forward is its own."""

    def forward(self, query: Tensor, *args: object, **options: object) -> tuple[Tensor, Tensor | None]:
        return super().forward(2 * query, *args, **options)  # type: ignore[arg-type]


def test_attention_with_a_forward_of_its_own_is_not_misread() -> None:
    fork = Notebook()
    fork.transformer.decoder.layers[1].multihead_attn = Doubled(16, 2)
    with pytest.raises(CaptureError, match="Doubled has a forward of its own"):
        av.load(fork).trace(drawn_picture(), shortest_px=128)


def test_a_built_module_takes_no_heads() -> None:
    with pytest.raises(ChoiceError, match="knows its own heads"):
        av.load(Notebook(), nheads=4)


class Looking(nn.Module):
    """Cross-attention of its own, with separate projections; queries come without a batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(16, 16) for _ in range(4))

    def heads(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (2, 8))
        return split.transpose(1, 2)

    def forward(self, queries: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
        q, k, v = self.heads(self.to_q(queries[None])), self.heads(self.to_k(memory)), self.heads(self.to_v(memory))
        logits = (q @ k.mT / 8**0.5).masked_fill(padding[:, None, None], -torch.inf)
        mixed: Tensor = self.to_out((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return mixed


class Fork(nn.Module):
    """Takes a picture with its mask by name, and gives a pair; ``Looking`` is all of its attention."""

    def __init__(self, stride: int = 16) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 16, stride, stride)
        self.look = Looking()
        self.queries = nn.Parameter(torch.rand(7, 16))
        self.classes, self.boxes = nn.Linear(16, len(NAMES)), nn.Linear(16, 4)

    def forward(self, *, pixel_values: Tensor, pixel_mask: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(pixel_values)
        padding = nn.functional.interpolate(1 - pixel_mask[:, None].float(), features.shape[2:])[:, 0].bool()
        state = self.look(self.queries, features.flatten(2).mT, padding.flatten(1))
        return self.classes(state), self.boxes(state).sigmoid()


def read_looking(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    queries, memory, padding = args
    mask = torch.zeros(padding.shape).masked_fill(padding, -torch.inf)[:, None, None]
    query, key, value = module.to_q(queries[None]), module.to_k(memory), module.to_v(memory)
    out = module.to_out.weight.T.unflatten(0, (2, 8))
    return AttentionCall(module.heads(query), module.heads(key), 8**-0.5, mask, module.heads(value), out)


def padded_to(canvas_px: tuple[int, int]) -> Callable[[Any], dict[str, Tensor]]:
    """Pictures at 128 × 192 at the top left of a canvas (height, width), with a mask that is 1 on the picture."""

    def preprocess(image: Any) -> dict[str, Tensor]:
        pixels, mask = torch.zeros(1, 3, *canvas_px), torch.zeros(1, *canvas_px, dtype=torch.long)
        pixels[..., :128, :192] = av_pixels(image)
        mask[:, :128, :192] = 1
        return {"pixel_values": pixels, "pixel_mask": mask}

    return preprocess


def av_pixels(image: Any) -> Tensor:
    values = torch.tensor(list(image.resize((192, 128)).tobytes())).view(128, 192, 3)
    return values.permute(2, 0, 1)[None] / 255


def own(fork: nn.Module, **said: Any) -> Detector:
    """As ``av.load(fork, classes=NAMES, **said)``, with pictures of 128 px where nothing is said of them."""
    return Detector(ModuleFamily(fork, Resize(128, 192), NAMES, Origin("own"), OwnCode(**said)))


def looking_at(fork: Fork) -> list[AttentionSite]:
    return [AttentionSite("decoder.0.cross", "decoder-cross", 0, fork.look, read_looking)]


def own_fork(canvas_px: tuple[int, int] = (128, 192)) -> Detector:
    torch.manual_seed(3)
    fork = Fork()
    return own(fork, preprocess=padded_to(canvas_px), sites=looking_at(fork), score="sigmoid")


def test_a_fork_with_attention_of_its_own_is_traced() -> None:
    detector = own_fork()
    trace = detector.trace(drawn_picture())
    with torch.no_grad():
        logits, boxes = detector.family.model(**padded_to((128, 192))(drawn_picture()))  # type: ignore[attr-defined]
    assert torch.equal(trace.logits, logits[0])
    assert torch.equal(trace.boxes, boxes[0])
    assert trace.detections[2].score == pytest.approx(float(logits[0, 2].sigmoid().max()))
    assert detector.threshold == THRESHOLDS["sigmoid"]
    assert (trace.grid.rows, trace.grid.cols, trace.grid.stride_px) == (8, 12, 16)
    assert (trace.grid.width_px, trace.grid.input_width_px, trace.grid.canvas_px) == (96, 192, None)
    assert_close(trace.attention("decoder.0.cross").sum((2, 3)), torch.ones(2, 7))


def test_padding_changes_no_map() -> None:
    tight, wide = own_fork().trace(drawn_picture()), own_fork((176, 320)).trace(drawn_picture())
    assert wide.grid.canvas_px == (176, 320)
    assert (wide.grid.rows, wide.grid.cols) == (8, 12)
    assert_close(wide.logits, tight.logits)
    assert_close(wide.attention("decoder.0.cross"), tight.attention("decoder.0.cross"))
    assert wide.grid.cell_box(5) == tight.grid.cell_box(5)


@pytest.mark.parametrize("method", ["raw", "value-norm", "attn-gradcam"])
def test_methods_work_on_attention_of_its_own(method: str) -> None:
    explanation = av.explain(own_fork().trace(drawn_picture()), method=method, queries=[1, 4])
    assert explanation.maps.shape == (2, 8, 12)
    assert av.render(explanation).width > 100


def test_a_method_that_needs_other_sites_says_so() -> None:
    with pytest.raises(ChoiceError, match="needs encoder self-attention, and this detector has none that is recorded"):
        av.explain(own_fork().trace(drawn_picture()), method="relevance", queries=[1])


def test_a_fork_with_a_preprocess_is_evaluated(tmp_path: Any) -> None:
    class Plain(Fork):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().forward(pixel_values=images, pixel_mask=torch.ones_like(images[:, 0]))

    fork = Plain()
    detector = own(fork, preprocess=av_pixels, sites=looking_at(fork), score="sigmoid")
    settings = EvaluationSettings(parse_methods("raw"), shares=(0.5,), threshold=0, top_k=1, heads=())
    (picture,) = evaluate(detector, write_picture(tmp_path / "a.png"), settings).pictures
    (query,) = picture.queries
    assert {"raw", "random"} <= set(query.maps)


def test_a_copy_watches_its_own_attention() -> None:
    detector = own_fork()
    other: Any = copied(detector)
    assert any(other.sites[0].module is part for part in other.family.model.modules())
    assert other.sites[0].module is not detector.sites[0].module


def test_a_preprocess_decides_the_size() -> None:
    with pytest.raises(
        ChoiceError, match="preprocess decides how large the input is: leave shortest_px and longest_px"
    ):
        own_fork().trace(drawn_picture(), shortest_px=64)


def test_a_postprocess_has_the_last_word() -> None:
    fork = Notebook(output="classes")
    trace = own(fork, postprocess=lambda output: (output["classes"][..., :3], output["pred_boxes"])).trace(
        drawn_picture()
    )
    assert trace.logits.shape == (7, 3)
    assert {seen.label for seen in trace.detections} <= {0, 1}


@pytest.mark.parametrize("rows", [slice(0, 5), [6, 5]])
def test_an_output_without_a_row_for_each_query_is_refused(rows: Any) -> None:
    fork = Fork()
    with pytest.raises(ChoiceError, match=r"output has \d rows, but decoder.0.cross has 7 queries.*no sorting"):
        own(
            fork,
            preprocess=padded_to((128, 192)),
            postprocess=lambda output: tuple(part[:, rows] for part in output),
            sites=looking_at(fork),
        )


def broken(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    return AttentionCall(kwargs["q"], kwargs["k"], 1.0)


def flat(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AttentionCall:
    return AttentionCall(args[0], args[1], 1.0)


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({"read": broken}, "reader of decoder.0.cross failed on a call of Looking: KeyError: 'q'"),
        (
            {"read": flat},
            r"gave AttentionCall with query \[7, 16\] and key .* AttentionCall with query and key \[batch",
        ),
        ({"read": read_looking, "form": "sampled"}, "its form is 'sampled', so a SampledCall"),
    ],
)
def test_a_reader_is_tried_before_any_picture(site: dict[str, Any], words: str) -> None:
    fork = Fork()
    with pytest.raises(CaptureError, match=words):
        own(
            fork,
            preprocess=padded_to((128, 192)),
            sites=[AttentionSite("decoder.0.cross", "decoder-cross", 0, fork.look, **site)],
        )


def test_a_module_that_fails_on_the_blank_picture_keeps_its_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        own(Notebook(), preprocess=lambda image: torch.zeros(1, 1, 64, 64))
    assert "on a blank picture of 64×64 px" in caught.value.__notes__[0]


def read_deformable(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> SampledCall:
    query, references, _, shapes = args[:4]
    offsets = module.sampling_offsets(query).unflatten(-1, (module.n_heads, module.n_levels, module.n_points, 2))
    locations = references[:, :, None, :, None] + offsets / shapes.flip(-1)[:, None]
    return SampledCall(
        locations.flatten(3, 4).transpose(1, 2),
        module.attention_weights(query).unflatten(-1, (module.n_heads, -1)).softmax(-1).transpose(1, 2),
        levels=tuple(level for level in range(module.n_levels) for _ in range(module.n_points)),
        shapes=tuple((rows, cols) for rows, cols in shapes.tolist()),
        reference=references[:, :, 0],
    )


def sampling_fork(canvas_px: tuple[int, int]) -> Detector:
    torch.manual_seed(5)
    fork: Any = build_model(argparse.Namespace(hidden_dim=16, nheads=2, enc_layers=1, dec_layers=1, num_queries=6))[0]
    encoder, decoder = fork.transformer.encoder.layers[0], fork.transformer.decoder.layers[0]
    sites = [
        AttentionSite("encoder.0.self", "encoder-self", 0, encoder.self_attn, read_deformable, "sampled"),
        AttentionSite("decoder.0.self", "decoder-self", 0, decoder.self_attn),
        AttentionSite("decoder.0.cross", "decoder-cross", 0, decoder.cross_attn, read_deformable, "sampled"),
    ]

    def preprocess(image: Any) -> NestedTensor:
        given = padded_to(canvas_px)(image)
        return NestedTensor(given["pixel_values"], given["pixel_mask"] == 0)

    assert isinstance(decoder.cross_attn, MSDeformAttn)
    return own(fork, preprocess=preprocess, sites=sites, score="sigmoid")


def test_sampled_attention_of_its_own_has_a_grid_for_each_level() -> None:
    tight, wide = (sampling_fork(canvas_px).trace(drawn_picture()) for canvas_px in ((128, 192), (256, 256)))
    assert [(grid.stride_px, grid.rows, grid.cols) for grid in wide.levels] == [(8, 16, 24), (16, 8, 12)]
    assert wide.grid == common_grid(wide.levels)
    assert_close(wide.logits, tight.logits, atol=1e-5, rtol=1e-5)
    for level in (None, 0, 1):
        narrow = tight.attention("decoder.0.cross", level=level)
        assert_close(wide.attention("decoder.0.cross", level=level), narrow, atol=1e-5, rtol=1e-5)
    samples = av.explain(wide, queries=[2]).samples
    assert samples is not None
    cx, cy = tight.boxes[2, :2] * torch.tensor([96, 64])
    assert_close(torch.tensor(samples.references[0]), torch.stack((cx, cy)), atol=1e-3, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_was_given_goes_to_the_module_s_device() -> None:
    on_host = sampling_fork((256, 256)).trace(drawn_picture())
    detector = sampling_fork((256, 256))
    detector.family.settle(torch.device("cuda"), "fp32")
    trace = detector.trace(drawn_picture())
    assert trace.logits.device.type == "cuda"
    assert_close(trace.attention("decoder.0.cross").cpu(), on_host.attention("decoder.0.cross"), atol=1e-4, rtol=1e-4)

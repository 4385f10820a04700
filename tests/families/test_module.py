"""Detectors that somebody else built, run as they are."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import detr_attnviz as av
from detr_attnviz.errors import CaptureError, ChoiceError
from tests.tiny import NAMES, drawn_picture

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

"""The sentences of the page say what Python says of the same maps."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import detr_attnviz as av
from detr_attnviz.explanation import Kind
from detr_attnviz.explorer.page import explore
from detr_attnviz.methods.definitions import definition_of
from detr_attnviz.methods.explain import explain
from detr_attnviz.trace import Trace
from tests.explorer.browser import OpenPage
from tests.explorer.interface import album_html, demo_html, demo_trace, edited, painted, says, settled, state
from tests.hf.saved import save_folder
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

HEADS = ("mean", "max", "entropy-weighted", 1)
POINT = (30.0, 40.0)
DEFINED = """wanted => {
    const { state } = attnviz;
    state.set(wanted);
    return attnviz.words.definition({ ...attnviz.shown.now(), state: state.get() });
}"""
Choice = dict[str, Any]


def check_definitions(page: "Page", trace: Trace, kind: Kind, **choice: Any) -> None:
    """Of all heads' joins; ``choice`` is of the page, whose words for "all levels" and "from" Python leaves out."""
    names = {"level": "level", "direction": "direction", "term": "term"}
    where: Choice = {"points": POINT} if kind == "encoder" else {"queries": [0]}
    more = {names[name]: value for name, value in choice.items() if value != "all"}
    for head in HEADS:
        if (choice.get("direction"), head) == ("to", "entropy-weighted"):
            continue
        own = page.evaluate(DEFINED, {"view": kind, "layer": 0, "head": head, **choice})
        assert own == definition_of(explain(trace, kind=kind, layer=0, head=head, **where, **more)), head
        assert "{" not in own


@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder-self"])
def test_definitions_of_dense_attention(open_page: OpenPage, kind: Kind) -> None:
    check_definitions(open_page(demo_html()), demo_trace(), kind)


def test_the_definition_of_who_looks_at_a_cell(open_page: OpenPage) -> None:
    check_definitions(open_page(demo_html()), demo_trace(), "encoder", direction="to")


@pytest.mark.parametrize("kind", ["cross", "encoder"])
def test_definitions_of_sampled_attention_and_of_one_level(open_page: OpenPage, kind: Kind) -> None:
    trace = sampling_detector().trace(drawn_picture(192, 150))
    page = open_page(explore(trace, point_levels=[0]).html)
    for level in ("all", 0, 2):
        check_definitions(page, trace, kind, level=level)


@pytest.fixture
def joint_trace(tmp_path: Path) -> Trace:
    """Of a model whose cells and queries are tokens of one attention."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    return av.load(save_folder("yolos", tmp_path)).trace(drawn_picture(192, 150))


def test_definitions_of_joint_attention(joint_trace: Trace, open_page: OpenPage) -> None:
    page = open_page(explore(joint_trace).html)
    for kind in ("cross", "encoder", "decoder-self"):
        check_definitions(page, joint_trace, kind)


def test_definitions_of_terms(tmp_path: Path, open_page: OpenPage) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    trace = av.load(save_folder("conditional_detr", tmp_path)).trace(drawn_picture(192, 150))
    check_definitions(open_page(explore(trace).html), trace, "cross", term="spatial")


def percent(page: "Page", where: str) -> float:
    """The number before ``where`` under the picture; 0 when it is not there."""
    found = re.search(rf"([\d.]+)\u00a0% {where}", page.inner_text("#range"))
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("head", ["mean", "entropy-weighted", 2])
def test_what_falls_outside_the_picture_is_joined_as_the_map(open_page: OpenPage, head: str | int) -> None:
    trace = sampling_detector().trace(drawn_picture(192, 150))
    page = open_page(explore(trace).html)
    queries = range(5)
    rests = {way: [100 * part for part in explain(trace, head=way, queries=queries).rest] for way in ("mean", head)}
    if head != "mean":
        apart = max(abs(one / other - 1) for one, other in zip(rests["mean"], rests[head], strict=True))
        assert apart > 0.1, "the mean would say another number"
    for query, rest in enumerate(rests[head]):
        page.evaluate("wanted => attnviz.state.set(wanted)", {"query": query, "head": head})
        settled(page, query=query, head=head)
        assert percent(page, "outside the picture") == pytest.approx(rest, rel=0.06)


@pytest.mark.parametrize("head", ["mean", "entropy-weighted"])
def test_what_other_tokens_have_is_joined_as_the_map(joint_trace: Trace, open_page: OpenPage, head: str) -> None:
    page = open_page(explore(joint_trace).html, at=f"#h={head}&q=1&l=1")
    settled(page, head=head, query=1)
    rest = explain(joint_trace, head=head, queries=[1], layer=1).rest[0]
    assert percent(page, "on other tokens") == pytest.approx(100 * rest, rel=0.06)


@pytest.mark.parametrize("head", ["mean", "entropy-weighted", 0])
def test_with_one_level_the_share_of_the_others_is_said(open_page: OpenPage, head: str | int) -> None:
    trace = sampling_detector().trace(drawn_picture(192, 150))
    page = open_page(explore(trace).html, at=f"#q=1&h={head}")
    settled(page, query=1, head=head)
    assert percent(page, "on other levels") == 0.0
    page.evaluate("attnviz.state.set({ level: 0 })")
    settled(page, level=0)
    samples = explain(trace, head=head, queries=[1], level=0).samples
    assert samples is not None
    assert percent(page, "on other levels") == pytest.approx(100 * (1 - samples.weights[0].sum()), rel=0.06)


def test_what_cannot_be_compared_is_not_called_exact(open_page: OpenPage) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["pictures"][0]["kinds"]["cross"][1]["error"] = None

    page = open_page(edited(demo_html(), forget), at="#l=1")
    settled(page, layer=1)
    page.click("#open-details")
    says(page, "not known: some values are no numbers", "#details")
    page.evaluate("attnviz.state.set({ view: 'decoder-self', layer: 0 })")
    says(page, "values differ from the model's own by", "#details")


def test_a_picture_without_any_map_can_still_be_seen(open_page: OpenPage) -> None:
    def emptied(document: dict[str, Any]) -> None:
        picture = document["pictures"][1]
        picture["kinds"] = {kind: [] for kind in picture["kinds"]}
        picture["methods"] = []
        picture["notes"] = ["its grids do not fit"]

    page = open_page(edited(album_html(), emptied))
    page.keyboard.press("n")
    settled(page, picture=1, view="")
    best = max(demo_trace("landscape").detections, key=lambda one: one.score)
    says(page, f"{best.name} {best.score:.2f} query {best.index} this page holds no map of this picture")
    assert painted(page, "overlay") == 0
    page.click("#detections li:nth-child(2)")
    page.click("#theme >> text=dark")
    settled(page, theme="dark")
    assert page.evaluate("attnviz.state.get().query") != best.index
    page.click("#open-details")
    says(page, "its grids do not fit", "#details")
    says(page, f"query {state(page)['query']}, this page holds no map of this picture.", "#details")
    page.click("#close-details")
    with page.expect_download() as found:
        page.click("#save")
    assert found.value.suggested_filename.startswith("shapes_landscape_query-")
    page.keyboard.press("p")
    settled(page, picture=0, view="cross")
    says(page, "decoder cross-attention")


def test_without_a_map_of_the_encoder_no_detection_is_asked_for(open_page: OpenPage) -> None:
    said = open_page(demo_html()).evaluate('attnviz.words.range({ view: "encoder", values: null, method: null })')
    assert said == "no cell here: choose another place"


def test_a_query_without_a_methods_map_says_so(open_page: OpenPage) -> None:
    page = open_page(album_html(), at="#v=relevance&q=0&t=0")
    settled(page, view="relevance", query=0)
    says(page, "not computed for query 0")
    assert painted(page, "overlay") == 0


def test_details_say_what_is_shown_and_where_it_is_from(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#l=2&h=3")
    settled(page, layer=2, head=3)
    page.click("#open-details")
    details = page.inner_text("#details")
    for words in (
        "Decoder cross-attention of an object query, layer 2, head 3 alone: softmax(q kᵀ / √d)",
        "2c4031905a8a096d",
        "shapes_square.png",
        "512 × 512 px",
        "21 rows × 21 columns",
        "detr_attnviz",
    ):
        assert words in details
    assert "{" not in details
    page.click("#close-details")
    assert not page.is_visible("#details")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0"),
        (1.7e-7, "<0.01"),
        (9.9e-5, "<0.01"),
        (1e-4, "0.01"),
        (0.00042, "0.042"),
        (0.5, "50"),
        (-1e-5, ">−0.01"),
    ],
)
def test_shares_have_one_rule(open_page: OpenPage, share: float, words: str) -> None:
    page = open_page(demo_html())
    amount = page.evaluate("share => attnviz.words.amount({ isAttention: true }, share)", share)
    assert amount.replace("\u00a0%", "").rstrip("0").rstrip(".") == words.rstrip("0").rstrip(".")
    assert amount.endswith("\u00a0%")


def test_signed_ranges_name_the_quantity_once(open_page: OpenPage) -> None:
    page = open_page(album_html(), at="#v=decompose")
    settled(page, view="decompose")
    assert re.match(r"−[\d.]+ to [\d.]+ logit,", page.inner_text("#range"))


def test_queries_have_no_pixel(open_page: OpenPage) -> None:
    page = open_page(demo_html(), at="#v=decoder-self")
    settled(page, view="decoder-self")
    assert not page.is_visible("#pixel-name")
    assert "pixel" not in page.inner_text("#reading")
    page.click("#views >> text=Cross-attention")
    settled(page, view="cross")
    assert page.is_visible("#pixel-name")


def test_settings_of_the_model_are_said_in_words(open_page: OpenPage) -> None:
    def dilated(document: dict[str, Any]) -> None:
        document["model"]["provenance"] |= {"dilation": "True", "two_stage": "False"}

    page = open_page(edited(demo_html(), dilated))
    page.click("#open-details")
    says(page, "yes", "#details")
    assert not re.search("True|False", page.inner_text("#details"))

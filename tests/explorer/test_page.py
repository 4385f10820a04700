import base64
import gc
import hashlib
import json
import re
import weakref
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from detr_attnviz.detector import Detector
from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.explorer import assets, page
from detr_attnviz.explorer.page import explore
from detr_attnviz.trace import Trace
from tests.explorer.reading import ReadPage
from tests.methods.sampling import sampling_detector
from tests.tiny import drawn_picture, tiny_detector

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "\"'`&amp;<img src=x onerror=alert(1)>",
    "a\0b\n\tc",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "\ud800 lone",
    "🦊 שלום \N{LINE SEPARATOR}",
)


class Elements(HTMLParser):
    """Every tag that a browser would see, and the text in scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._is_open = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")
        self._is_open = True

    def handle_endtag(self, tag: str) -> None:
        self._is_open = False

    def handle_data(self, data: str) -> None:
        if self._is_open:
            self.texts[-1] += data

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, text) for (name, attrs), text in zip(self.tags, self.texts, strict=True) if name == tag]


@pytest.fixture
def detector() -> Detector:
    return tiny_detector()


@pytest.fixture
def trace(detector: Detector) -> Trace:
    return detector.trace(drawn_picture())


def test_the_same_trace_makes_the_same_bytes(detector: Detector, trace: Trace) -> None:
    assert explore(trace).html == explore(detector.trace(drawn_picture())).html


def test_a_page_is_saved_whole(trace: Trace, tmp_path: Path) -> None:
    found = explore(trace)
    path = found.save(tmp_path / "page.html")
    assert path.read_bytes() == found.html
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_saved_says_why(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; make it first"):
        explore(trace).save(tmp_path / "missing" / "page.html")


def test_scripts_and_style_are_allowed_by_their_hashes_and_nothing_else_is(trace: Trace) -> None:
    elements = Elements(explore(trace).html.decode())
    (policy,) = [attrs["content"] for attrs, _ in elements.of("meta") if "http-equiv" in attrs]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        running = [text for attrs, text in elements.of(tag) if "type" not in attrs]
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
        assert rules[rule].split() == [f"'sha256-{found}'" for found in hashes]
        assert running


def test_no_address_and_no_code_in_attributes(trace: Trace) -> None:
    elements = Elements(explore(trace).html.decode())
    for tag, attrs in elements.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        assert not attrs.get("src")
        assert (attrs.get("href") or "#").startswith("#")


def test_every_script_of_the_folder_runs_once_and_what_others_need_runs_before_them() -> None:
    order = assets.script_names()
    folder = Path(assets.__file__).parent / "assets"
    assert sorted(order) == sorted(path.stem for path in folder.glob("*.js"))
    for number, name in enumerate(order):
        at_load = re.findall(r"^  const \{[^}]*\} = attnviz\.(\w+);", assets._asset(f"{name}.js"), re.MULTILINE)
        assert set(at_load) <= set(order[:number]), name


@pytest.mark.parametrize("name", [*(f"{name}.js" for name in assets.script_names()), "page.css", "page.html"])
def test_no_file_of_the_page_ends_its_own_tag(name: str) -> None:
    text = assets._asset(name)
    assert text
    assert not re.search(r"</(script|style|body|html)|<!--", text, re.IGNORECASE)
    assert "\r" not in text
    assert text.isprintable() or set(filter(lambda letter: not letter.isprintable(), text)) <= {"\n"}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data_whatever_they_hold(detector: Detector, trace: Trace, name: str) -> None:
    plain = Elements(explore(trace).html.decode())
    detections = tuple(replace(detection, name=name) for detection in trace.detections)
    hostile = replace(trace, source=f"folder/{name}", detections=detections)
    detector.family.origin = replace(detector.family.origin, name=name, notes=(name,))
    vars(detector).pop("provenance", None)
    html = explore(hostile, title=name).html.decode()
    elements = Elements(html)
    assert [tag for tag, _ in elements.tags] == [tag for tag, _ in plain.tags]
    ((_, text),) = [one for one in elements.of("script") if one[0].get("id") == "document"]
    document = json.loads(text)
    text.encode("ascii")
    assert document["pictures"][0]["detections"][0]["name"] == document["model"]["name"]
    ((_, title),) = elements.of("title")
    assert title == document["model"]["name"]
    assert "\0" not in html


def test_markup_in_names_stays_what_it_says(trace: Trace) -> None:
    detections = tuple(replace(detection, name="</script><b>") for detection in trace.detections)
    found = ReadPage(explore(replace(trace, detections=detections)))
    assert found.picture["detections"][3]["name"] == "</script><b>"


def test_numbers_that_json_has_no_word_for_are_null(trace: Trace) -> None:
    detections = tuple(replace(detection, score=float("nan")) for detection in trace.detections)
    found = ReadPage(explore(replace(trace, detections=detections)))
    assert found.picture["detections"][0]["score"] is None


def test_several_pictures_are_one_page_and_share_what_is_the_same(detector: Detector) -> None:
    traces = [detector.trace(drawn_picture(96, 64)), detector.trace(drawn_picture(64, 96))]
    found = explore(traces)
    read = ReadPage(found)
    assert found.pictures == len(read.document["pictures"]) == 2
    assert read.document["title"] == "2 pictures · tiny"
    first, second = (picture["kinds"]["decoder-self"][0] for picture in read.document["pictures"])
    assert first["query"] == second["query"]  # the first decoder layer has not yet seen a picture
    assert read.document["pictures"][1]["width_px"] == 64


def test_a_generators_traces_are_let_go_one_by_one(detector: Detector) -> None:
    alive: list[Any] = []

    def traces() -> Iterator[Trace]:
        for width in (96, 64, 80):
            gc.collect()
            assert all(made() is None for made in alive)
            trace = detector.trace(drawn_picture(width, 64))
            alive.append(weakref.ref(trace))
            yield trace
            del trace

    assert explore(traces()).pictures == 3


def test_no_traces_make_no_page() -> None:
    with pytest.raises(ChoiceError, match="no traces to make a page of"):
        explore(iter(()))


def test_what_is_no_trace_is_refused() -> None:
    with pytest.raises(ChoiceError, match=r"made of traces, detector.trace\(picture\); found str"):
        explore(["street.jpg"])  # type: ignore[list-item]


def test_one_method_may_be_named_alone(trace: Trace) -> None:
    assert explore(trace, methods="rollout").html == explore(trace, methods=["rollout", "rollout"]).html


def test_traces_of_two_detectors_are_refused(trace: Trace) -> None:
    other = sampling_detector().trace(drawn_picture(150, 110))
    with pytest.raises(ChoiceError, match=r"traces of one page are of one detector; found .*tiny.*Sampler"):
        explore([trace, other])


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (-1, ["decoder.1.cross", "encoder.0.self", "decoder.1.self"]),
        (1, ["decoder.1.cross", "decoder.1.self"]),
        ((0, -1), ["decoder.0.cross", "decoder.1.cross", "encoder.0.self", "decoder.0.self", "decoder.1.self"]),
    ],
)
def test_layers_are_those_that_were_chosen(trace: Trace, layers: Any, names: list[str]) -> None:
    kinds = ReadPage(explore(trace, layers=layers)).picture["kinds"]
    assert [site["name"] for sites in kinds.values() for site in sites] == names


def test_a_page_without_encoder_is_smaller(trace: Trace) -> None:
    found = explore(trace, encoder=False)
    assert ReadPage(found).sites("encoder") == []
    assert len(found.html) < len(explore(trace).html)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"layers": 7}, "no layer 7"),
        ({"layers": "most"}, "it must be a layer's number"),
        ({"methods": ("raw",)}, "raw need not be asked for: the page has attention itself.*rollout"),
        ({"methods": ("relevanz",)}, "no method 'relevanz': methods to add to a page are rollout"),
        ({"threshold": 1.5}, "threshold is 1.5: it must be in 0–1"),
        ({"point_levels": (0,)}, "no sampled attention"),
    ],
)
def test_what_is_not_there_is_refused(trace: Trace, choices: dict[str, Any], words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        explore(trace, **choices)


def test_all_that_a_detector_lacks_is_said_at_once_and_before_any_map(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = sampling_detector().trace(drawn_picture(150, 110))
    monkeypatch.setattr(page, "picture_row", None)
    with pytest.raises(ChoiceError, match=r"method relevance needs .*; method value-norm needs .*; no layer 9"):
        explore(trace, methods=("relevance", "value-norm"), layers=(0, 9))


def test_a_large_page_says_so(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explore(trace).notes == ()
    monkeypatch.setattr(page, "LARGE_BYTES", 10_000)
    (note,) = explore(trace).notes
    assert re.search(r"the page holds \d+ MB: .*no encoder.* make it smaller", note)


def test_a_notebook_gets_the_same_page_in_a_frame(trace: Trace) -> None:
    found = explore(trace)
    framed = found._repr_html_()
    match = re.fullmatch(r'<iframe srcdoc="([^"]*)" width="100%" height="720" [^<>]*></iframe>', framed)
    assert match is not None
    assert unescape(match[1]).encode() == found.html


def test_layers_that_only_a_left_out_encoder_has_make_no_empty_page() -> None:
    trace = tiny_detector(encoder_layers=3, decoder_layers=1).trace(drawn_picture())
    with pytest.raises(ChoiceError, match="no layer 2 in the attention that the page would hold: cross has 0; decoder"):
        explore(trace, layers=2, encoder=False)
    assert explore(trace, layers=2).pictures == 1


def test_a_page_without_any_map_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detr_attnviz.explorer.document._misfit", lambda trace, name: f"{name} is left out: odd")
    trace = tiny_detector().trace(drawn_picture())
    with pytest.raises(ChoiceError, match=r"the page would hold no map: decoder\.0\.cross is left out: odd"):
        explore(trace)
    assert explore(trace, methods=["relevance"]).pictures == 1


def test_words_are_of_all_pictures_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = sampling_detector()
    traces = [detector.trace(drawn_picture(), shortest_px=128, longest_px=192) for _ in range(2)]
    monkeypatch.setattr(
        "detr_attnviz.explorer.document._misfit", lambda trace, name: "odd" if trace is traces[0] else ""
    )
    assert "Deformable" in ReadPage(explore(traces)).document["words"]["cross"]["from"]


def test_a_page_is_not_written_under_a_pictures_name(tmp_path: Path) -> None:
    found = explore(tiny_detector().trace(drawn_picture()))
    with pytest.raises(OutputError, match=r"street\.png: a page is written as \.html or \.htm"):
        found.save(tmp_path / "street.png")
    assert found.save(tmp_path / "street.HTM").is_file()

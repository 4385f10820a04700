"""The report as one file."""

import re
from html.parser import HTMLParser

from detr_attnviz.evaluation.bootstrap import FEWEST_PICTURES
from detr_attnviz.evaluation.page import html_page
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.summary import summarise
from tests.evaluation.fakes import evaluation_of, query_result

VOID = {"meta", "img"}


class Tags(HTMLParser):
    """Checks that what is opened is closed, and gathers the words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def evaluation() -> Evaluation:
    query = query_result({"raw": [4, 1, 0], "raw:max": [4, 3, 0]}, heads=(-1.0, 0.0))
    return evaluation_of([[query]] * FEWEST_PICTURES + [[]], failures=(("<bad>.jpg", "no & picture"),))


def parsed(page: bytes) -> Tags:
    tags = Tags()
    tags.feed(page.decode())
    tags.close()
    assert tags.open == []
    return tags


def test_page_holds_tables_curves_heads_and_meanings() -> None:
    found = evaluation()
    page = html_page(found, summarise(found)).decode()
    words = " ".join(parsed(page.encode()).words)
    assert "Which maps tell the truth about <pixels>?" in words
    for piece in (
        "10 object queries in 10 pictures",
        "In 1 more no query",
        "Class logit",
        "Curves",
        "Place",
        "Heads of",
    ):
        assert piece in words, piece
    assert "arXiv 1810.03292" in words
    assert "raw, raw:max" in words  # the settings
    assert page.count("data:image/svg+xml;base64,") == 2
    assert '<td class="marked">0.375 <span>±0.000</span></td>' in page


def test_page_needs_nothing_else() -> None:
    found = evaluation()
    page = html_page(found, summarise(found)).decode()
    assert not {"script", "link", "iframe"} & parsed(page.encode()).seen
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert re.findall(r"url\(|@import", page) == []


def test_names_from_outside_are_escaped() -> None:
    found = evaluation()
    page = html_page(found, summarise(found)).decode()
    assert "&lt;bad&gt;.jpg" in page
    assert "no &amp; picture" in page
    assert "&lt;pixels&gt;" in page
    assert "<bad>" not in page
    assert "<pixels>" not in page


def test_page_without_queries_says_so() -> None:
    nothing = evaluation_of([[]])
    words = " ".join(parsed(html_page(nothing, summarise(nothing))).words)
    assert "No query was chosen in any picture" in words


def test_same_page_again() -> None:
    found = evaluation()
    assert html_page(found, summarise(found)) == html_page(found, summarise(found))

"""The files of the page's looks."""

import re
from pathlib import Path

import pytest

from detr_attnviz.explorer import assets

FOLDER = Path(assets.__file__).parent / "assets"
STYLES = sorted(path.name for path in FOLDER.glob("*.css"))


def test_every_style_of_the_folder_is_on_the_page_in_order() -> None:
    html = assets.html_page("", {}, []).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    texts = {name: (FOLDER / name).read_text(encoding="utf-8") for name in STYLES}
    assert len(style.splitlines()) == sum(len(text.splitlines()) for text in texts.values()) + len(texts) - 1
    places = {name: style.index(text) for name, text in texts.items()}
    assert min(places, key=places.__getitem__) == "theme.css"
    assert max(places, key=places.__getitem__) == "windows.css", "sizes overrule all else"


@pytest.mark.parametrize("name", STYLES)
def test_no_style_ends_its_own_tag_or_asks_for_an_address(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"</style|<!--|url\(|@import", text, re.IGNORECASE)
    assert "\r" not in text

"""The page around the data: markup, style and scripts, inlined, and the policy that lets nothing else in."""

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from detr_attnviz.drawing.text import clean
from detr_attnviz.explorer.arrays import Row

_FIRST = ("arrays", "grid", "attention", "sampled", "colour", "state", "elements", "lettering", "tiles")
"""Scripts that others take apart as they load; the rest only name each other once all are there."""
_LAST = "main"
_STYLES = ("theme", "page", "side", "sheets", "windows")
"""From what all share to what a window's size changes: a later one overrules those before it."""


def html_page(title: str, document: Row, tags: Iterable[bytes]) -> bytes:
    """One file that contacts no address; whatever comes from outside is data, never markup."""
    scripts, style = _scripts(), "\n".join(_asset(f"{name}.css") for name in _STYLES)
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts, style)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(clean(title))}</title><style>{style}</style></head>\n"
        f"<body>\n{_asset('page.html')}\n"
    )
    data = f'<script type="application/json" id="document">{as_json(document)}</script>\n'
    code = "".join(f"<script>{script}</script>\n" for script in scripts)
    return b"".join([head.encode(), data.encode(), *tags, code.encode(), b"</body></html>\n"])


def as_json(document: Row) -> str:
    """ASCII that no parser of HTML can take for markup."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _policy(scripts: Iterable[str], style: str) -> str:
    return (
        "default-src 'none'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)}"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _scripts() -> list[str]:
    return [_asset(f"{name}.js") for name in script_names()]


def script_names() -> list[str]:
    """All scripts of the page, in the order in which they run."""
    names = [file.name.removesuffix(".js") for file in _folder().iterdir() if file.name.endswith(".js")]
    return [*_FIRST, *sorted(set(names) - {*_FIRST, _LAST}), _LAST]


def _asset(name: str) -> str:
    return _folder().joinpath(name).read_text(encoding="utf-8")


def _folder() -> Traversable:
    return files("detr_attnviz.explorer").joinpath("assets")

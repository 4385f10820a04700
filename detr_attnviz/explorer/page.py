"""``explore``: traces in, one HTML file out that computes every map of them when asked, and contacts no address."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from detr_attnviz.errors import ChoiceError, OutputError
from detr_attnviz.explorer.arrays import Arrays, Row
from detr_attnviz.explorer.assets import html_page
from detr_attnviz.explorer.document import document_row, model_row, picture_row
from detr_attnviz.explorer.names import picture_names
from detr_attnviz.explorer.wanted import Wanted
from detr_attnviz.files import write_atomically
from detr_attnviz.methods.catalogue import ALL, Layers
from detr_attnviz.trace import Trace

SUFFIXES = (".html", ".htm")
LARGE_BYTES = 40_000_000
_PROMISED = 2e-3
_FRAME_PX = 720


@dataclass(frozen=True, eq=False)
class Page:
    """One self-contained HTML file.

    ``largest_error`` is how far any of its attention maps is from the record's own, as a part of the map's peak.
    """

    html: bytes = field(repr=False)
    pictures: int
    largest_error: float
    notes: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the file, as a whole or not at all.

        Raises: OutputError, also for a name that does not end in .html or .htm.
        """
        goal = Path(path)
        if goal.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{goal}: a page is written as {' or '.join(SUFFIXES)}; give a name that ends so")
        write_atomically(goal, self.html)
        return goal

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html.decode())}" width="100%" height="{_FRAME_PX}" '
            'style="border: 0" title="Where the detector looks"></iframe>'
        )


def explore(
    traces: Trace | Iterable[Trace],
    *,
    layers: Layers = ALL,
    methods: Sequence[str] = (),
    encoder: bool = True,
    point_levels: Sequence[int] | None = None,
    threshold: float | None = None,
    title: str = "",
) -> Page:
    """A page on which a reader chooses picture, object or place, layer and head, and sees the map at once.

    ``traces`` are of one detector; of a generator each is let go before the next. ``layers`` and ``encoder`` say which
    attention the page holds, ``methods`` whose maps are computed beforehand for the queries that score at least
    ``threshold``, or the three best. ``point_levels`` are the levels of a sampled encoder whose cells can be looked
    from, by default those of 32 px a cell and more.

    Raises: ChoiceError for no traces, for what this detector lacks, and when no map at all would be on the page.
    """
    levels = None if point_levels is None else tuple(point_levels)
    names = (methods,) if isinstance(methods, str) else tuple(dict.fromkeys(methods))
    wanted = Wanted(layers, names, encoder, levels, threshold)
    arrays, pictures, sources, model, detector = Arrays(), [], [], None, None
    for trace in (traces,) if isinstance(traces, Trace) else traces:
        if not isinstance(trace, Trace):
            raise ChoiceError(f"a page is made of traces, detector.trace(picture); found {type(trace).__name__}")
        if model is None:
            detector = trace.detector
            wanted.check(detector)
            model = model_row(trace, detector.threshold if threshold is None else threshold)
        if trace.detector is not detector:
            raise ChoiceError(f"traces of one page are of one detector; found {detector} and {trace.detector}")
        pictures.append(picture_row(trace, wanted, arrays))
        sources.append(trace.source)
        del trace  # else a generator's is still there while it makes the next
    if model is None:
        raise ChoiceError("there are no traces to make a page of: trace at least one picture")
    if not any(True for _ in _sites(pictures)) and not wanted.methods:
        told = [note for picture in pictures for note in picture["notes"]]
        raise ChoiceError(f"the page would hold no map: {'; '.join(told[:3]) or 'choose other layers, or methods'}")
    named = [{"name": name, **row} for name, row in zip(picture_names(sources), pictures, strict=True)]
    document = document_row(named, model, title or _title(named, model))
    html = html_page(document["title"], document, arrays.tags())
    error = max((site["error"] for site in _sites(pictures)), default=0.0)
    return Page(html, len(pictures), error, tuple(_notes(html, document, error)))


def _sites(pictures: Iterable[Row]) -> Iterator[Row]:
    return (site for picture in pictures for sites in picture["kinds"].values() for site in sites)


def _title(pictures: Sequence[Row], model: Row) -> str:
    what = pictures[0]["name"] if len(pictures) == 1 else f"{len(pictures)} pictures"
    return f"{what} · {model['name']}"


def _notes(html: bytes, document: Row, error: float) -> Iterator[str]:
    for picture in document["pictures"]:
        yield from (f"{picture['name']}: {note}" for note in picture["notes"])
    if error > _PROMISED:
        yield (
            f"a map of the page is up to {error:.1g} of its peak from the record's own: the logits are so large that "
            "float32 itself does not fix them"
        )
    if len(html) > LARGE_BYTES:
        yield f"the page holds {len(html) / 1e6:.0f} MB: fewer layers, no encoder or fewer pictures make it smaller"

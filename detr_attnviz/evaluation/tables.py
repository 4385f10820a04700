"""The summary as tables of text, the same on the terminal and in the report."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detr_attnviz.drawing.captions import MINUS
from detr_attnviz.evaluation.bootstrap import FEWEST_PICTURES, Estimate
from detr_attnviz.evaluation.results import PLACES
from detr_attnviz.evaluation.settings import BASELINES, CONTROLS, DIRECTIONS
from detr_attnviz.evaluation.summary import AREA, EMPTY, KEPT, SANITY, HeadEffect, Measure, Score, Summary

EVERYWHERE = "equal everywhere"
"""The map that knows nothing: what a box has of it is chance."""

MARKED = "Marked:"
_WAYS = "Deletion: the cells ranked highest go first, lower is better. Insertion: they come first, higher is better."
_ARROWS = {"deletion": "deletion ↓", "insertion": "insertion ↑"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in words; ``is_marked`` where the table's note says so."""

    text: str
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A map's (or layer's) numbers."""

    name: str
    cells: tuple[Cell, ...]
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``corner`` is what the rows are; ``note`` says in a sentence or two what the numbers are."""

    title: str
    note: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def tables(summary: Summary) -> tuple[Table, ...]:
    """The tables of an evaluation, the most telling first; none when no query was evaluated."""
    if not summary.queries:
        return ()
    marks = f" {MARKED} the best method, and those that these pictures cannot tell from it." if _marks(summary) else ""
    both = f"the area under the curve over the share of cells. {_WAYS}{marks}{_empty_note(summary)}"
    return (
        _removal(summary, "Class logit", f"0: as with every cell removed, 1: as undisturbed; {both}", KEPT, "logit"),
        _removal(summary, "Box", f"IoU of the query's box with its undisturbed box, {both}", AREA, "iou"),
        _places(summary),
        _checks(summary),
        *_heads(summary),
    )


def written(estimate: Estimate) -> str:
    """``0.312 ±0.004``: a number and its standard error; – for what is no number."""
    if not math.isfinite(estimate.value):
        return "–"
    spread = "" if estimate.standard_error is None else f" ±{estimate.standard_error:.3f}"
    return signed(estimate.value) + spread


def signed(value: float) -> str:
    """Three decimals and a true minus sign; no sign on what rounds to 0."""
    return f"{value:z.3f}".replace("-", MINUS) if math.isfinite(value) else "–"


def _removal(summary: Summary, title: str, note: str, name: str, quantity: str) -> Table:
    wanted = [Measure(name, quantity, direction, baseline) for direction in DIRECTIONS for baseline in BASELINES]
    columns = tuple(f"{_ARROWS[measure.direction]} {measure.baseline}" for measure in wanted)
    return Table(title, note, "map", columns, _rows(summary, wanted, marking=_marks(summary)))


def _places(summary: Summary) -> Table:
    wanted = [Measure(name) for name in PLACES]
    chance = tuple(Cell(written(summary.chance[measure])) for measure in wanted)
    rows = (*_rows(summary, wanted, marking=False), Row(EVERYWHERE, chance, is_control=True))
    note = "How much of a map's mass, and how often its peak, lies in the query's box."
    return Table("Place", note, "map", ("mass in box", "peak in box", "peak a cell off at most"), rows)


def _checks(summary: Summary) -> Table:
    wanted = [measure for name in (EMPTY, SANITY) if (measure := Measure(name)) in summary.scores]
    notes = (
        "The share of maps that hold all cells equal, and so rank none.",
        "Rank correlation of the others with the same method's map on the shuffled model: near 1, the map would look "
        "the same whatever the model had learnt.",
    )
    columns = ("empty maps", "like shuffled model")[: len(wanted)]
    note = " ".join(notes[: len(wanted)])
    return Table("Sanity", note, "map", columns, _rows(summary, wanted, marking=False))


def _empty_note(summary: Summary) -> str:
    """Which maps rank no cells, so that nobody takes a random order's numbers for the method's."""
    scores = summary.scores[Measure(EMPTY)]
    shares = [f"{name} ({score.estimate.value:.0%})" for name, score in scores.items() if score.estimate.value > 0]
    return f" Empty maps, whose cells stand in random order: {', '.join(shares)}." if shares else ""


def _rows(summary: Summary, wanted: Sequence[Measure], *, marking: bool) -> tuple[Row, ...]:
    def cell(score: Score | None) -> Cell:
        return Cell("") if score is None else Cell(written(score.estimate), marking and score.is_best)

    names = summary.scores[wanted[0]]
    return tuple(
        Row(name, tuple(cell(summary.scores[one].get(name)) for one in wanted), name in CONTROLS) for name in names
    )


def _heads(summary: Summary) -> Iterable[Table]:
    """Two tables for every kind of attention whose heads were silenced."""
    for kind, sites in sites_by_kind(summary.heads).items():
        for title, quantity in (("change of the class logit", "logit"), ("change of the box's IoU", "iou")):
            rows = tuple(
                Row(site, tuple(_effect(getattr(one, quantity), quantity == "logit") for one in effects))
                for site, effects in sites.items()
            )
            # The IoU with the box as it was can only fall: that it does is no finding.
            marks = f" {MARKED} the 95 % interval does not hold 0." if _marks(summary) and quantity == "logit" else ""
            note = f"{_HEADS_NOTES[quantity]}{marks}"
            heads = max(len(row.cells) for row in rows)
            yield Table(f"Heads of {kind}-attention: {title}", note, "site", tuple(map(str, range(heads))), rows)


_HEADS_NOTES = {
    "logit": "Each head silenced alone, in the logit's own units; below 0: without the head the class scores less.",
    "iou": "Each head silenced alone; how much of the overlap with the box as it was is lost.",
}


def sites_by_kind(effects: Sequence[HeadEffect]) -> dict[str, dict[str, list[HeadEffect]]]:
    """The effects by kind of attention ("decoder cross"), site and head, in the order of the sites."""
    kinds: dict[str, dict[str, list[HeadEffect]]] = {}
    for effect in effects:
        room, _, way = effect.site.split(".")
        kinds.setdefault(f"{room} {way}", {}).setdefault(effect.site, []).append(effect)
    return kinds


def _effect(estimate: Estimate, may_be_marked: bool) -> Cell:
    return Cell(signed(estimate.value), may_be_marked and estimate.is_surely_not_zero)


def _marks(summary: Summary) -> bool:
    """Whether there are pictures enough for intervals."""
    return summary.pictures >= FEWEST_PICTURES


def counted(count: int, noun: str, nouns: str = "") -> str:
    """``1 picture``, ``3 pictures``."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or f'{noun}s'}"

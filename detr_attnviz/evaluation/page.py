"""The evaluation as one HTML file that needs nothing else: tables, curves, heads, what every number means."""

import base64
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from detr_attnviz.evaluation.figures import curves_of, heads_of
from detr_attnviz.evaluation.meanings import meanings
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.settings import EvaluationSettings
from detr_attnviz.evaluation.summary import Summary
from detr_attnviz.evaluation.tables import Cell, Table, counted, tables

_CURVES_INCHES = 9.6


def html_page(evaluation: Evaluation, summary: Summary) -> bytes:
    """The whole report; everything that comes from outside (names of files and classes, messages) is escaped."""
    title = f"Which maps tell the truth about {evaluation.provenance.get('checkpoint') or 'the model'}?"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(_lead(evaluation, summary))}</p>',
        *_numbers(evaluation.settings, summary),
        "<h2>What the numbers are</h2>",
        _meanings(meanings(evaluation.settings)),
        "<h2>Settings</h2>",
        _facts(evaluation.settings.as_row()),
        "<h2>Where it comes from</h2>",
        _facts(evaluation.provenance),
        *_failures(evaluation),
    ]
    style = files("detr_attnviz.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style>"
    )
    page = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{page}\n</body></html>\n'.encode()


def _lead(evaluation: Evaluation, summary: Summary) -> str:
    words = f"{counted(summary.queries, 'object query', 'object queries')} in {counted(summary.pictures, 'picture')}."
    without = len(evaluation.pictures) - summary.pictures - summary.copies
    if without:
        words += f" In {without} more no query reaches the threshold {evaluation.settings.threshold or 0.0:g}."
    if evaluation.failures:
        words += f" {counted(len(evaluation.failures), 'picture')} could not be read (below)."
    if summary.pictures > 1:
        words += " ± is the standard error, by bootstrap over pictures."
    if summary.copies:
        words += f" {counted(summary.copies, 'further picture is a copy', 'further pictures are copies')}, left out."
    return words


def _numbers(settings: EvaluationSettings, summary: Summary) -> list[str]:
    if not summary.queries:
        return ["<p>No query was chosen in any picture that could be read: lower the threshold, or see below.</p>"]
    parts = [_table(table) for table in tables(summary)]
    about = "Mean over queries; band: ± one standard error. Deletion: lower is better. Insertion: higher is better."
    curves = _figure(curves_of(summary, settings, "svg", width_inches=_CURVES_INCHES), about, is_wide=True)
    heads = [
        _figure(drawn, f"Heads of {attention}-attention: mean change of the class logit.")
        for attention, drawn in heads_of(summary, "svg")
    ]
    return [*parts[:2], "<h2>Curves</h2>", curves, *parts[2:], *heads]


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in (table.corner, *table.columns))
    rows = "".join(
        f'<tr class="{"control" if row.is_control else "method"}"><th>{escape(row.name)}</th>'
        f"{''.join(map(_cell, row.cells))}</tr>"
        for row in table.rows
    )
    return (
        f'<h2>{escape(table.title)}</h2><p class="faint">{escape(table.note)}</p>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cell(cell: Cell) -> str:
    number, _, spread = cell.text.partition(" ")
    start = '<td class="marked">' if cell.is_marked else "<td>"
    return f"{start}{escape(number)} <span>{escape(spread)}</span></td>"


def _figure(drawn: bytes, caption: str, *, is_wide: bool = False) -> str:
    data = base64.b64encode(drawn).decode()
    words = escape(caption)
    wide = ' class="wide"' if is_wide else ""
    shown = f'<img{wide} alt="{words}" src="data:image/svg+xml;base64,{data}">'
    return f'<figure>{shown}<figcaption class="faint">{words}</figcaption></figure>'


def _facts(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_plain(value))}</td></tr>"
        for name, value in facts.items()
        if value not in (None, [], "")
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _plain(value: Any) -> str:
    return (
        ", ".join(map(_plain, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _failures(evaluation: Evaluation) -> list[str]:
    if not evaluation.failures:
        return []
    return ["<h2>Pictures that could not be read</h2>", _facts(dict(evaluation.failures))]


def _meanings(meanings: Mapping[str, str]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in meanings.items())
        + "</dl>"
    )

"""Reports as files."""

import json
from collections.abc import Mapping
from pathlib import Path

from detr_attnviz.evaluation.output import FIGURES, Output
from detr_attnviz.evaluation.results import Evaluation
from detr_attnviz.evaluation.summary import Summary
from detr_attnviz.files import write_atomically


def write_reports(evaluation: Evaluation, summary: Summary, output: Output) -> tuple[Path, ...]:
    """Writes what ``output`` asks for, each file whole or not at all, and says which; figures only of something.

    Raises: OutputError.
    """
    written = {path: data for file in output.files for path, data in _made(evaluation, summary, file).items()}
    for path, data in written.items():
        write_atomically(path, data)
    return tuple(written)


def _made(evaluation: Evaluation, summary: Summary, file: Path) -> Mapping[Path, bytes]:
    suffix = file.suffix.lower()
    if suffix in FIGURES:
        return _figures(evaluation, summary, file, suffix[1:]) if summary.queries else {}
    if suffix == ".html":
        from detr_attnviz.evaluation.page import html_page

        return {file: html_page(evaluation, summary)}
    from detr_attnviz.evaluation import document

    if suffix == ".csv":
        return {
            file: document.means_csv(evaluation, summary),
            file.with_suffix(".queries.csv"): document.queries_csv(evaluation),
            file.with_suffix(".heads.csv"): document.heads_csv(summary),
        }
    return {file: (json.dumps(document.as_document(evaluation, summary), indent=1) + "\n").encode()}


def _figures(evaluation: Evaluation, summary: Summary, file: Path, kind: str) -> dict[Path, bytes]:
    from detr_attnviz.evaluation.figures import about, curves_of, heads_of, source_of

    title, told = source_of(evaluation, summary), about(evaluation)
    made = {file: curves_of(summary, evaluation.settings, kind, title=title, told=told)}
    for attention, drawn in heads_of(summary, kind, told):
        name = file.with_name(f"{file.stem}.heads-{attention.replace(' ', '-')}{file.suffix}")
        made[name] = drawn
    return made

"""Prints what `attnviz inspect-weights` found: a table per stack of layers, or JSON."""

import math
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detr_attnviz.checkpoints.inspection import Inspection
from detr_attnviz.checkpoints.stats import ModuleStats
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.messages import one_line, say

LEGEND = (
    "‖W‖ Frobenius norm · σ largest singular value · QK, OV stable rank ‖A‖²/σ² of WqᵀWk and Wo·Wv, "
    "all heads together (1 = one direction)"
)
HEAD_LEGEND = (
    "per head: norms of its block of Wq, Wk, Wv, Wo and of its QK = WqᵀWk and OV = Wo·Wv; rQK, rOV their stable ranks; "
    "like = most similar other head by cosine of QK (OV)"
)


def print_data(found: Inspection) -> None:
    """Everything as one JSON object; numbers that are not finite become null."""
    document = {
        "path": str(found.path),
        "flavour": found.flavour,
        "modules": [asdict(row) for row in found.rows],
        "notes": found.notes,
        "provenance": found.provenance,
    }
    print_json(document)


def print_notes(found: Inspection) -> None:
    """What a user should know, on stderr."""
    for note in found.notes:
        say(note)


def print_tables(found: Inspection, *, heads: bool) -> None:
    """One table per stack of equal modules, a row per layer; with ``heads`` also a row per head."""
    console = Console(highlight=False, emoji=False)
    count = len(found.rows)
    console.print(
        f"{one_line(found.path.name)}: {count} attention module{'s' if count != 1 else ''}", style="bold", markup=False
    )
    for _, group in groupby(sorted(found.rows, key=_first_seen(found)), key=_stack):
        rows = list(group)
        console.print()
        console.print(_heading(rows[0]))
        console.print(_module_table(rows))
        if heads and any(row.per_head for row in rows):
            console.print(_head_table(rows))
    console.print(LEGEND, style="dim", markup=False)
    if heads and any(row.per_head for row in found.rows):
        console.print(HEAD_LEGEND, style="dim", markup=False)
        if count == 1:
            _print_similarity(console, found.rows[0])


def _stack(row: ModuleStats) -> tuple[str, str]:
    head, _, tail = row.module.rpartition(f".{row.layer}.")
    name = f"{head}.N.{tail}" if head or tail != row.module else row.module
    return one_line(name), str(row.shapes)


def _first_seen(found: Inspection) -> Any:
    order: dict[tuple[str, str], int] = {}
    for row in found.rows:
        order.setdefault(_stack(row), len(order))
    return lambda row: order[_stack(row)]


def _heading(row: ModuleStats) -> Text:
    weights = {name[0]: list(row.shapes[f"{name}_weight"]) for name in ("q", "k", "v")}
    shapes = (
        f"Wq, Wk, Wv {weights['q']}"
        if weights["q"] == weights["k"] == weights["v"]
        else f"Wq {weights['q']}, Wk {weights['k']}, Wv {weights['v']}"
    )
    out = f", Wo {list(row.shapes['out_weight'])}" if "out_weight" in row.shapes else ", no Wo found"
    biases = [name for name in ("q", "k", "v", "out") if f"{name}_bias" in row.shapes]
    bias = "no biases" if not biases else f"biases of {', '.join(biases)} [{row.shapes[f'{biases[0]}_bias'][0]}]"
    heads = "heads unknown" if row.heads is None else f"{row.heads} heads of {weights['q'][0] // row.heads}"
    name = _stack(row)[0] or "(top level)"
    return Text.assemble(
        (row.kind, "bold cyan"), "  ", name, "\n", (f"{shapes}{out}, {bias}; {row.dtype}, {row.layout}; {heads}", "dim")
    )


def _module_table(rows: list[ModuleStats]) -> Table:
    has_bad = any(row.nan or row.inf for row in rows)
    table = _table("layer", "‖Wq‖", "‖Wk‖", "‖Wv‖", "‖Wo‖", "σq", "σk", "σv", "σo", "QK", "OV")
    if has_bad:
        table.add_column("NaN", justify="right")
        table.add_column("Inf", justify="right")
    for row in rows:
        norms = (row.q_norm, row.k_norm, row.v_norm, row.out_norm)
        spectral = (row.q_spectral, row.k_spectral, row.v_spectral, row.out_spectral)
        ranks = (row.qk_stable_rank, row.ov_stable_rank)
        bad = (f"{row.nan:,}", f"{row.inf:,}") if has_bad else ()
        cells = [_number(value) for value in (*norms, *spectral, *ranks)]
        table.add_row(_layer(row), *cells, *bad, style="bold red" if row.nan or row.inf else "")
    return table


def _head_table(rows: list[ModuleStats]) -> Table:
    table = _table("layer", "head", "‖Wq‖", "‖Wk‖", "‖Wv‖", "‖Wo‖", "‖QK‖", "‖OV‖", "rQK", "rOV", "like")
    for row in rows:
        for head in row.per_head:
            norms = (head.q_norm, head.k_norm, head.v_norm, head.out_norm, head.qk_norm, head.ov_norm)
            ranks = (head.qk_stable_rank, head.ov_stable_rank)
            cells = [_number(value) for value in (*norms, *ranks)]
            table.add_row(_layer(row) if head.head == 0 else "", str(head.head), *cells, _nearest(row, head.head))
    return table


def _nearest(row: ModuleStats, head: int) -> str:
    others = [
        (abs(cosine), cosine, other)
        for other, cosine in enumerate(row.qk_similarity[head] if row.qk_similarity else ())
        if other != head and not math.isnan(cosine)
    ]
    if not others:
        return "–"
    _, cosine, other = max(others)
    return f"{other} ({cosine:+.2f})"


def _print_similarity(console: Console, row: ModuleStats) -> None:
    for name, matrix in (("QK", row.qk_similarity), ("OV", row.ov_similarity)):
        if matrix and console.width < 7 * (len(matrix) + 1):
            console.print(f"\nthe heads' {name} cosines are wider than this terminal: see --json", style="bold")
        elif matrix:
            console.print(f"\ncosine of the heads' {name} matrices", style="bold")
            table = _table("head", *(str(head) for head in range(len(matrix))))
            for head, cosines in enumerate(matrix):
                table.add_row(str(head), *(f"{cosine:+.2f}" for cosine in cosines))
            console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), show_edge=False)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _layer(row: ModuleStats) -> str:
    return "–" if row.layer is None else str(row.layer)


def _number(value: float) -> str:
    """Three significant digits, in at most seven characters."""
    if math.isnan(value):
        return "–"
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:#.3g}".rstrip(".") if value else "0"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.1e}"

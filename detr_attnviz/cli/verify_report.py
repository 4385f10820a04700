"""Tells what a proof found, as a table or as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from detr_attnviz.proof import SiteProof, Verification

_USUAL = ("against", "tolerance")
_COMPARED_WITH = {"weights": "weights", "output": "output", "nothing": "–"}


def proof_as_json(proof: "Verification") -> dict[str, Any]:
    """What was compared with what is told where it is not each module's own weights throughout, to 1e-6."""
    entries = asdict(proof)
    if _is_usual(proof):
        entries["sites"] = [_without(_USUAL, site) for site in entries["sites"]]
    return entries | {"passed": proof.passed}


def print_proof(proof: "Verification") -> None:
    """One line per site, then PASS or FAIL, or that there was nothing to prove by."""
    console = Console(soft_wrap=True, emoji=False)
    table = Table(box=None, pad_edge=False)
    others = ["compared with"] if any(site.against != "weights" for site in proof.sites) else []
    shape = "heads × queries × tokens (samples)" if others else "heads × queries × tokens"
    for name in ("site", shape, *others, "largest difference", "row sums − 1", "mass on padding", ""):
        table.add_column(name, justify="left" if name in ("site", *others) else "right")
    shapes = [" × ".join(map(str, site.shape)) for site in proof.sites]
    if others:  # a column more makes the others narrow
        table.columns[0].min_width = max(len(site.site) for site in proof.sites)
        table.columns[1].min_width = max(map(len, shapes))
    for site, sizes in zip(proof.sites, shapes, strict=True):
        table.add_row(
            site.site,
            sizes,
            *(_COMPARED_WITH[site.against] for _ in others),
            _error(site.difference),
            _error(site.row_error),
            "–" if site.padding_mass is None else f"{site.padding_mass:g}",
            _verdict(site),
        )
    console.print(table)
    console.print(
        f"output with and without recording: {'the same to the bit' if proof.output_unchanged else 'DIFFERS'}"
    )
    if proof.not_finite:
        console.print(f"NaN or infinite values in {' and '.join(proof.not_finite)}: the output is no answer")
    if broken := [site.site for site in proof.sites if _is_nan(site)]:
        console.print(f"NaN in the maps of {', '.join(broken)}", highlight=False)
    if proof.unproven:
        console.print(
            f"not proven: {', '.join(proof.unproven)}: nothing tells what these modules themselves say of their "
            "attention; AttentionSite(…, own=…) does",
            highlight=False,
        )
    console.print("[bold green]PASS[/]" if proof.passed else f"[bold red]{_failure(proof)}[/]")


def _failure(proof: "Verification") -> str:
    is_sound = proof.output_unchanged and not proof.not_finite
    return "NOT PROVEN" if is_sound and len(proof.unproven) == len(proof.sites) else "FAIL"


def _is_usual(proof: "Verification") -> bool:
    from detr_attnviz.proof import TOLERANCE

    return all(site.against == "weights" and site.tolerance == TOLERANCE for site in proof.sites)


def _without(names: tuple[str, ...], entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name not in names}


def _is_nan(site: "SiteProof") -> bool:
    return site.difference is not None and isnan(site.difference)


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def _verdict(site: "SiteProof") -> str:
    if not site.has_truth:
        return "not proven"
    return "ok" if site.passed else "[red]FAIL[/]"

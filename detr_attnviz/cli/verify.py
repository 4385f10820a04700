"""`attnviz verify`: proof that the maps are the model's own attention."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from detr_attnviz.cli import options as opt


def verify(
    image: Annotated[Path, typer.Argument(help="A picture to run.", show_default=False)],
    checkpoint: opt.Checkpoint = None,
    as_json: opt.AsJson = False,
    device: opt.Device = "auto",
    shortest_px: opt.ShortestPx = None,
    longest_px: opt.LongestPx = None,
    nheads: opt.Heads = None,
    dilation: opt.Dilation = None,
) -> None:
    """Compare every map with the model's own weights, site by site; exit code 1 when one differs."""
    from detr_attnviz.verification import verify as prove

    detector = opt.open_detector(checkpoint, device, nheads, dilation, None)
    proof = prove(detector, image, shortest_px=shortest_px, longest_px=longest_px)
    if as_json:
        from json import dumps

        typer.echo(dumps(asdict(proof) | {"passed": proof.passed, "provenance": detector.provenance}, indent=2))
    else:
        from detr_attnviz.cli.tables import print_proof

        print_proof(proof)
    raise typer.Exit(0 if proof.passed else 1)

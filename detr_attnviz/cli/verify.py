"""`attnviz verify`: proof that the maps are the model's own attention."""

from pathlib import Path
from typing import Annotated

import typer

from detr_attnviz.cli import options as opt
from detr_attnviz.cli.grouped import grouped
from detr_attnviz.cli.json_output import print_json
from detr_attnviz.cli.startup import foresee, swift_imports


@grouped
def verify(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture to run.", show_default=False)],
    model: opt.ModelOptions,
    as_json: opt.AsJson = False,
) -> None:
    """Compare every map with what the model itself says, site by site; exit code 1 when one differs."""
    foresee(model.checkpoint)
    with swift_imports():
        from detr_attnviz.cli.verify_report import print_proof, proof_as_json
        from detr_attnviz.verification import verify as prove

    detector = model.open()
    proof = prove(detector, image, shortest_px=model.shortest_px, longest_px=model.longest_px)
    if as_json:
        print_json(proof_as_json(proof) | {"provenance": detector.provenance})
    else:
        print_proof(proof)
    raise typer.Exit(0 if proof.passed else 1)

"""Every command with every kind of output, run one after the other by one process in a folder of hostile names.

``python -m tests.every_command.commands WAY`` runs them in the current folder; what each says goes into ``said/``.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch

HOSTILE = (
    "=cmd|'/c touch mark'!A1</script><img src=x onerror=\"document.title='mark'\">[bold]rich[/] [/] $\\frac$ $x^ "
    "\x1b[31m\x1b]0;mark\x07\n%s {0} $(touch mark);`touch mark`\x00\u202egnp\u200b\u2066 \ud800 ../../up"
)
"""A class name that is markup, a formula, a control sequence, a template and a command; half a letter; and turns."""
PICTURES = (
    "=1+1 [bold]$x^$\x1b[31m\n%s{}<b onerror=mark>'\"&`touch mark`$(touch mark);\u202egnp.jpg.png",
    "+b\udcff.png",
)
CHECKPOINT = "=[bold]$x^$\x1b[31m\n<i onerror=mark>$(touch mark);\u202e.pth"
STYLES = ("overlay", "heatmap", "pair", "contour")
FIGURES = {
    "objects": "--top-k 2 --threshold 0",
    "points": "--auto --top-k 1 --threshold 0",
    "grid": "--query 4",
    "evolution": "--query 4",
    "methods": "--query 4 --methods raw,relevance,decompose",
}
WAYS = {
    "one": [["--workers", "1"]],
    "many": [["--workers", "7", "--shard", "2/2"], ["--workers", "2", "--shard", "1/2"]],
}
"""How ``batch`` is spread: in one run of one worker, or over two shards in the wrong order."""


def commands(way: str) -> Iterator[tuple[str, list[str]]]:
    """Names and arguments."""
    weights = [f"./{CHECKPOINT}", "--nheads", "4"]
    model = ["-c", f"./{CHECKPOINT}", *"--nheads 4 --shortest-px 64".split()]
    named = [*model, "--classes", "names.json"]
    shown = [*named, *"--threshold 0 --top-k 2".split()]
    street = f"./pictures/{PICTURES[0]}"
    for style in STYLES:
        yield f"render-{style}", ["render", "pictures", *shown, "--style", style, *"-o sheets --arrays --json".split()]
    for method in ("relevance", "decompose", "value-norm"):
        yield f"render-{method}", ["render", street, *shown, *f"--method {method} -o sheets".split()]
    yield "render-encoder", ["render", street, *named, *"--kind encoder --point 20,20 --direction to -o sheets".split()]
    yield "render-self", ["render", street, *shown, *"--kind decoder-self -o sheets".split()]
    yield "render-matrix", ["render", street, *shown, *"--kind decoder-self --style heatmap -o sheets".split()]
    for suffix in ("jpg", "webp", "pdf"):
        yield f"render-{suffix}", ["render", street, *shown, "-o", f"one.{suffix}"]
    for number, spread in enumerate(WAYS[way]):
        exports = "-o maps --export overlay,heatmap,pair,contour,arrays --json".split()
        yield f"batch-{number}", ["batch", "pictures", *shown, *exports, *spread]
        yield f"batch-image-{number}", ["batch", "pictures", *shown, *"-o map-sheets --per image".split(), *spread]
    yield "explore", ["explore", "pictures", *named, *"-o page.html --methods relevance --threshold 0 --json".split()]
    for kind, choices in FIGURES.items():
        for suffix in ("png", "svg") if kind != "objects" else ("png", "svg", "pdf"):
            output = f"figures/{kind}.{suffix}/f.{suffix}"
            yield f"figure-{kind}-{suffix}", ["figure", kind, street, *named, *choices.split(), "-o", output]
    yield "figure-here", ["figure", "objects", street, *named, "--threshold", "0", "--top-k", "1", "--json"]
    for suffix in ("png", "svg", "pdf"):
        yield f"figure-weights-{suffix}", ["figure", "weights", *weights, "-o", f"figures/weights.{suffix}/f.{suffix}"]
        yield f"inspect-{suffix}", ["inspect-weights", *weights, "--json", "--plot", f"plot.{suffix}"]
    for suffix in ("safetensors", "npz", "pth"):
        yield f"export-{suffix}", ["inspect-weights", *weights, "--heads", "--export", f"split.{suffix}"]
    tried = "--methods raw,relevance --shares 50 --heads cross -o".split()
    yield "evaluate", ["evaluate", "pictures", *shown, *tried, "evaluation", "--json"]
    yield "evaluate-svg", ["evaluate", street, *shown, *tried, "curves.svg"]
    yield "verify", ["verify", street, *model]
    yield "verify-json", ["verify", street, *model, "--json"]
    yield "checkpoints", ["checkpoints"]
    yield "checkpoints-json", ["checkpoints", "--json"]


def said_by(arguments: list[str]) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of the command, as a strict pipe in UTF-8 has them."""
    from detr_attnviz.cli.app import main

    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    sys.argv = ["attnviz", *arguments]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    out, err = (stream.buffer.getvalue() for stream in streams)
    return code, out, err


def run(way: str) -> None:
    """Runs all in the current folder."""
    torch.set_num_threads(1)
    Path("said").mkdir()
    for name, arguments in commands(way):
        code, out, err = said_by([os.fspath(one) for one in arguments])
        Path("said", f"{name}.out").write_bytes(out)
        Path("said", f"{name}.err").write_bytes(f"exit code {code}\n".encode() + err)


if __name__ == "__main__":
    run(sys.argv[1])

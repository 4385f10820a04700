"""Draws `explore.png`: the interactive page of a sample, as Chromium shows it, and the three figures of the README."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import detr_attnviz as av
from detr_attnviz.trace import Trace

FOLDER = Path(__file__).parent
PICTURE = FOLDER / "shapes_many.png"
SIZE = {"width": 1366, "height": 768}
VIEW = "#v=cross&l=5&h=mean&w=1"
FIGURES_MM = {"objects": 120.0, "points": 120.0, "evolution": 175.0}


def main() -> None:
    trace = av.load("demo", device="cpu").trace(PICTURE)
    screenshot(trace, FOLDER / "explore.png")
    with tempfile.TemporaryDirectory() as folder:
        for kind, width_mm in FIGURES_MM.items():
            asked: dict[str, Any] = {"auto": True, "top_k": 6} if kind == "points" else {}
            drawn, _ = av.figure(kind, trace, width=width_mm, dpi=200, **asked).save(Path(folder) / f"{kind}.png")
            shutil.copyfile(drawn, FOLDER / f"figure-{kind}.png")


def screenshot(trace: Trace, path: Path) -> None:
    """The page with the wall of layers and heads, at a laptop's size."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = av.explore(trace, methods=("relevance", "rollout")).save(Path(folder) / "page.html")
        executable = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)  # type: ignore[arg-type]
        page.goto(f"{page_file.as_uri()}{VIEW}")
        page.wait_for_selector("#wall-buttons button")
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()

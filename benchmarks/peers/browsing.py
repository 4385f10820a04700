"""Somebody who looks around a page of ours in a real browser: how long it takes to open, and what a hover costs.

What is measured of a hover is the main thread's work for it, from the pointer's event to the drawn frame, without the
wait for the frame to begin; and whether the next frame began in time, for which all that the browser draws counts.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.peers.serving import Handlers, serve, stopwatch

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SIZE = {"width": 1366, "height": 768}

_NOTE_FIRST_MAP = """
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    put.apply(this, given);
    if (this.canvas.id === "overlay") globalThis.mapsDrawn = (globalThis.mapsDrawn ?? 0) + 1;
    if (globalThis.mapsDrawn === 1) globalThis.firstMap ??= performance.now();
};
"""
# A message that is sent at the start of a frame arrives when the main thread has drawn it: scripts, layout, painting.
# The page asks for its frame when it hears of the pointer, behind the one that was asked for here.
_HOVER = """async ([view, places]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const channel = new MessageChannel();
    const drawn = () => new Promise((resolve) => {
        channel.port1.onmessage = () => resolve(performance.now());
        channel.port2.postMessage(null);
    });
    const bounds = document.getElementById("frame").getBoundingClientRect();
    const rows = [...document.querySelectorAll("#detections [data-query]")];
    const over = ([x, y]) => {
        const at = { clientX: bounds.left + x * bounds.width, clientY: bounds.top + y * bounds.height };
        const [target, type] = view === "encoder" ? [document.getElementById("frame"), "pointermove"]
            : [rows[Math.floor(x * rows.length)], "pointerover"];
        target.dispatchEvent(new PointerEvent(type, { ...at, bubbles: true, pointerType: "mouse" }));
    };
    const [work, gaps] = [[], []];
    for (const place of places) {
        await drawn();
        const before = globalThis.mapsDrawn;
        const own = frame().then((time) => [time, performance.now(), drawn()]);
        const heard = performance.now();
        over(place);
        const handled = performance.now() - heard;
        const [time, begun, end] = await own;
        const next = frame();
        work.push(handled + (await end) - begun);
        gaps.push((await next) - time);
        if (globalThis.mapsDrawn === before) [work, gaps].forEach((list) => list.pop());
    }
    return { work, gaps };
}"""


class Reader:
    """A detector to write pages with, and a browser to read them in; each is there once it is asked for."""

    def __init__(self) -> None:
        self._playwright: Any = None
        self._browser: Any = None
        self._trace: Any = None

    def handlers(self) -> Handlers:
        """Everything that can be asked."""
        return {name: getattr(self, name) for name in ("load", "write", "find_browser", "open", "hover")}

    def load(self, checkpoint: str, picture: str) -> None:
        import detr_attnviz as av

        self._trace = av.load(checkpoint).trace(picture)

    def write(self, out: str) -> dict[str, float]:
        """Seconds from a trace to the page on disk, and the page's bytes."""
        from detr_attnviz.explorer.page import explore

        with stopwatch() as seconds:
            explore(self._trace).save(out)
        return {"seconds": seconds(), "bytes": os.path.getsize(out)}

    def find_browser(self) -> str:
        """The browser's name and version, or why there is none after "no"."""
        try:
            from playwright.sync_api import Error, sync_playwright
        except ImportError:
            return "no playwright: pip install playwright"
        self._playwright = sync_playwright().start()
        path = next((found for found in map(shutil.which, _NAMES) if found), None)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        try:
            self._browser = self._playwright.chromium.launch(executable_path=path, args=arguments)
        except Error as error:
            return f"no Chromium: {str(error).strip().splitlines()[0]}"
        return f"Chromium {self._browser.version}"

    def open(self, page: str) -> float:
        """Milliseconds from the start of the navigation to the first map, in a window that knows nothing yet."""
        context, window = self._window(page, "")
        found = window.evaluate("globalThis.firstMap")
        context.close()
        return float(found)

    def hover(self, page: str, at: str, view: str, places: list[tuple[float, float]]) -> dict[str, list[float]]:
        """Milliseconds of ``work`` for each redraw, and of the ``gaps`` between its frame and the next.

        ``places`` are in 0–1 of the picture, or of the list of detections.
        """
        context, window = self._window(page, at)
        found = window.evaluate(_HOVER, [view, places])
        context.close()
        return dict(found)

    def close(self) -> None:
        """Ends the browser, if there is one."""
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()

    def _window(self, page: str, at: str) -> tuple[Any, Any]:
        context = self._browser.new_context(viewport=_SIZE)
        window = context.new_page()
        window.add_init_script(_NOTE_FIRST_MAP)
        window.goto(Path(page).resolve().as_uri() + at)
        window.wait_for_function("globalThis.firstMap !== undefined")
        return context, window


def main() -> None:
    import detr_attnviz as av

    av.tune_process()
    reader = Reader()
    try:
        serve(reader.handlers())
    finally:
        reader.close()


if __name__ == "__main__":
    main()

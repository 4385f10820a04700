"""A real browser for pages opened from disk: a test fails when one has an error or asks for an address."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OWN = ("data:", "blob:", "about:")
LAPTOP = (1366, 768)
Theme = Literal["light", "dark"]


class OpenPage(Protocol):
    """Opens a page's bytes: ``at`` is the end of its address from the # on, ``size`` the window's."""

    def __call__(
        self, html: bytes, *, at: str = "", size: tuple[int, int] = LAPTOP, theme: Theme = "light"
    ) -> "Page": ...


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Headless Chromium: one that is installed, or Playwright's own; skips with the reason where there is neither."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with api.sync_playwright() as playwright:
        browser, reason = _launched(playwright, api.Error)
        if browser is None:
            pytest.skip(f"no Chromium to open pages with: {reason}")
        yield browser
        browser.close()


def _launched(playwright: "Playwright", error_class: type[Exception]) -> tuple["Browser | None", str]:
    """The first browser that starts, or the first line of why the last one did not."""
    # Chromium refuses to run its sandbox as root, which containers mostly are.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    reason = ""
    for path in (*filter(None, map(shutil.which, _NAMES)), None):  # None is Playwright's own
        try:
            return playwright.chromium.launch(executable_path=path, args=arguments), ""
        except error_class as error:
            reason = str(error).strip().splitlines()[0]
    return None, reason


@pytest.fixture
def open_page(browser: "Browser", tmp_path: Path) -> Iterator[OpenPage]:
    """Opens pages, a window each; errors in their console, and requests for anything but themselves, fail the test."""
    faults: list[str] = []
    contexts: list[BrowserContext] = []

    def opened(html: bytes, *, at: str = "", size: tuple[int, int] = LAPTOP, theme: Theme = "light") -> "Page":
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_bytes(html)
        contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme))
        page = contexts[-1].new_page()
        watch(page, file.as_uri(), faults.append)
        page.goto(file.as_uri() + at)
        drawn(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, "\n".join(faults)


def drawn(page: "Page") -> None:
    """Waits until what the state asks for now is on the screen."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def watch(page: "Page", address: str, tell: Callable[[str], None]) -> None:
    """Tells every error and warning of a page, and every request that is not for ``address`` or for parts of it."""
    page.on("pageerror", lambda error: tell(f"error: {error}"))
    page.on("console", lambda said: tell(f"{said.type}: {said.text}") if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: None if _is_own(asked.url, address) else tell(f"request: {asked.url[:200]}"))


def _is_own(url: str, address: str) -> bool:
    return url.startswith(_OWN) or url.partition("#")[0] == address

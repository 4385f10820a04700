"""Fixtures of the tests that open a page in a browser."""

from tests.explorer.browser import browser, open_page

__all__ = ["browser", "open_page"]

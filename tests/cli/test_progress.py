"""The bar of a download: for a person at a terminal, and gone afterwards."""

import pytest

from detr_attnviz.cli.progress import download_progress


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_shown_where_no_terminal_is(capfd: pytest.CaptureFixture[str]) -> None:
    with download_progress() as show:
        show(1, None)
        show(2, 10)
    assert capfd.readouterr() == ("", "")


def test_bar_at_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with download_progress() as show:
        show(5_000_000, 10_000_000)
    out, err = capfd.readouterr()
    assert out == ""
    assert "download" in err
    assert err.count("\x1b[?25l") == err.count("\x1b[?25h") == 1  # the cursor is back

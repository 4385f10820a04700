"""Which addresses are asked, and when a connection is given up."""

import io
from email.message import Message
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from detr_attnviz.checkpoints import connection
from detr_attnviz.checkpoints.connection import LEAST_BYTES, WINDOW_S, _Redirections, _Stream, fault_of_address


class Trickle(io.RawIOBase):
    """Gives so many bytes at a time, and every time takes so many seconds of the clock."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size, self.seconds, self.now = size, seconds, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self.now += self.seconds
        return self.size


def reads(size: int, seconds: float, monkeypatch: pytest.MonkeyPatch, most: int = 1000) -> float:
    """How long it is waited for a source that is this slow, at most ``most`` times."""
    source = Trickle(size, seconds)
    monkeypatch.setattr(connection, "clock", lambda: source.now)
    stream = _Stream(source)
    stream.left = 1 << 40
    for _ in range(most):
        try:
            stream.readinto(bytearray(1))
        except TimeoutError:
            break
    return source.now


@pytest.mark.parametrize("seconds", [0.01, 1.0, 29.0])
def test_a_byte_at_a_time_is_given_up_after_a_window(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WINDOW_S <= reads(1, seconds, monkeypatch, most=10_000) < WINDOW_S + seconds + 0.1


def test_a_slow_connection_that_still_brings_something_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = -(-LEAST_BYTES // 60)
    assert reads(enough, 1.0, monkeypatch) == 1000
    assert reads(enough - 1, 1.0, monkeypatch) == WINDOW_S


def test_time_spent_elsewhere_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Trickle(1, 0.0)
    monkeypatch.setattr(connection, "clock", lambda: source.now)
    stream = _Stream(source)
    for _ in range(1000):
        source.now += 10.0  # a slow disk
        assert stream.readinto(bytearray(1)) == 1


def test_a_fault_of_the_network_is_none_of_the_disk() -> None:
    class Broken(io.RawIOBase):
        def readinto(self, buffer: object) -> int:
            raise OSError(113, "No route to host")

    with pytest.raises(ConnectionError, match="No route to host"):
        _Stream(Broken()).readinto(bytearray(1))


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("", "does not begin with http"),
        ("foo/x", "does not begin with http"),
        ("://", "does not begin with http"),
        ("file:///etc/x", "begins with file:"),
        ("FTP://x/y", "begins with ftp:"),
        ("data:text/plain,x", "begins with data:"),
        ("http://", "names no server"),
        ("http:/x", "names no server"),
        ("http://x..y/", "names no server"),
        (f"http://{'a' * 64}/", "names no server"),
        ("http://x:0/", "names no server"),
        ("http://[::1", "Invalid IPv6"),
        ("http://a:b:c", "Port could not be"),
        ("http://x:99999/", "Port out of range"),
        ("http://x/a b", "holds a space"),
        ("http://x/a\nb", "holds a space, a control character"),
        ("http://x/\0", "control character"),
        ("http://x/é", "not ASCII"),
        ("http://user:word@x/", "user name"),
    ],
)
def test_what_is_no_address_of_the_web(address: str, fault: str) -> None:
    assert fault in fault_of_address(address)


@pytest.mark.parametrize(
    "address", ["http://x/y", "HTTPS://example.org.:8443/a%20b?c=d", "http://[::1]:80/", "http://1"]
)
def test_what_is_an_address_of_the_web(address: str) -> None:
    assert fault_of_address(address) == ""


def redirect(start: str, goal: str) -> Request | None:
    return _Redirections().redirect_request(Request(start), io.BytesIO(), 302, "Found", Message(), goal)


def test_from_https_it_is_not_led_to_http() -> None:
    with pytest.raises(HTTPError, match="leads to 'http://x/y': what it sends could be changed on the way"):
        redirect("https://x/y", "http://x/y")
    assert redirect("https://x/y", "https://z/y") is not None
    assert redirect("http://x/y", "https://x/y") is not None

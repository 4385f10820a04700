"""Whatever a server sends, a download is the file, or one line and nothing but a part that is worth continuing."""

import hashlib
from collections.abc import Iterator
from itertools import chain, count, repeat
from pathlib import Path

import pytest

from detr_attnviz.checkpoints import connection
from detr_attnviz.checkpoints import fetch as fetching
from detr_attnviz.checkpoints.fetch import fetch
from detr_attnviz.errors import DownloadError
from tests.checkpoints.raw_server import Script, answer, answering, chunked

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]
IN_CHUNKS = "Transfer-Encoding: chunked"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def part_of(target: Path) -> Path:
    return target.with_name("weights.pth.part")


def fetch_from(script: bytes | Script, target: Path) -> None:
    with answering(script) as url:
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def refused(script: bytes | Script, target: Path) -> str:
    """What is said of an answer that is not the file, in one printable line."""
    with answering(script) as url, pytest.raises(DownloadError) as caught:
        fetch(f"{url}/weights.pth", target, sha256_prefix=PREFIX)
    said = str(caught.value).replace(url, "URL")
    assert said.isprintable()
    assert len(said) < 500
    assert not target.exists()
    assert set(target.parent.iterdir()) <= {part_of(target)}
    return said


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: many"],
        ["Content-Length: -5"],
        [f"Content-Length: {'9' * 5000}"],
        [f"Content-Length: {SIZE}, {SIZE}"],
        [f"Content-Length: {SIZE}", "Content-Length: 5"],
        ["Content-Length:"],
        ["no header at all", "\xff\xfe: odd"],
        ["Content-Encoding: gzip", f"Content-Length: {SIZE}"],
    ],
)
def test_lengths_that_make_no_sense_do_not_matter_to_a_whole_file(target: Path, headers: list[str]) -> None:
    fetch_from(answer(CONTENT, *headers), target)


@pytest.mark.parametrize("length", ["many", "10", "9999999"])
def test_in_chunks_no_other_length_counts(target: Path, length: str) -> None:
    fetch_from(answer(chunked(CONTENT[:99], CONTENT[99:]), IN_CHUNKS, f"Content-Length: {length}"), target)


@pytest.mark.parametrize("length", ["0", "7", str(SIZE - 1)])
def test_a_length_that_is_too_small(target: Path, length: str) -> None:
    assert "it was removed" in refused(answer(CONTENT, f"Content-Length: {length}"), target)


def test_a_length_that_is_too_large(target: Path) -> None:
    assert f"broke after {SIZE:,} bytes" in refused(answer(CONTENT, f"Content-Length: {SIZE + 1}"), target)
    assert part_of(target).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [str((1 << 30) + 1), "9" * 25])
def test_a_length_that_no_known_checkpoint_has(target: Path, length: str) -> None:
    assert "more than 1,073,741,824 bytes" in refused(answer(CONTENT, f"Content-Length: {length}"), target)
    assert not part_of(target).exists()


@pytest.mark.parametrize("start", [0, 1000])
def test_a_body_without_end_is_given_up_and_kept_nowhere(
    target: Path, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 1 << 20)
    part_of(target).write_bytes(CONTENT[:start])
    head = answer(b"", f"Content-Range: bytes {start}-", status="206 Partial Content" if start else "200 OK")
    assert "more than 1,048,576 bytes" in refused(lambda _: chain([head], repeat(bytes(1 << 16))), target)
    assert not part_of(target).exists()


def test_a_part_of_more_than_any_checkpoint_has_is_not_continued(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 2 * SIZE)
    part_of(target).write_bytes(bytes(2 * SIZE + 1))
    fetch_from(answer(CONTENT), target)


ENDLESS = {
    "interim answers": lambda _: repeat(answer(b"", status="100 Continue")),
    "headers": lambda _: chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"X: y\r\n")),
    "a header line": lambda _: chain([b"HTTP/1.1 200 OK\r\nX: "], repeat(b"y" * 999)),
    "a status line": lambda _: chain([b"HTTP/1.1 200 "], repeat(b"y" * 999)),
    "an interim header": lambda _: (b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * 9 + b"\r\n" for _ in count()),
    "a redirection": lambda url: chain([answer(b"", f"Location: {url}/x", status="302 Found")], repeat(b"y" * 999)),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_head_without_end_is_given_up_and_a_part_stays(target: Path, what: str) -> None:
    part_of(target).write_bytes(CONTENT[:1000])
    assert "the server's answer makes no sense" in refused(ENDLESS[what], target)
    assert part_of(target).read_bytes() == CONTENT[:1000]


def test_trailers_without_end(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_BYTES", 1 << 19)
    start = answer(chunked(CONTENT), IN_CHUNKS).removesuffix(b"\r\n")
    assert "it does not end" in refused(lambda _: chain([start], repeat(b"X: y\r\n" * 99)), target)
    assert part_of(target).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        CONTENT,
        b"\r\n\r\n",
        b"\xff\x00\x1b[31m\r\n\r\n",
        answer(CONTENT, status="abc OK"),
        answer(CONTENT, status="99 OK"),
        answer(CONTENT, *["X: y"] * 101),
        answer(CONTENT, "X: " + "y" * 70_000),
    ],
)
def test_what_is_no_answer(target: Path, sent: bytes) -> None:
    assert "the server's answer makes no sense" in refused(sent, target)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"])
def test_a_connection_that_closes_before_anything_came(target: Path, sent: bytes) -> None:
    assert "broke after 0 bytes" in refused(sent, target)


@pytest.mark.parametrize("status", ["204 Nothing", "205 Reset", "304 Same", "300 Many", "416 No", "500 a\x1b[31m\xff"])
def test_answers_without_the_file_leave_a_part_alone(target: Path, status: str) -> None:
    has_part = status != "416 No"  # which means that nothing is left to send
    if has_part:
        part_of(target).write_bytes(CONTENT[:1000])
    assert f"the server answered {status[:3]}" in refused(answer(b"", "Content-Length: 0", status=status), target)
    assert part_of(target).exists() == has_part


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (chunked(CONTENT)[:5000], 5000 - len(b"2800\r\n")),
        (b"zz\r\n" + CONTENT, 0),
        (b"64\r\n" + CONTENT[:100] + b"no end of a chunk", 100),
    ],
)
def test_chunks_that_are_cut_or_lie_keep_what_came(target: Path, sent: bytes, kept: int) -> None:
    assert f"broke after {kept:,} bytes" in refused(answer(sent, IN_CHUNKS), target)
    assert part_of(target).read_bytes() == CONTENT[:kept]
    if kept:
        fetch_from(answer(CONTENT[kept:], f"Content-Range: bytes {kept}-", status="206 Partial Content"), target)


def test_a_chunk_of_negative_size(target: Path) -> None:
    assert "broke after" in refused(answer(b"-5\r\n" + CONTENT, IN_CHUNKS), target)


CIRCLES = {"itself": "{url}/weights.pth", "ever another": "{url}/{number}", "nothing": "", "a space": "{url}/a b"}


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", CIRCLES)
def test_redirections_in_a_circle(target: Path, where: str, code: int) -> None:
    numbers = count()

    def redirect(url: str) -> Iterator[bytes]:
        goal = CIRCLES[where].format(url=url, number=next(numbers))
        yield answer(b"", f"Location: {goal}", "Content-Length: 0", status=f"{code} Found")

    assert f"the server answered {code} and leads in a circle" in refused(redirect, target)


@pytest.mark.parametrize(
    "goal",
    [
        "file://{file}",
        "FILE://localhost{file}",
        "ftp://127.0.0.1:9/x",
        "data:text/plain,x",
        "local_file://{file}",
        "http://[::1",
        "http://127.0.0.1:99999999/",
        "http://127.0.0.1:abc/",
        "http://a..b/",
        f"http://{'a' * 300}/",
        "http:///x",
        "http://user:word@127.0.0.1/",
    ],
)
def test_redirections_away_from_the_web(target: Path, tmp_path_factory: pytest.TempPathFactory, goal: str) -> None:
    file = tmp_path_factory.mktemp("here") / "weights.pth"
    file.write_bytes(CONTENT)
    location = f"Location: {goal.format(file=file)}"
    said = refused(answer(b"", location, "Content-Length: 0", status="302 Found"), target)
    assert "the server answered 302" in said


def test_a_redirection_to_where_the_file_is(target: Path) -> None:
    with answering(answer(CONTENT)) as other:
        fetch_from(answer(b"moved", f"Location: {other}/x", "Content-Length: 5", status="302 Found"), target)


@pytest.mark.parametrize(
    ("sent", "body", "message"),
    [
        ("bytes 0-{last}/{size}", CONTENT, ""),
        ("bytes 1000-{last}/{size}", CONTENT[1000:], ""),
        ("bytes 1000-{last}/99", CONTENT[1000:], ""),
        ("bytes 1000-{last}/{size}", CONTENT, "it was removed"),
        ("bytes 1000-{last}/{size}", CONTENT[1000:] + b"more", "it was removed"),
        ("bytes 500-{last}/{size}", CONTENT[500:], "sent another piece (bytes 500-"),
        ("bytes 10000-{last}/{size}", CONTENT[1000:], "sent another piece"),
        ("", CONTENT[1000:], "it does not say which"),
        ("\x00\x1b", CONTENT[1000:], "sent another piece"),
    ],
)
def test_answers_to_a_wish_to_continue(target: Path, sent: str, body: bytes, message: str) -> None:
    part_of(target).write_bytes(CONTENT[:1000])
    headers = [f"Content-Range: {sent.format(last=SIZE - 1, size=SIZE)}"] if sent else []
    script = answer(body, *headers, f"Content-Length: {len(body)}", status="206 Partial Content")
    if not message:
        fetch_from(script, target)
        return
    assert message in refused(script, target)
    assert not part_of(target).exists()
    fetch_from(answer(CONTENT), target)


def test_a_piece_although_the_whole_was_asked_for(target: Path) -> None:
    piece = answer(CONTENT[5:], f"Content-Range: bytes 5-{SIZE - 1}/{SIZE}", status="206 Partial Content")
    assert "sent another piece" in refused(piece, target)
    fetch_from(answer(CONTENT, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", status="206 Partial Content"), target)


@pytest.mark.parametrize("part", [CONTENT[:1000], CONTENT + b"more", b"z" * SIZE])
def test_nothing_left_to_send_after_a_part_that_is_not_the_file(target: Path, part: bytes) -> None:
    part_of(target).write_bytes(part)
    assert "it was removed" in refused(answer(b"", "Content-Length: 0", status="416 No"), target)
    fetch_from(answer(CONTENT), target)


def test_a_wrong_part_that_is_continued(target: Path) -> None:
    part_of(target).write_bytes(b"z" * 1000)
    said = refused(answer(CONTENT[1000:], "Content-Range: bytes 1000-", status="206 Partial Content"), target)
    assert "it was removed" in said
    fetch_from(answer(CONTENT), target)


@pytest.mark.parametrize("head", [answer(b"", f"Content-Length: {SIZE}"), b"HTTP/1.1 200 OK\r\nX: "])
def test_next_to_nothing_for_long_is_given_up(target: Path, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(step=5)
    monkeypatch.setattr(connection, "clock", lambda: float(next(ticks)))  # every read takes five seconds
    monkeypatch.setattr(connection, "LEAST_BYTES", 1 << 30)
    said = refused(lambda _: chain([head], repeat(b"\x01")), target)
    assert "fewer than 1,073,741,824 bytes came in 60 s); run the same command again to continue" in said

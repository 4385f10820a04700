"""Target: the files in which runs remember what they did: manifest, shards' notes, an evaluation's results.

Whatever they hold, they are refused as somebody else's, or lead to a state that stays the same however it is looked at.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from detr_attnviz.batch import shards
from detr_attnviz.batch.manifest import Manifest
from detr_attnviz.errors import OutputError
from detr_attnviz.evaluation.document import as_document
from detr_attnviz.evaluation.ledger import Ledger
from detr_attnviz.evaluation.results import Evaluation, MapResult, PictureResult, QueryResult
from detr_attnviz.evaluation.settings import BASELINES, DIRECTIONS, QUANTITIES, EvaluationSettings
from detr_attnviz.evaluation.summary import summarise
from tests.fuzz.answers import must_be_one_line
from tests.fuzz.noise import DIGITS, WORDS, changed_bytes, changed_json, one_in
from tests.fuzz.parcel import packed, unpacked, written

MANIFEST, RESULTS = "manifest.jsonl", "evaluation.results.jsonl"
_NOTES = (".attnviz/1-of-2.jsonl", ".attnviz/2-of-2.jsonl", ".attnviz/3-of-9.jsonl")
_NAMES = ("a.jpg", "b.jpg", "a/b.jpg", "a-b.jpg", "é.png", 'q"\\.png', "\udc80.png", "")
_HASH = "0123"


def _settings() -> EvaluationSettings:
    return EvaluationSettings(shares=(0.0, 0.5, 1.0), threshold=0.7)


@cache
def seeds() -> tuple[bytes, ...]:
    """Manifests, with and without notes of shards beside them, and results."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / MANIFEST
        with Manifest(path) as manifest:
            for number, picture in enumerate(("b.jpg", "a.jpg", "a/b.jpg", "é.png", "b.jpg")):
                manifest.put(picture, [{"file": f"{picture}/{part}", "score": 0.5} for part in range(1 + number % 3)])
            manifest.take_back("é.png")
        loose = path.read_bytes()
        with Manifest(path) as manifest:
            manifest.finish(path.with_name("draft"))
        tidy = path.read_bytes()
    return (
        packed({MANIFEST: tidy}),
        packed({MANIFEST: loose}),
        packed({MANIFEST: tidy, _NOTES[0]: loose}),
        packed({_NOTES[0]: loose, _NOTES[2]: tidy[: len(tidy) // 2]}),
        packed({RESULTS: _results()}),
        packed({MANIFEST: b""}),
    )


def _results() -> bytes:
    settings = _settings()
    shape = (len(BASELINES), len(DIRECTIONS), len(settings.shares), len(QUANTITIES))
    places = {"energy": 0.5, "pointing": 1.0, "pointing_near": 1.0}
    maps = {name: MapResult(False, places, 0.25, np.full(shape, 0.5)) for name in settings.maps}
    heads = {"decoder.0.cross": np.full((2, len(QUANTITIES)), 0.125)}
    query = QueryResult(3, 1, "cat", 0.9, (0.0, 1.0, 2.0, 3.0), places, maps, heads)
    rows = [PictureResult(name, f"{number:064x}", (query,), 9).as_row() for number, name in enumerate("ab")]
    head = {"format": "attnviz evaluation 1", "settings_hash": _HASH}
    return b"".join(json.dumps({**head, **row}).encode() + b"\n" for row in rows)


def generate(random: Random) -> bytes:
    """Files with lines changed, dropped, doubled, in another order, or cut."""
    data = random.choice(seeds())
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        data = mutate(data, random)
    return data


def mutate(data: bytes, random: Random) -> bytes:
    """One change in one of the files, or a further file."""
    files = unpacked(data, MANIFEST)
    name = random.choice(sorted(files))
    if one_in(random, 12):
        other = random.choice((MANIFEST, *_NOTES))
        return packed({**files, other: _changed(files[name], random)})
    return packed({**files, name: _changed(files[name], random)})


def _changed(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if one_in(random, 4) or not lines:
        return changed_bytes(content, random)
    place = random.randrange(len(lines))
    line, action = lines[place], random.randrange(7)
    if action == 0:
        del lines[place]
    elif action == 1:
        lines.insert(random.randrange(len(lines)), line)
    elif action == 2:
        random.shuffle(lines)
    elif action == 3:
        lines[place] = _with_other_key(line, random)
    elif action == 4:
        lines.insert(place, _line(random))
    else:
        lines[place] = _with_other_value(line, random)
    return b"".join(lines)


def _with_other_value(line: bytes, random: Random) -> bytes:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return changed_bytes(line, random)
    return json.dumps(changed_json(value, random)).encode() + b"\n"


def _with_other_key(line: bytes, random: Random) -> bytes:
    """A key that is there twice, or a value nested deeper than Python recurses."""
    deep = b"[" * 60_000 + b"]" * 60_000
    more = random.choice((b', "picture": "z"', b', "part": 99', b', "x": ' + deep, b', "x": NaN', b', "x": 1e999'))
    return line.rstrip(b"}\n") + more + b"}\n"


def _line(random: Random) -> bytes:
    """A line of the manifest, or nearly."""
    name, part = random.choice(_NAMES + WORDS), random.choice((0, 1, 1, 1, 2, *DIGITS))
    row = {"picture": name, "part": part, "parts": random.choice((0, 1, 1, 2)), "file": "x"}
    return json.dumps(row, ensure_ascii=one_in(random, 2)).encode("utf-8", "surrogatepass") + b"\n"


def run(data: bytes) -> None:
    """Opens every file and goes on with it."""
    files = unpacked(data, MANIFEST)
    random = Random(hashlib.sha256(data).digest())
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        written(files, folder)
        if RESULTS in files:
            _check_results(folder / RESULTS)
        else:
            _check_manifest(folder, random)
            written(files, folder)
            _check_shards(folder)


def _check_manifest(folder: Path, random: Random) -> None:
    path = folder / MANIFEST
    try:
        with Manifest(path) as manifest:
            state = _state(manifest)
            _go_on(manifest, state, random)
    except OutputError as error:
        must_be_one_line(error, "is not a manifest")
        return
    with Manifest(path) as manifest:
        assert _state(manifest) == state, "reopened, it holds something else"
        manifest.finish(folder / "draft")
    tidy = path.read_bytes() if path.exists() else b""
    with Manifest(path) as manifest:
        assert _state(manifest) == state, "put in order, it holds something else"
        kept = sum(manifest.lines(picture).count(b"\n") for picture in manifest._groups)
        manifest.finish(folder / "draft")
    assert (path.read_bytes() if path.exists() else b"") == tidy, "put in order twice, it changes"
    assert tidy.count(b"\n") == kept, "lines that do not count are left"
    _check_absorbed(folder, state, random)


def _go_on(manifest: Manifest, state: dict[str, list[Any]], random: Random) -> None:
    """New lines and lines taken back, and what should be there then."""
    for _ in range(random.randrange(5)):
        picture = random.choice((*_NAMES[:4], *state))
        if one_in(random, 3):
            manifest.take_back(picture)
            state.pop(picture, None)
        else:
            rows = [{"file": f"new/{part}"} for part in range(1, random.randrange(2, 5))]
            manifest.put(picture, rows)
            about = [{"picture": picture, "part": part, "parts": len(rows)} for part in range(1, len(rows) + 1)]
            state[picture] = [first | row for first, row in zip(about, rows, strict=True)]
        assert _state(manifest) == state, "what was put in or taken back does not count"


def _check_absorbed(folder: Path, state: Mapping[str, list[Any]], random: Random) -> None:
    """Another manifest takes over every word of this one, and newer ones."""
    other = folder / "other.jsonl"
    with Manifest(other) as manifest:
        manifest.put("z.jpg", [{"file": "z"}])
        if state:
            manifest.put(random.choice(sorted(state)), [{"file": "older"}])
        with Manifest(folder / MANIFEST) as newer:
            manifest.absorb(newer)
        found = _state(manifest)
    assert found == {"z.jpg": found["z.jpg"], **state}, "taken over, it holds something else"


def _state(manifest: Manifest) -> dict[str, list[Any]]:
    """Every picture that has lines, with its rows; each row says what it is."""
    found: dict[str, list[Any]] = {}
    for picture in list(manifest._groups):
        rows = manifest.rows(picture)
        if rows:
            found[picture] = rows
            assert [row["part"] for row in rows] == list(range(1, len(rows) + 1)), "parts are not numbered"
            assert all(row["picture"] == picture and row["parts"] == len(rows) for row in rows), "of another picture"
    return found


def _check_shards(folder: Path) -> None:
    """A shard comes in and leaves, then a run without shards: all notes are in the manifest."""
    try:
        with shards.opened(folder, shards.Shard(1, 2)) as (_, notes):
            notes.put("new.jpg", [{"file": "new"}])
        with shards.opened(folder, None) as (_, manifest):
            assert [row["file"] for row in manifest.rows("new.jpg")] == ["new"], "a shard's lines are lost"
    except OutputError as error:
        must_be_one_line(error, "is not a manifest")


def _check_results(path: Path) -> None:
    ledger = Ledger(path, _HASH)
    try:
        ledger.read()
    except OutputError as error:
        must_be_one_line(error, "no results of attnviz")
        return
    known = tuple(ledger._known.values())
    fitting = tuple(result for result in known if result.fits(_settings()) and _has_usual_heads(result))
    summary = summarise(Evaluation(_settings(), {}, fitting))
    json.dumps(as_document(Evaluation(_settings(), {"checkpoint": "x"}, fitting), summary))
    if known:
        ledger.put(known[0])
    again = Ledger(path, _HASH)
    again.read()
    assert again._known.keys() == ledger._known.keys(), "read again, other results count"


def _has_usual_heads(result: PictureResult) -> bool:
    """Sites and numbers of heads are the detector's, which is not here to be asked."""
    usual = {"decoder.0.cross": (2, len(QUANTITIES))}
    return all({site: one.shape for site, one in query.heads.items()} == usual for query in result.queries)

"""Names of results: mirrored, unique, and harmless whatever the input is called."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detr_attnviz.batch.names import (
    image_file,
    image_files,
    is_map_file,
    location_of,
    point_file,
    query_file,
    safe_part,
    sheet_file,
    slug,
)
from detr_attnviz.methods.decompose import TERMS

parts = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=120).filter(
    lambda t: t not in (".", "..")
)


def test_a_location_mirrors_the_path_below_the_base() -> None:
    assert location_of("/data/photos/sub/cat.jpg", "/data/photos") == "sub/cat.jpg"
    assert location_of("/cat.jpg", "/") == "cat.jpg"


def test_a_location_never_takes_the_manifests_place() -> None:
    assert location_of("/in/manifest.jsonl/cat.jpg", "/in") == "%6Danifest.jsonl/cat.jpg"


@given(parts)
def test_a_part_is_one_portable_name(part: str) -> None:
    safe = safe_part(part)
    assert safe
    assert safe not in (".", "..")
    assert not set(safe) & set('<>:"|?*\\/\n\r\t\0')
    assert safe[-1] not in ". "
    assert len((safe + ".overlay.png").encode()) <= 255


@given(parts, parts)
def test_different_parts_stay_different(one: str, other: str) -> None:
    assert (safe_part(one) == safe_part(other)) == (one == other)


def test_a_name_that_is_no_text_keeps_its_bytes() -> None:
    assert safe_part(os.fsdecode(b"caf\xe9.jpg")) == "caf%E9.jpg"


def test_names_of_255_bytes_are_cut_and_stay_different() -> None:
    one, other = safe_part("ü" * 120 + "1.jpg"), safe_part("ü" * 120 + "2.jpg")
    assert one != other
    assert max(len(one.encode()), len(other.encode())) <= 230


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("traffic light", "traffic_light"),
        ("../../etc/passwd", "etc_passwd"),
        ("a\nb\0c", "a_b_c"),
        ("😀", ""),
        ("猫", "猫"),
        ("हिन्दी", "हिन्दी"),
        ("\udcff", ""),
        ("con.", "con"),
    ],
)
def test_a_class_name_becomes_a_harmless_piece(name: str, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize("term", TERMS)
def test_files_of_terms_are_ours_and_differ(term: str) -> None:
    names = {query_file("a.jpg", 3, "cat", "overlay", other) for other in TERMS}
    assert len(names) == 4
    assert is_map_file(Path(query_file("a.jpg", 3, "", "overlay", term)).name)
    assert is_map_file(Path(point_file("a.jpg", 3, 1, 2, "heatmap", term)).name)


@given(st.text(max_size=400))
def test_no_class_name_leaves_its_folder(name: str) -> None:
    path = query_file("sub/cat.jpg", 17, name, "overlay", TERMS[-1])
    assert Path(path).parent == Path("sub/cat.jpg")
    assert Path(path).name.startswith("q17")
    assert len(Path(path).name.encode()) <= 255
    assert is_map_file(Path(path).name)


def test_files_of_one_picture() -> None:
    assert query_file("cat.jpg", 3, "cat", "heatmap") == "cat.jpg/q3_cat.heatmap.png"
    assert query_file("cat.jpg", 3, "", "heatmap") == "cat.jpg/q3.heatmap.png"
    assert point_file("cat.jpg", 0, 320.5, 240, "overlay") == "cat.jpg/p0_320.5,240.overlay.png"
    assert query_file("a.jpg", 3, "cat", "pair", "content · position") == "a.jpg/q3_cat_content-position.pair.png"
    assert query_file("a.jpg", 3, "", "pair", "content · position") == "a.jpg/q3_content-position.pair.png"
    assert point_file("a.jpg", 0, 3, 4, "pair", "content · content") == "a.jpg/p0_3,4_content-content.pair.png"
    assert image_file("sub/cat.jpg", "overlay") == "sub/cat.jpg.overlay.png"
    assert image_file("sub/cat.jpg", "arrays") == "sub/cat.jpg.npz"
    assert len(set(image_files("cat.jpg"))) == 6


@pytest.mark.parametrize("name", ["notes.txt", "quiz.overlay.png", "q.overlay.png", "q3_cat.png", "q3_cat.other.png"])
def test_what_we_did_not_name_is_not_ours(name: str) -> None:
    assert not is_map_file(name)


def test_a_sheet_says_what_it_shows() -> None:
    assert sheet_file("cat", "decoder.5.cross", "raw", "mean", "overlay") == "cat.decoder.5.cross.overlay.png"
    assert sheet_file("cat", "decoder.5.cross", "raw", "3", "pair", 2) == "cat.decoder.5.cross.head3.pair-2.png"
    assert sheet_file("cat", "decoder.5.cross", "raw", "mean", "points", level=1) == (
        "cat.decoder.5.cross.level1.points.png"
    )
    assert sheet_file("cat", "decoder.5.cross", "raw", "2", "pair", term="content") == (
        "cat.decoder.5.cross.content.head2.pair.png"
    )
    assert sheet_file("cat", "decoder.3+5.cross", "raw", "max", "pair") == "cat.decoder.3+5.cross.max.pair.png"
    assert sheet_file("cat", "decoder.all.cross", "relevance", "", "overlay") == (
        "cat.decoder.all.cross.relevance.overlay.png"
    )
    assert sheet_file("cat", "encoder.5.self", "value-norm", "entropy-weighted", "overlay") == (
        "cat.encoder.5.self.value-norm.entropy-weighted.overlay.png"
    )


def test_the_name_of_a_sheet_is_never_too_long() -> None:
    layers = "+".join(map(str, range(11)))
    name = sheet_file("😀" * 60, f"decoder.{layers}.cross", "value-norm", "entropy-weighted", "overlay", 99)
    assert len(name.encode()) <= 255


def test_letters_that_turn_a_name_are_escaped_and_those_that_join_are_not() -> None:
    assert safe_part("photo\u202egpj.exe") == "photo%E2%80%AEgpj.exe"
    assert safe_part("\u2066a\u2069.png") == "%E2%81%A6a%E2%81%A9.png"
    family = "\U0001f468\u200d\U0001f469.png"
    assert safe_part(family) == family
